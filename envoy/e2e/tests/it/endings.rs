//! A process that ends with deliveries pending says in its log how many there are; one that only changes its config, or
//! has nothing pending, does not.

use std::time::Duration;

use anyhow::{Result, ensure};
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);

/// Lines of a log about what ends with the process.
fn told(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("event=ends_with_pending")).collect()
}

/// Accepts three events whose receiver never answers, each worker some of them.
fn pending(gateway: &Gateway, receiver: &Receiver) -> Result<()> {
    receiver.script("a", &json!({"then": {"act": "hang"}}))?;
    for _ in 0..3 {
        let answer = gateway.send(&Event::new("paid", "{}"))?;
        ensure!(answer.status == 202, "{}", answer.text());
    }
    wait::until("they are under way", DEADLINE, || Ok((receiver.counters("a")?.requests >= 3).then_some(())))
}

/// SIGTERM with three deliveries pending: one line of the log says three, and one without any says nothing.
#[test]
fn ended_process_says_how_many_deliveries_were_pending() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({"timeout": "60s"}))]);
    let idle = Gateway::start(&setup)?;
    idle.envoy.terminate()?;
    assert_eq!(told(&idle.envoy.log()?), [""; 0]);

    let gateway = Gateway::start(&setup)?;
    pending(&gateway, &receiver)?;
    gateway.envoy.terminate()?;
    let log = gateway.envoy.log()?;
    let lines = told(&log);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("deliveries=3 detail=") && lines[0].contains("drain before"), "{}", lines[0]);
    Ok(())
}

/// A config that is replaced while deliveries are pending loses none, and its end says so by saying nothing.
#[test]
fn replaced_config_says_nothing_of_what_is_pending() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({"timeout": "5s"}))]);
    let setup = setup.with_arguments(&["--drain-time-s", "2"]);
    let gateway = Gateway::start_dynamic(&setup)?;
    pending(&gateway, &receiver)?;
    ensure!(gateway.update(&setup.with(json!({"user_agent": "another"})))?, "the update is taken");
    gateway.wait_until_drained()?;
    assert_eq!(told(&gateway.envoy.log()?), [""; 0]);
    Ok(())
}
