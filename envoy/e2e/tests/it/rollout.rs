//! A rollout climbs by itself, stops, and goes back, on two workers.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_cli::wait;
use gatepost_e2e::load::{Load, Stop, StopOnDrop};
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::admin::Operator;
use crate::isolation::one_load_at_a_time;

const DEADLINE: Duration = Duration::from_secs(60);
/// What a busy machine may add to a time that is counted in ticks, in seconds.
const MACHINE: f64 = 10.0;

/// What follows from one attempt, and a breaker that lets all of them.
fn hasty(name: &str) -> Value {
    endpoint(name, &secret(name), json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}}))
}

fn secret(name: &str) -> String {
    format!("secret-of-{name}")
}

struct Scene {
    receiver: Receiver,
    gateway: Gateway,
    operator: Operator,
}

impl Scene {
    fn new(names: &[&str], rollout: Value) -> Result<Self> {
        let secrets: Vec<String> = names.iter().map(|name| secret(name)).collect();
        let served: Vec<(&str, &str)> = names.iter().copied().zip(secrets.iter().map(String::as_str)).collect();
        let receiver = Receiver::start(&served, &Options::default())?;
        let endpoints: Vec<Value> = names.iter().map(|name| hasty(name)).collect();
        let gateway = Gateway::start(&Setup::new(&receiver, &endpoints).with(json!({"rollout": rollout})))?;
        let operator = Operator::of(&gateway)?;
        Ok(Self { receiver, gateway, operator })
    }

    fn endpoint(&self, name: &str) -> Result<Value> {
        let status = self.operator.done("GET", "status", &Value::Null)?;
        let found = status["endpoints"].as_array().and_then(|all| all.iter().find(|endpoint| endpoint["name"] == name));
        found.cloned().with_context(|| format!("no endpoint {name}: {status}"))
    }

    fn wait_for(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        wait::until(what, DEADLINE, || {
            last = self.endpoint(name)?;
            Ok(holds(&last["rollout"]).then_some(()))
        })
        .with_context(|| format!("{last}"))?;
        Ok(last)
    }

    /// 50 events a second on four connections, so on both workers, until what happens meanwhile is over, and so many
    /// seconds at least. The ids of all events, and what `meanwhile` returned.
    fn load<T>(&self, at_least: u32, meanwhile: impl FnOnce() -> Result<T>) -> Result<(Vec<String>, T)> {
        let every = Some(Duration::from_millis(80));
        let second = Load { protocol: Protocol::Http1, connections: 4, events: 50 / 4, every };
        let event = Event::new("payment_verified", "{\"amount\":42}");
        let stop = Stop::default();
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut sent = Vec::new();
                let mut seconds = 0;
                while seconds < at_least || !stop.is_said() {
                    sent.extend(second.run(&self.gateway, &event)?.into_iter().map(|event| event.id));
                    seconds += 1;
                }
                anyhow::Ok(sent)
            });
            let _stop = StopOnDrop(&stop);
            let done = meanwhile()?;
            stop.now();
            let sent = load.join().map_err(|_| anyhow!("the load panicked"))??;
            Ok((sent, done))
        })
    }
}

#[test]
fn a_healthy_receiver_takes_the_rollout_to_a_hundred_percent_by_itself() -> Result<()> {
    let _alone = one_load_at_a_time();
    let phases = [
        json!({"percent": 5, "for": "4s"}),
        json!({"percent": 25, "for": "4s"}),
        json!({"percent": 50, "for": "4s"}),
        json!({"percent": 100}),
    ];
    let scene = Scene::new(&["a"], json!({"phases": phases, "guard": {"for": "3s", "min_events": 5}}))?;
    let (sent, seen) = scene.load(16, || {
        let mut seen = Vec::new();
        wait::until("the last phase", DEADLINE, || {
            let rollout = scene.endpoint("a")?["rollout"].clone();
            if seen.last() != Some(&rollout["percent"]) {
                seen.push(rollout["percent"].clone());
            }
            Ok((rollout["state"] == "complete").then_some(()))
        })?;
        Ok(seen)
    })?;
    assert_eq!(seen, [5, 25, 50, 100].map(Value::from));
    let all = scene.receiver.records("a", 0)?.len();
    // 5, 25 and 50 % of 200 events each, and the rest.
    assert!(all > 100 && all < sent.len(), "{all} of {}", sent.len());
    Ok(())
}

