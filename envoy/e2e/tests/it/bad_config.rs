//! Configs that must not run.

use std::time::Duration;

use anyhow::Result;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::envoy::Envoy;
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);
const SECRET: &str = "a-secret-that-no-log-may-show";

/// The paths of the ten mistakes of [`ten_mistakes`].
const MISTAKES: [&str; 10] = [
    "enabld",
    "routes[0].mode",
    "routes[0].event",
    "routes[0].ack_timeout",
    "endpoints[0].cluster",
    "endpoints[0].url",
    "endpoints[0].secrets[1].env",
    "endpoints[0].retry.jitter",
    "endpoints[0].breaker.failures",
    "limits.body",
];

fn ten_mistakes() -> Value {
    json!({
        "enabld": true,
        "routes": [{
            "name": "ingest", "match": {"path": "/events/{event}"}, "event": "{evnt}",
            "mode": "dispach", "ack": "delivered", "ack_timeout": "soon",
        }],
        "endpoints": [{
            "name": "a", "url": "receiver.test/a", "secrets": [{"value": SECRET}, {"env": "GATEPOST_NOT_SET"}],
            "retry": {"jitter": 2}, "breaker": {"failures": 0},
        }],
        "limits": {"body": "lots"},
    })
}

/// One line for each mistake, each with its path.
fn assert_ten_lines(log: &str) {
    let problems: Vec<&str> = log.lines().filter(|line| line.contains("; expected ")).collect();
    for path in MISTAKES {
        let about = problems.iter().filter(|line| line.contains(&format!(" {path}: "))).count();
        assert_eq!(about, 1, "{path} in:\n{}", problems.join("\n"));
    }
    assert_eq!(problems.len(), MISTAKES.len(), "{}", problems.join("\n"));
    assert!(!log.contains(SECRET));
}

/// A config with ten mistakes gives ten lines and Envoy does not start.
#[test]
fn ten_config_mistakes_give_ten_lines_and_no_start() -> Result<()> {
    let receiver = Receiver::start(&[("a", SECRET)], &Options::default())?;
    let setup = Setup::new(&receiver, &[]).without("enabled").with(ten_mistakes());
    for setup in [setup.clone(), setup.as_text()] {
        let envoy = Envoy::spawn(&setup.launch()?)?;
        let status = wait::until("Envoy ends", DEADLINE, || envoy.exited())?;
        assert!(!status.success(), "{status}");
        assert_ten_lines(&envoy.log()?);
    }
    Ok(())
}

/// A dynamic update with a bad config keeps the old one delivering.
#[test]
fn bad_dynamic_update_keeps_the_old_config_delivering() -> Result<()> {
    let receiver = Receiver::start(&[("a", SECRET)], &Options::default())?;
    let good = Setup::new(&receiver, &[endpoint("a", SECRET, json!({}))]);
    let gateway = Gateway::start_dynamic(&good)?;
    assert_eq!(gateway.send(&Event::new("before", "{}"))?.status, 202);
    assert!(!gateway.update(&good.clone().without("enabled").with(ten_mistakes()))?, "Envoy refuses it");
    assert_ten_lines(&gateway.envoy.log()?);
    assert_eq!(gateway.send(&Event::new("after", "{}"))?.status, 202);
    let records = receiver.wait_for("a", 2, DEADLINE)?;
    assert!(records.iter().all(|record| record.problem.is_none()));
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

/// A secret from the environment and a config as text work like the example.
#[test]
fn env_secret_and_text_config_work_like_the_example() -> Result<()> {
    let receiver = Receiver::start(&[("a", SECRET)], &Options::default())?;
    let secrets = json!({"secrets": [{"env": "GATEPOST_TEST_SECRET"}]});
    let setup = Setup::new(&receiver, &[endpoint("a", "", secrets)]).with_env("GATEPOST_TEST_SECRET", SECRET);
    for setup in [setup.clone(), setup.as_text()] {
        receiver.forget("a")?;
        let gateway = Gateway::start(&setup)?;
        assert_eq!(gateway.send(&Event::new("payment_verified", "{}"))?.status, 202);
        let records = receiver.wait_for("a", 1, DEADLINE)?;
        assert_eq!(records[0].problem, None);
        assert!(!gateway.envoy.log()?.contains(SECRET));
    }
    Ok(())
}
