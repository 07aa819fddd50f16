//! A dead endpoint is nobody else's trouble. Also what keeps loads from disturbing each other's figures.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use gatepost_e2e::load::{Accepted, Load};
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver, Record};
use gatepost_kit::wait;
use serde_json::json;

/// Held by a test that loads the machine: there are few cores, and two loads at once say nothing of either.
pub fn one_load_at_a_time() -> MutexGuard<'static, ()> {
    static LOAD: Mutex<()> = Mutex::new(());
    // A test that failed while it held it is over too.
    LOAD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 100 events a second.
fn load(seconds: u32) -> Load {
    let every = Duration::from_millis(40);
    Load { protocol: Protocol::Http1, connections: 4, events: seconds * 25, every: Some(every) }
}

/// While one endpoint is down for a minute the other ones p99 does not move.
#[test]
fn endpoint_down_for_a_minute_does_not_move_the_others_p99() -> Result<()> {
    let _alone = one_load_at_a_time();
    let receiver = Receiver::start(
        &[("alive", "secret-1"), ("dead", "secret-2")],
        &Options { port: 0, compact: true, ..Options::default() },
    )?;
    let dead = json!({"timeout": "2s", "breaker": {"open": "5s"}, "overflow": "dead_letter", "pending": 1000});
    let endpoints = [endpoint("alive", "secret-1", json!({})), endpoint("dead", "secret-2", dead)];
    let gateway = Gateway::start(&Setup::new(&receiver, &endpoints))?;
    let event = Event::new("payment_verified", "{\"amount\":42}");

    let before = load(15).run(&gateway, &event)?;
    // Hanging is the worst way to be down: each attempt holds its place until it times out.
    receiver.script("dead", &json!({"then": {"act": "hang"}}))?;
    let during = load(60).run(&gateway, &event)?;

    let all = before.len() + during.len();
    wait::until("the other endpoint has everything", Duration::from_secs(30), || {
        Ok((receiver.counters("alive")?.delivered >= all as u64).then_some(()))
    })?;
    assert_eq!(receiver.counters("alive")?.requests, all as u64);
    let records = receiver.records("alive", 0)?;
    let (baseline, disturbed) = (p99(&before, &records)?, p99(&during, &records)?);
    println!("p99 {:.1} ms with both alive, {:.1} ms with one down", baseline * 1e3, disturbed * 1e3);
    // Waiting behind the dead endpoint would cost its timeout, 2 s. What is allowed here is the machine's noise.
    assert!(disturbed < baseline + 1.0, "p99 {baseline} s with both alive, {disturbed} s with one down");
    assert!(receiver.counters("dead")?.requests > before.len() as u64, "it was tried while it was down");
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

/// The 99th percentile of the seconds from sending an event to its arrival.
fn p99(accepted: &[Accepted], records: &[Record]) -> Result<f64> {
    let arrived: HashMap<&str, f64> = records.iter().map(|record| (record.id.as_str(), record.wall)).collect();
    let mut seconds = Vec::new();
    for event in accepted {
        seconds.push(arrived.get(event.id.as_str()).with_context(|| format!("{} is lost", event.id))? - event.sent);
    }
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() * 99 / 100).copied().context("no events")
}
