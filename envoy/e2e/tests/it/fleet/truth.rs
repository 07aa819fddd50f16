//! What is true at one gateway is true at the other: switches, and the keys of producers.

use std::collections::BTreeSet;

use anyhow::Result;
use gatepost_kit::fleet::now;
use gatepost_kit::wait;
use serde_json::json;

use super::{ARRIVAL, Plan, Stage};
use crate::isolation::one_load_at_a_time;

/// Switched at one gateway, a fleet is paused and goes on at the other.
#[test]
fn switch_at_one_gateway_is_in_force_at_the_other() -> Result<()> {
    let _alone = one_load_at_a_time();
    let Some(stage) = Stage::start(Plan::default())? else { return Ok(()) };
    let (first, second) = (stage.fleet.gateway(0)?, stage.fleet.gateway(1)?);
    second.send_until_accepted("payment_verified", &json!({}))?;
    for state in ["paused", "enabled"] {
        first.put("state", &json!({"state": state, "reason": "a test"}))?;
        let switched = now()?;
        wait::until("the other has it", ARRIVAL, || {
            Ok((second.status()?.get("state").is_some_and(|other| other == state)).then_some(()))
        })?;
        println!("{state} at the other {:.2} s later", now()? - switched);
    }
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
