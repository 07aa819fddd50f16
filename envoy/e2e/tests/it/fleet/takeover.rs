//! What was accepted is delivered, whichever gateway dies, and however.

use std::collections::BTreeSet;

use anyhow::Result;
#[cfg(target_os = "linux")]
use gatepost_e2e::worker::PausedWorker;
use gatepost_kit::fleet::account::Account;
use gatepost_kit::fleet::now;
use gatepost_kit::wait;
use serde_json::json;

use super::{ARRIVAL, FIRST, Plan, SECOND, Stage};
use crate::isolation::one_load_at_a_time;

const EVENTS: usize = 50;
/// What a gateway has pending that ends in an orderly way.
const PENDING: usize = 1000;
/// 9 MiB in all: more than twice what Envoy keeps of an answer in the example, and less than an endpoint's share of what one
/// worker holds, past which events are refused.
const LARGE_EVENTS: usize = 16;
const LARGE: usize = 600 * 1024;
/// The attempts that each worker has under way where receivers are slow.
#[cfg(target_os = "linux")]
const UNDER_WAY: usize = 10;

impl Stage {
    /// Waits until each of these has failed three times: the first failure is then some seconds old, and the journal knows
    /// of it.
    fn failed_thrice(&self, ids: &BTreeSet<String>) -> Result<()> {
        wait::until("each has failed three times", ARRIVAL, || {
            let records = self.receiver.records("a", 0)?;
            let attempts = |id: &String| records.iter().filter(|record| record.id == *id).count();
            Ok(ids.iter().all(|id| attempts(id) >= 3).then_some(()))
        })
    }

    /// Checks that what was pending at the first gateway, and had failed, was delivered by the second one: once each, with
    /// the attempts that were known, and a signature of that moment. `ended` is when the first one ended.
    fn taken_over(&self, what: &str, ids: &BTreeSet<String>, ended: f64) -> Result<()> {
        let taken = self.taken(ids)?;
        let first = taken.iter().map(|record| record.wall).fold(f64::MAX, f64::min);
        let last = taken.iter().map(|record| record.wall).fold(0.0, f64::max);
        println!("{what}: {} events went on {:.1} s to {:.1} s later", ids.len(), first - ended, last - ended);
        assert_eq!(taken.len(), ids.len(), "each was delivered once");
        for record in &taken {
            assert_eq!(record.problem, None);
            assert_eq!(record.agent, SECOND, "{record:?}");
            assert!(record.signed > ended, "signed afresh: {record:?}, {ended}");
            assert!(record.attempt >= 2, "the attempts go on: {record:?}");
        }
        Ok(())
    }
}

/// What waits for its next attempt when its gateway is killed is delivered by another: with its id, with the attempts it
/// has had, and freshly signed.
#[test]
fn killed_gateways_pending_are_delivered_by_another() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan::default())? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let ids = stage.accept(EVENTS)?;
    stage.failed_thrice(&ids)?;
    let killed = stage.fleet.gateway_mut(0)?.kill()?;
    stage.receiver.script("a", &json!({}))?;
    stage.taken_over("kill -9", &ids, killed)
}

/// A gateway that is told to end lets go of what is pending, at the latest when its lease lapses.
#[test]
fn terminated_gateways_pending_are_delivered_by_another() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan::default())? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let ids = stage.accept(PENDING)?;
    stage.failed_thrice(&ids)?;
    let status = stage.fleet.gateway_mut(0)?.terminate()?;
    let ended = now()?;
    assert!(status.success(), "{status}");
    stage.receiver.script("a", &json!({}))?;
    stage.taken_over("SIGTERM", &ids, ended)
}

/// A drain gives what is pending to the others before it is answered; the gateway then takes nothing new.
#[test]
fn drained_gateways_pending_are_delivered_by_another() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan::default())? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let ids = stage.accept(PENDING)?;
    stage.failed_thrice(&ids)?;
    let answer = stage.fleet.gateway(0)?.drain()?;
    let drained = now()?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refused = stage.fleet.gateway(0)?.send("payment_verified", &json!({}))?;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(!refused.retry_after.is_empty(), "{refused:?}");
    wait::until("the other has them", ARRIVAL, || {
        Ok((stage.fleet.gateway(1)?.pending()? == ids.len() as u64).then_some(()))
    })?;
    println!("drain: the other has them {:.1} s after the answer", now()? - drained);
    // Nothing is lost with a process that has given up everything.
    stage.fleet.gateway_mut(0)?.kill()?;
    stage.receiver.script("a", &json!({}))?;
    stage.taken_over("drain", &ids, drained)
}

/// Events of which few fit into one answer of etcd's are taken over as well.
#[test]
fn killed_gateways_large_events_are_delivered_by_another() -> Result<()> {
    let _alone = one_load_at_a_time();
    let plan = Plan { filter: json!({"limits": {"body": "1MiB"}}), ..Plan::default() };
    let Some(mut stage) = Stage::start(plan)? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let ids = stage.accept_of(LARGE_EVENTS, LARGE)?;
    stage.failed_thrice(&ids)?;
    let killed = stage.fleet.gateway_mut(0)?.kill()?;
    stage.receiver.script("a", &json!({}))?;
    stage.taken_over("kill -9, large events", &ids, killed)
}

