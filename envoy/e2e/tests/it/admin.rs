//! Operators: what they switch is in force on every worker, also when they ask a filter of its own on another listener.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gatepost_e2e::load::Load;
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::example::{ADMIN_AUTHORIZATION, ADMIN_LISTENER};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::isolation::one_load_at_a_time;
use crate::scene::now;

const DEADLINE: Duration = Duration::from_secs(120);

/// What is said to the admin surface of a gateway that runs the example.
pub struct Operator {
    /// The surface's, without a slash at its end.
    pub url: String,
}

impl Operator {
    pub fn of(gateway: &Gateway) -> Result<Self> {
        let operator = Self { url: format!("http://{}/gatepost", gateway.envoy.listener(ADMIN_LISTENER)?) };
        // Before that no configuration has begun to deliver.
        wait::until(
            "the gateway begins",
            DEADLINE,
            || Ok((operator.ask("GET", "health", "")?.0 == 200).then_some(())),
        )?;
        Ok(operator)
    }

    pub fn ask(&self, method: &str, path: &str, command: &str) -> Result<(u16, Value)> {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}/{path}", self.url));
        let request = request.header("authorization", ADMIN_AUTHORIZATION).body(command.to_owned())?;
        let mut response = gatepost_kit::http::client().run(request)?;
        Ok((response.status().as_u16(), response.body_mut().read_json()?))
    }

    pub fn done(&self, method: &str, path: &str, command: &Value) -> Result<Value> {
        let command = if command.is_null() { String::new() } else { command.to_string() };
        let (status, answer) = self.ask(method, path, &command)?;
        anyhow::ensure!(status == 200, "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// What the status holds under this JSON pointer.
    pub fn status(&self, pointer: &str) -> Result<Value> {
        let status = self.done("GET", "status", &Value::Null)?;
        status.pointer(pointer).cloned().with_context(|| format!("no {pointer} in {status}"))
    }

    /// A receiver has seen a request before the gateway has its answer: what follows from the answer is waited for here.
    pub fn wait_for_status(&self, pointer: &str, value: &Value) -> Result<()> {
        let mut seen = Value::Null;
        let what = format!("{pointer} is {value}");
        let waited = wait::until(&what, DEADLINE, || {
            seen = self.status(pointer)?;
            Ok((seen == *value).then_some(()))
        });
        waited.with_context(|| format!("{pointer} was {seen} when last seen"))
    }
}

fn compact() -> Options {
    Options { compact: true, ..Options::default() }
}

/// 500 events a second on both workers; meanwhile the filter is put into this state, and out of it again.
fn switch_off_under_load(state: &str) -> Result<()> {
    let _alone = one_load_at_a_time();
    let receiver = Receiver::start(&[("a", "secret-of-a")], &compact())?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]))?;
    let operator = Operator::of(&gateway)?;
    let load = Load { protocol: Protocol::Http1, connections: 8, events: 625, every: Some(Duration::from_millis(16)) };
    let (accepted, on_again) =
        thread::scope(|scope| {
            let accepted = scope.spawn(|| load.run(&gateway, &Event::new("paid", "{}")));
            receiver.wait_for("a", 1000, DEADLINE)?;
            operator.done("PUT", "state", &json!({"state": state, "reason": "a test"}))?;
            let answered = now()?;
            let begun = Instant::now();
            wait::until("three seconds of load", DEADLINE, || {
                Ok((begun.elapsed() > Duration::from_secs(3)).then_some(()))
            })?;
            let late = receiver.records("a", 0)?.into_iter().filter(|record| record.signed > answered + 1.0).count();
            assert_eq!(late, 0, "attempts that started more than a second after the answer");
            let held = || anyhow::Ok(operator.done("GET", "deliveries?status=held", &Value::Null)?["total"].as_u64());
            // Under load there are more of them from one answer to the next.
            let before = held()?;
            let pending = operator.status("/pending")?.as_u64();
            let after = held()?;
            assert!(before <= pending && pending <= after, "{before:?} held, then {pending:?} pending, {after:?} held");
            assert!(state == "disabled" || before > Some(500), "{before:?}");
            operator.done("DELETE", "overrides", &Value::Null)?;
            let on_again = now()?;
            let accepted = accepted.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
            anyhow::Ok((accepted, on_again))
        })?;
    assert_eq!(accepted.len(), 5000);
    let kept = accepted.iter().filter(|event| event.is_kept).count() as u64;
    assert!(if state == "disabled" { (1000..5000).contains(&kept) } else { kept == 5000 }, "{kept} were kept");
    let mut later = accepted.iter().filter(|event| event.sent > on_again + 1.0).peekable();
    assert!(later.peek().is_some() && later.all(|event| event.is_kept), "on again, each event is kept");
    wait::until("all are delivered", DEADLINE, || Ok((receiver.counters("a")?.delivered == kept).then_some(())))?;
    let mut arrived: Vec<String> = receiver.records("a", 0)?.into_iter().map(|record| record.id).collect();
    let mut kept: Vec<String> = accepted.into_iter().filter(|event| event.is_kept).map(|event| event.id).collect();
    arrived.sort();
    kept.sort();
    assert_eq!(arrived, kept);
    Ok(())
}

/// Paused under load no attempt starts a second later and on again nothing is lost.
#[test]
fn pause_under_load_stops_attempts_and_loses_nothing() -> Result<()> {
    switch_off_under_load("paused")
}

/// Disabled under load no attempt starts a second later and on again what was kept arrives.
#[test]
fn disable_under_load_stops_attempts_and_kept_ones_arrive() -> Result<()> {
    switch_off_under_load("disabled")
}

/// After a drain under load the process may end and every accepted id has arrived.
#[test]
fn drain_under_load_delivers_every_accepted_id() -> Result<()> {
    let _alone = one_load_at_a_time();
    let receiver = Receiver::start(&[("a", "secret-of-a")], &compact())?;
    receiver.script("a", &json!({"then": {"delay": 0.2}}))?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]))?;
    let operator = Operator::of(&gateway)?;
    let mut connections = (0..8).map(|_| gateway.connect(Protocol::Http1)).collect::<Result<Vec<_>>>()?;
    let mut accepted = Vec::new();
    let drained = thread::scope(|scope| {
        let mut drain = None;
        for number in 0.. {
            let connection = connections.get_mut(number % 8).context("a connection")?;
            let answer = connection.send(&Event::new("paid", "{}"))?;
            match answer.status {
                202 => accepted.push(answer.id()?),
                503 => break,
                other => anyhow::bail!("answered {other}: {}", answer.text()),
            }
            if number == 500 {
                drain = Some(scope.spawn(|| operator.done("POST", "drain", &Value::Null)));
            }
        }
        drain.context("the drain began")?.join().map_err(|_| anyhow::anyhow!("the drain panicked"))?
    })?;
    assert_eq!((&drained["status"], &drained["held"]), (&json!("drained"), &json!(0)));
    gateway.envoy.terminate()?;
    let mut arrived: Vec<String> = receiver.records("a", 0)?.into_iter().map(|record| record.id).collect();
    arrived.sort();
    accepted.sort();
    assert_eq!(arrived, accepted);
    Ok(())
}