#[test]
fn an_endpoint_that_fails_half_the_time_is_rolled_back_in_time_and_resumed_its_held_events_arrive() -> Result<()> {
    let _alone = one_load_at_a_time();
    let scene = Scene::new(&["a", "b"], json!({"guard": {"for": "5s", "min_events": 20}}))?;
    let replies: Vec<Value> =
        (0..2000).map(|number| json!({"status": if number % 2 == 0 { 200 } else { 400 }})).collect();
    scene.receiver.script("a", &json!({"replies": replies}))?;
    let (sent, since) = scene.load(12, || {
        let state = scene.wait_for("a", "the rollback", |rollout| rollout["state"] == "rolled_back")?;
        ensure!(state["rollout"]["reason"] == "success" && state["rollout"]["percent"] == 0, "{state}");
        let since: Timestamp = state["rollout"]["since"].as_str().context("a time")?.parse()?;
        Ok(since.as_millisecond() as f64 / 1000.0)
    })?;
    let before = scene.receiver.records("a", 0)?;
    let (first, last) = (before.first().context("a first")?.signed, before.last().context("a last")?.signed);
    assert!(since - first <= 5.0 + MACHINE, "rolled back {:.2} s after the first attempt", since - first);
    // A worker knows of it after a quarter of a second at most.
    assert!(last - since <= 1.0, "the last attempt left {:.2} s after the rollback", last - since);
    let healthy = scene.endpoint("b")?;
    assert_eq!((&healthy["rollout"]["state"], &healthy["rollout"]["percent"]), (&json!("fixed"), &json!(100)));
    wait::until("b has everything", DEADLINE, || {
        Ok((scene.receiver.counters("b")?.delivered == sent.len() as u64).then_some(()))
    })?;
    let series = "gatepost_rollbacks_total{endpoint=\"a\",reason=\"success\"}";
    assert_eq!(scene.gateway.envoy.series(series)?, Some(1.0));

    scene.receiver.script("a", &json!({}))?;
    scene.operator.done("POST", "rollout/resume?endpoint=a", &Value::Null)?;
    let seen = scene.receiver.wait_for("a", sent.len(), DEADLINE)?;
    let ids: Vec<&str> = seen.iter().map(|record| record.id.as_str()).collect();
    assert!(sent.iter().all(|id| ids.contains(&id.as_str())), "every accepted id arrives");
    Ok(())
}

#[test]
fn a_slow_receiver_is_held_where_it_is_and_not_promoted() -> Result<()> {
    let _alone = one_load_at_a_time();
    let phases = [json!({"percent": 50, "for": "10s"}), json!({"percent": 100})];
    let guard = json!({"for": "4s", "min_events": 10, "hold": {"max_p95": "200ms"}});
    let scene = Scene::new(&["a"], json!({"phases": phases, "guard": guard}))?;
    scene.receiver.script("a", &json!({"then": {"delay": 0.4}}))?;
    scene.load(16, || {
        let state = scene.wait_for("a", "the hold", |rollout| rollout["state"] == "held")?;
        ensure!(state["rollout"]["breached"] == "p95" && state["rollout"]["percent"] == 50, "{state}");
        Ok(())
    })?;
    assert_eq!(scene.endpoint("a")?["rollout"]["percent"], 50);
    Ok(())
}

#[test]
fn a_receiver_that_answers_401_is_rolled_back() -> Result<()> {
    let _alone = one_load_at_a_time();
    let scene = Scene::new(&["a"], json!({"guard": {"for": "3s", "min_success": null}}))?;
    scene.receiver.script("a", &json!({"then": {"status": 401}}))?;
    scene.load(6, || {
        let state = scene.wait_for("a", "the rollback", |rollout| rollout["state"] == "rolled_back")?;
        ensure!(state["rollout"]["reason"] == "unauthorized", "{state}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn an_event_with_an_address_in_it_during_a_canary_is_refused_rolled_back_and_told_nowhere() -> Result<()> {
    const ADDRESS: &str = "maria.rossi@example.com";
    let secret = secret("a");
    let receiver = Receiver::start(&[("a", &secret)], &Options::default())?;
    let setup = Setup::new(&receiver, &[hasty("a")]).with(json!({
        "rollout": {"percent": 5, "guard": {"personal_data": true}},
        "payload_guard": {},
    }));
    let gateway = Gateway::start(&setup)?;
    let operator = Operator::of(&gateway)?;
    let body = json!({"amount": 42, "payer": {"contact": [ADDRESS]}}).to_string();
    let answer = gateway.send(&Event::new("paid", body))?;
    assert_eq!(answer.status, 422);
    let mut told = vec![format!("{:?}", answer.headers), answer.text()];
    assert_eq!(answer.json()?["findings"], json!([{"pointer": "/payer/contact/0", "kind": "email"}]));
    let rollout = operator.status("/endpoints/0/rollout")?;
    assert_eq!((&rollout["percent"], &rollout["reason"]), (&json!(0), &json!("personal_data")));
    for path in ["status", "deliveries", "dead-letters"] {
        told.push(operator.done("GET", path, &Value::Null)?.to_string());
    }
    let series = "gatepost_payload_findings_total{kind=\"email\"}";
    // It is told at the worker's next tick.
    wait::until("it is counted", DEADLINE, || Ok((gateway.envoy.series(series)? == Some(1.0)).then_some(())))?;
    for path in ["/stats/prometheus", "/stats", "/config_dump"] {
        told.push(gateway.envoy.admin(path)?);
    }
    told.push(gateway.envoy.log()?);
    assert!(told.last().is_some_and(|log| log.contains("event=rolled_back endpoint=a reason=personal_data ")));
    let parts = ["maria", "rossi", "example.com"];
    let of_whom = |text: &&String| parts.iter().any(|part| text.contains(part));
    assert_eq!(told.iter().filter(of_whom).collect::<Vec<_>>(), Vec::<&String>::new());
    // What arrives after it is all that ever left.
    operator.done("PUT", "rollout", &json!({"percent": 100}))?;
    operator.done("POST", "rollout/resume", &Value::Null)?;
    let last = wait::until("an ordinary one is accepted", DEADLINE, || {
        let answer = gateway.send(&Event::new("paid", "{}"))?;
        Ok((answer.json()?["status"] == "accepted").then_some(answer.id()?))
    })?;
    wait::until("it arrives", DEADLINE, || {
        Ok(receiver.records("a", 0)?.iter().any(|record| record.id == last).then_some(()))
    })?;
    let bodies: Vec<Vec<u8>> = receiver.records("a", 0)?.iter().map(|record| record.body()).collect();
    assert!(bodies.iter().all(|body| body == b"{}"), "{bodies:?}");
    Ok(())
}
