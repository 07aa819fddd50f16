//! etcd loses its leader, or everything, under load: producers are told to come again, and nothing accepted is missing.

use std::time::Duration;

use anyhow::Result;
use gatepost_kit::etcd;
use gatepost_kit::fleet::load::{Outcome, Refused};
use gatepost_kit::fleet::now;
use gatepost_kit::wait;
use serde_json::json;

use super::{ARRIVAL, Plan, Stage};
use crate::isolation::one_load_at_a_time;

/// Three members, and the lease of the example, which outlasts an election.
fn three() -> Plan {
    let etcd = etcd::Options { members: 3, quota: None };
    Plan { etcd, journal: Some(json!({})), ..Plan::default() }
}

/// Every refusal is an answer, and says when to come again.
fn assert_told(outcome: &Outcome) {
    let is_told = |refused: &&Refused| refused.status == Some(503) && refused.has_retry_after;
    let others: Vec<_> = outcome.refused.iter().filter(|refused| !is_told(refused)).collect();
    assert!(others.is_empty(), "expected 503 with retry-after: {others:?}");
}

/// The leader is killed and comes back; the next one is stopped, and goes on.
#[test]
fn leaders_killed_and_stopped_under_load_lose_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(three())? else { return Ok(()) };
    let load = stage.load(200);
    load.wait_for_more(200, ARRIVAL)?;
    let etcd = &mut stage.fleet.etcd;
    let killed = etcd.leader()?;
    let begun = now()?;
    etcd.kill(killed)?;
    load.wait_for_more(300, ARRIVAL)?;
    etcd.restart(killed)?;
    etcd.wait_until_serving()?;
    let stopped = etcd.leader()?;
    etcd.pause(stopped)?;
    load.wait_for_more(300, ARRIVAL)?;
    etcd.resume(stopped)?;
    etcd.wait_until_serving()?;
    let outcome = load.finish_at(1500, ARRIVAL)?;
    assert_told(&outcome);
    // A leader that was stopped for as long as a lease revokes all leases when it goes on, before it learns that it leads
    // no more (https://github.com/etcd-io/etcd/issues/15247): every gateway is then taken over as if it had died.
    stage.settle("leader killed, the next one stopped", &outcome, &moments(begun, now()?))?;
    Ok(())
}

/// While all members are dead, for longer than a lease, producers get 503; afterwards all goes on without a hand.
#[test]
fn etcd_dead_for_longer_than_a_lease_loses_nothing() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(mut stage) = Stage::start(Plan { journal: Some(json!({"lease": "2s"})), ..three() })? else {
        return Ok(());
    };
    stage.receiver.script("a", &json!({"then": {"delay": 0.02}}))?;
    let load = stage.load(200);
    load.wait_for_more(200, ARRIVAL)?;
    (0..3).try_for_each(|member| stage.fleet.etcd.kill(member))?;
    let dead = now()?;
    // An event that was under way may still be told that it was accepted, by what was committed.
    let mut refusals = 0;
    wait::until("several leases have lapsed", ARRIVAL, || {
        let answer = stage.fleet.gateway(0)?.send("payment_verified", &json!({}))?;
        assert!(answer.status == 503 && !answer.retry_after.is_empty(), "{answer:?}");
        refusals += 1;
        Ok((now()? - dead > OUTAGE.as_secs_f64()).then_some(()))
    })?;
    assert!(refusals > 0);
    (0..3).try_for_each(|member| stage.fleet.etcd.restart(member))?;
    stage.fleet.etcd.wait_until_serving()?;
    let outcome = load.finish_at(800, ARRIVAL)?;
    assert_told(&outcome);
    // Without etcd no gateway can note what it has delivered.
    stage.settle("all members dead", &outcome, &moments(dead, now()?))?;
    Ok(())
}

/// Moments at which a gateway may have been taken over, so near to each other that one lies just before any delivery of
/// this time.
fn moments(begin: f64, end: f64) -> Vec<f64> {
    (0..).map(|number| begin + f64::from(number) * 0.25).take_while(|moment| *moment < end + 1.0).collect()
}

/// Several leases of two seconds.
const OUTAGE: Duration = Duration::from_secs(8);
