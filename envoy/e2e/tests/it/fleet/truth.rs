//! What is true at one gateway is true at the other: switches, the keys of producers, and the messages of senders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::thread;
use std::time::UNIX_EPOCH;

use anyhow::{Result, anyhow};
use gatepost_kit::fleet::now;
use gatepost_kit::{http, wait};
use serde_json::{Value, json};

use super::{APPLICATION, ARRIVAL, Plan, SECRET, Stage};
use crate::isolation::one_load_at_a_time;
use crate::receivers::webhook::signature;

const SWITCHES: usize = 100;

/// What is switched at one gateway is in force at the other, each of a hundred times.
#[test]
fn switch_at_one_gateway_is_in_force_at_the_other() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(stage) = Stage::start(Plan::default())? else { return Ok(()) };
    let (first, second) = (stage.fleet.gateway(0)?, stage.fleet.gateway(1)?);
    second.send_until_accepted("payment_verified", &json!({}))?;
    let mut seconds = Vec::new();
    for state in ["paused", "enabled"].into_iter().cycle().take(SWITCHES) {
        first.put("state", &json!({"state": state, "reason": "a test"}))?;
        let switched = now()?;
        wait::until("the other has it", ARRIVAL, || {
            Ok((second.status()?.get("state").is_some_and(|other| other == state)).then_some(()))
        })?;
        seconds.push(now()? - switched);
    }
    seconds.sort_unstable_by(f64::total_cmp);
    let [half, most, last] = [SWITCHES / 2, SWITCHES * 99 / 100 - 1, SWITCHES - 1].map(|rank| seconds[rank]);
    println!("{SWITCHES} switches at the other: p50 {half:.3} s, p99 {most:.3} s, at most {last:.3} s");
    Ok(())
}

/// An event sent again with its key, to the other gateway, is the same event, and is delivered once.
#[test]
fn idempotency_key_used_at_one_is_replayed_at_the_other() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(stage) = Stage::start(Plan::default())? else { return Ok(()) };
    let body = json!({"amount": 42});
    let send = |gateway: usize| {
        wait::until("an event is accepted", ARRIVAL, || {
            let gateway = stage.fleet.gateway(gateway)?;
            let answer = gateway.send_with("payment_verified", &body, &[("idempotency-key", "one")])?;
            Ok((answer.status == 202).then_some(answer))
        })
    };
    let (once, again) = (send(0)?, send(1)?);
    assert_eq!(once.id(), again.id());
    let other = stage.fleet.gateway(1)?.send_until_accepted("payment_verified", &body)?;
    let taken = stage.taken(&[once.id(), other.id()].map(str::to_owned).into())?;
    let ids: BTreeSet<_> = taken.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((taken.len(), ids.len()), (2, 2), "{taken:?}");
    Ok(())
}

/// A message, signed by its sender.
struct Message {
    id: String,
    at: String,
    body: String,
}

impl Message {
    fn new(number: usize) -> Result<Self> {
        let at = UNIX_EPOCH.elapsed()?.as_millis().to_string();
        Ok(Self { id: format!("msg_{number}"), at, body: json!({"number": number}).to_string() })
    }

    /// Sends it to a gateway; the status and the body of the answer.
    fn send(&self, gateway: &str) -> Result<(u16, Value)> {
        let request = http::client().post(format!("http://{gateway}/webhooks/inbound"));
        let request = request.header("x-webhook-id", &self.id).header("x-webhook-timestamp", &self.at);
        let request = request.header("x-webhook-event", "paid").header("x-webhook-attempt", "1");
        let signed = signature(SECRET, &self.at, self.body.as_bytes());
        let mut response = request.header("x-webhook-signature", &signed).send(&self.body)?;
        let text = response.body_mut().read_to_string()?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Sends it until it is taken, or known; the body of that answer.
    fn send_until_told(&self, gateway: &str) -> Result<Value> {
        wait::until("the message is taken, or known", ARRIVAL, || {
            let (status, body) = self.send(gateway)?;
            Ok((status == 200).then_some(body))
        })
    }
}

/// The same message at both gateways at once reaches the application once; with the first gateway dead, the second one
/// still knows what that had taken.
#[test]
fn message_at_both_gateways_reaches_the_application_once() -> Result<()> {
    const MESSAGES: usize = 60;
    const SENDERS: usize = 8;
    let _alone = one_load_at_a_time();
    let rule = json!({
        "name": "partner", "match": {"path": "/webhooks/inbound"}, "secrets": [{"value": SECRET}],
        "replay": {"scope": "fleet"},
    });
    let plan = Plan { filter: json!({"inbound": [rule]}), ..Plan::default() };
    let Some(mut stage) = Stage::start(plan)? else { return Ok(()) };
    let addresses = stage.fleet.addresses();
    let messages = (0..MESSAGES).map(Message::new).collect::<Result<Vec<_>>>()?;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for message in &messages {
        let start = Barrier::new(SENDERS);
        let answers = thread::scope(|scope| {
            let send = |sender: usize| {
                let (start, gateway) = (&start, &addresses[sender % addresses.len()]);
                scope.spawn(move || {
                    start.wait();
                    message.send(gateway)
                })
            };
            let senders: Vec<_> = (0..SENDERS).map(send).collect();
            let answer =
                |sender: thread::ScopedJoinHandle<'_, _>| sender.join().map_err(|_| anyhow!("a sender panicked"))?;
            senders.into_iter().map(answer).collect::<Result<Vec<_>>>()
        })?;
        answers.iter().for_each(|(status, _)| *statuses.entry(*status).or_default() += 1);
        for address in &addresses {
            message.send_until_told(address)?;
        }
    }
    let arrived = stage.receiver.records(APPLICATION, 0)?;
    println!(
        "{MESSAGES} messages, {SENDERS} times each at once: {statuses:?}; {} reached the application",
        arrived.len()
    );
    let ids: BTreeSet<_> = arrived.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((arrived.len(), ids.len()), (MESSAGES, MESSAGES), "each once");
    stage.fleet.gateway_mut(0)?.kill()?;
    for message in &messages {
        assert_eq!(message.send_until_told(&addresses[1])?, json!({"status": "duplicate"}));
    }
    assert_eq!(stage.receiver.records(APPLICATION, 0)?.len(), MESSAGES);
    Ok(())
}
