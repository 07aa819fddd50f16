//! Dead letters are the fleet's: they outlive their gateway, and any gateway lists, redelivers and discards them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use gatepost_kit::wait;
use serde_json::json;

use super::{ARRIVAL, Plan, Stage};
use crate::isolation::one_load_at_a_time;

const EVENTS: usize = 10;

impl Stage {
    /// Waits until a gateway lists so many dead letters, and gives them back.
    fn listed(&self, gateway: usize, letters: usize) -> Result<BTreeSet<String>> {
        wait::until("the gateway lists what there is", ARRIVAL, || {
            let listed = self.fleet.gateway(gateway)?.dead_letters()?;
            Ok((listed.len() == letters).then_some(listed))
        })
    }
}

#[test]
fn any_gateway_lists_redelivers_and_discards_dead_letters() -> Result<()> {
    let _alone = one_load_at_a_time();
    let plan = Plan { endpoint: json!({"retry": {"delays": ["0s", "0.2s"]}, "breaker": null}), ..Plan::default() };
    let Some(mut stage) = Stage::start(plan)? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let ids = stage.accept(EVENTS)?;
    let of_first = stage.listed(0, EVENTS)?;
    assert_eq!(stage.listed(1, EVENTS)?, of_first);
    wait::until("no segment is left", ARRIVAL, || {
        Ok((stage.fleet.etcd.count("/gatepost/shop/j/")? == 0).then_some(()))
    })?;

    stage.fleet.gateway_mut(0)?.kill()?;
    assert_eq!(stage.listed(1, EVENTS)?, of_first, "they outlive their gateway");
    let discarded = of_first.first().context("a letter")?;
    stage.fleet.gateway(1)?.delete(&format!("dead-letters/{discarded}"))?;
    stage.fleet.gateway_mut(0)?.restart()?;
    let left = stage.listed(0, EVENTS - 1)?;
    assert!(!left.contains(discarded) && left.is_subset(&of_first));

    stage.receiver.script("a", &json!({}))?;
    let answer = stage.fleet.gateway(0)?.post("dead-letters/redeliver")?;
    assert_eq!(answer.get("redelivered"), Some(&json!(EVENTS - 1)), "{answer}");
    let wanted = ids.into_iter().filter(|id| !discarded.starts_with(id.as_str())).collect();
    let taken = stage.taken(&wanted)?;
    assert_eq!(taken.len(), EVENTS - 1, "each was delivered once, and the discarded one was not: {taken:?}");
    stage.listed(0, 0)?;
    stage.listed(1, 0)?;
    wait::until("none is left in the journal", ARRIVAL, || {
        Ok((stage.fleet.etcd.count("/gatepost/shop/l/")? == 0).then_some(()))
    })
}
