//! Operators: what they switch is in force on every worker, also when they ask a filter of its own on another listener.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gatepost_cli::example::{ADMIN_AUTHORIZATION, ADMIN_LISTENER};
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_cli::wait;
use gatepost_e2e::load::Load;
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use serde_json::{Value, json};

use crate::isolation::one_load_at_a_time;

const DEADLINE: Duration = Duration::from_secs(60);

/// What is said to the admin surface of a gateway that runs the example.
struct Operator {
    url: String,
}

impl Operator {
    fn of(gateway: &Gateway) -> Result<Self> {
        let operator = Self { url: format!("http://{}/gatepost", gateway.envoy.listener(ADMIN_LISTENER)?) };
        // Before that no configuration has begun to deliver.
        wait::until(
            "the gateway begins",
            DEADLINE,
            || Ok((operator.ask("GET", "health", "")?.0 == 200).then_some(())),
        )?;
        Ok(operator)
    }

    fn ask(&self, method: &str, path: &str, command: &str) -> Result<(u16, Value)> {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}/{path}", self.url));
        let request = request.header("authorization", ADMIN_AUTHORIZATION).body(command.to_owned())?;
        let mut response = gatepost_cli::http().run(request)?;
        Ok((response.status().as_u16(), response.body_mut().read_json()?))
    }

    fn done(&self, method: &str, path: &str, command: &Value) -> Result<Value> {
        let command = if command.is_null() { String::new() } else { command.to_string() };
        let (status, answer) = self.ask(method, path, &command)?;
        anyhow::ensure!(status == 200, "{method} {path}: {status} {answer}");
        Ok(answer)
    }
}

fn compact() -> Options {
    Options { compact: true, ..Options::default() }
}

#[test]
fn switched_off_under_load_no_attempt_starts_a_second_later_and_on_again_nothing_is_lost() -> Result<()> {
    let _alone = one_load_at_a_time();
    let receiver = Receiver::start(&[("a", "secret-of-a")], &compact())?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]))?;
    let operator = Operator::of(&gateway)?;
    let load = Load { protocol: Protocol::Http1, connections: 8, events: 625, every: Some(Duration::from_millis(16)) };
    let accepted =
        thread::scope(|scope| {
            let accepted = scope.spawn(|| load.run(&gateway, &Event::new("paid", "{}")));
            receiver.wait_for("a", 1000, DEADLINE)?;
            operator.done("PUT", "state", &json!({"state": "paused", "reason": "a test"}))?;
            let answered = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
            let begun = Instant::now();
            wait::until("three seconds of load", DEADLINE, || {
                Ok((begun.elapsed() > Duration::from_secs(3)).then_some(()))
            })?;
            let late = receiver.records("a", 0)?.into_iter().filter(|record| record.wall > answered + 1.0).count();
            assert_eq!(late, 0, "attempts that started more than a second after the answer");
            assert!(operator.done("GET", "status", &Value::Null)?["pending"].as_u64() > Some(500));
            operator.done("DELETE", "overrides", &Value::Null)?;
            accepted.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
        })?;
    assert_eq!(accepted.len(), 5000);
    wait::until("all are delivered", DEADLINE, || Ok((receiver.counters("a")?.delivered == 5000).then_some(())))?;
    assert_eq!(receiver.counters("a")?.duplicates, 0);
    Ok(())
}

#[test]
fn a_hundred_dead_letters_are_delivered_after_one_call_with_their_first_ids_and_fresh_signatures() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    receiver.script("a", &json!({"then": {"status": 400}}))?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]))?;
    let operator = Operator::of(&gateway)?;
    for _ in 0..100 {
        gateway.send(&Event::new("paid", "{}"))?;
    }
    let failed = receiver.wait_for("a", 100, DEADLINE)?;
    let letters = || anyhow::Ok(operator.done("GET", "dead-letters?limit=1", &Value::Null)?["total"].as_u64());
    wait::until("100 dead letters", DEADLINE, || Ok((letters()? == Some(100)).then_some(())))?;
    receiver.script("a", &json!({}))?;
    let answer = operator.done("POST", "dead-letters/redeliver", &Value::Null)?;
    assert_eq!(answer["redelivered"], 100);
    let records = receiver.wait_for("a", 200, DEADLINE)?;
    let ids = |records: &[gatepost_cli::receiver::Record]| {
        let mut ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&records[100..]), ids(&failed));
    assert!(records.iter().all(|record| record.problem.is_none()), "every signature is good and fresh");
    assert_eq!(letters()?, Some(0));
    Ok(())
}

#[test]
fn after_a_drain_under_load_the_process_may_end_and_every_accepted_id_has_arrived() -> Result<()> {
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
    assert_eq!(drained["status"], "drained");
    drop(gateway);
    let mut arrived: Vec<String> = receiver.records("a", 0)?.into_iter().map(|record| record.id).collect();
    arrived.sort();
    accepted.sort();
    assert_eq!(arrived, accepted);
    Ok(())
}

#[test]
fn whoever_may_not_or_asks_wrongly_is_told_so_by_either_worker() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]))?;
    let operator = Operator::of(&gateway)?;
    for _ in 0..4 {
        assert_eq!(operator.ask("POST", "status", "")?.0, 405);
        assert_eq!(operator.ask("PATCH", "endpoints/nobody", r#"{"disabled": true}"#)?.0, 404);
        assert_eq!(operator.ask("PUT", "state", "{")?.0, 400);
        for token in ["", "Bearer demo-admi", "Bearer demo-admins", "Basic ZGVtby1hZG1pbg=="] {
            let request = gatepost_cli::http().get(format!("{}/status", operator.url)).header("authorization", token);
            assert_eq!(request.call()?.status(), 401, "{token}");
        }
    }
    assert_eq!(gateway.send(&Event { path: "/gatepost/status".to_owned(), ..Event::new("x", "") })?.status, 404);
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}