/// Every gateway is killed at once under load and started again: each event that was accepted arrives.
#[test]
fn all_gateways_killed_at_once_lose_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan::default())? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"delay": 0.02}}))?;
    let load = stage.load(200);
    load.wait_for_more(400, ARRIVAL)?;
    let kills = [stage.fleet.gateway_mut(0)?.kill()?, stage.fleet.gateway_mut(1)?.kill()?];
    stage.fleet.gateway_mut(0)?.restart()?;
    stage.fleet.gateway_mut(1)?.restart()?;
    let outcome = load.finish_at(1000, ARRIVAL)?;
    stage.settle("both killed at once", &outcome, &kills)?;
    Ok(())
}

/// Gateways are killed in turn under load, while the receiver fails one in ten.
#[test]
fn gateways_killed_in_turn_lose_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan::default())? else { return Ok(()) };
    stage.receiver.fail_one_in_ten("a", 0.02)?;
    let load = stage.load(200);
    let mut kills = Vec::new();
    for gateway in [0, 1, 0] {
        load.wait_for_more(300, ARRIVAL)?;
        kills.push(stage.fleet.gateway_mut(gateway)?.kill()?);
        load.wait_for_more(100, ARRIVAL)?;
        stage.fleet.gateway_mut(gateway)?.restart()?;
    }
    let outcome = load.finish_at(2000, ARRIVAL)?;
    let account = stage.settle("killed in turn", &outcome, &kills)?;
    assert!([FIRST, SECOND].iter().all(|agent| account.delivered.contains_key(*agent)), "{:?}", account.delivered);
    Ok(())
}

/// A gateway that is stopped past its lease is taken over, and when it goes on it makes no attempt of what it lost.
#[test]
fn stopped_gateway_is_fenced_when_it_goes_on() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(stage) = Stage::start(Plan::default())? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let ids = stage.accept(EVENTS)?;
    stage.failed_thrice(&ids)?;
    let stopped = now()?;
    stage.fleet.gateway(0)?.envoy()?.pause()?;
    stage.receiver.script("a", &json!({}))?;
    stage.taken_over("SIGSTOP", &ids, stopped)?;
    let resumed = now()?;
    stage.fleet.gateway(0)?.envoy()?.resume()?;
    // It says what it has once it has a lease again.
    wait::until("it has nothing any more", ARRIVAL, || Ok((stage.pending()? == 0).then_some(())))?;
    let again = stage.fleet.gateway(0)?.send_until_accepted("payment_verified", &json!({}))?;
    let taken = stage.taken(&BTreeSet::from([again.id().to_owned()]))?;
    let late =
        taken.iter().filter(|record| record.agent == FIRST && record.signed > resumed && ids.contains(&record.id));
    assert_eq!(late.count(), 0, "what was taken over was not tried again: {taken:?}");
    Ok(())
}

/// One worker is paused past its lease while it has attempts under way, and its gateway goes on: what it had is delivered by
/// others, what the receiver took meanwhile comes twice, and when the worker goes on it makes no attempt of what it lost.
#[cfg(target_os = "linux")]
#[test]
fn paused_worker_is_fenced_when_it_goes_on() -> Result<()> {
    let _alone = one_load_at_a_time();
    let plan = Plan { endpoint: json!({"timeout": "30s", "max_in_flight": UNDER_WAY}), ..Plan::default() };
    let Some(stage) = Stage::start(plan)? else { return Ok(()) };
    // The receiver has each of them for longer than a lease, and takes it.
    stage.receiver.script("a", &json!({"then": {"delay": 10.0}}))?;
    let outcome = stage.load(200).finish_at(100, ARRIVAL)?;
    let ids: BTreeSet<_> = outcome.accepted.iter().map(|event| event.id.clone()).collect();
    let paused = now()?;
    let worker = PausedWorker::pause(stage.fleet.gateway(0)?.envoy()?.pid(), 0)?;
    stage.receiver.script("a", &json!({}))?;
    let account = wait::until("everything has arrived, and what was under way has come twice", ARRIVAL, || {
        let account = Account::of(&outcome.accepted, &stage.receiver.records("a", 0)?);
        Ok((account.missing.is_empty() && account.duplicates.len() >= UNDER_WAY).then_some(account))
    })?;
    let resumed = now()?;
    println!("a worker paused for {:.1} s: duplicates {}", resumed - paused, account.duplicates.len());
    drop(worker);
    wait::until("nothing is pending", ARRIVAL, || Ok((stage.pending()? == 0).then_some(())))?;
    let late = stage.receiver.records("a", 0)?;
    let late = late.iter().filter(|record| ids.contains(&record.id) && record.signed > resumed);
    assert_eq!(late.count(), 0, "what was taken over was not tried again");
    Ok(())
}

/// Without a journal what is pending ends with its gateway: what these tests look at does see it.
#[test]
fn without_a_journal_a_killed_gateways_pending_are_missing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan { journal: None, ..Plan::default() })? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let load = stage.load(200);
    load.wait_for_more(100, ARRIVAL)?;
    stage.fleet.gateway_mut(0)?.kill()?;
    stage.receiver.script("a", &json!({}))?;
    let outcome = load.finish_at(200, ARRIVAL)?;
    wait::until("nothing is pending", ARRIVAL, || Ok((stage.fleet.gateway(1)?.pending()? == 0).then_some(())))?;
    let account = Account::of(&outcome.accepted, &stage.receiver.records("a", 0)?);
    let of_first: BTreeSet<_> =
        outcome.accepted.iter().filter(|event| event.gateway == 0).map(|event| &event.id).collect();
    assert_eq!(account.missing.iter().collect::<BTreeSet<_>>(), of_first);
    assert!(!of_first.is_empty() && outcome.accepted.iter().all(|event| !event.is_journalled));
    Ok(())
}
