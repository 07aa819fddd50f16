//! etcd has no space left: producers are told to come again, until somebody makes room.

use anyhow::{Context, Result};
use gatepost_kit::etcd;
use gatepost_kit::wait;
use serde_json::json;

use super::{ARRIVAL, Plan, Stage};
use crate::isolation::one_load_at_a_time;

/// Little, and more than the load takes.
const QUOTA: u64 = 16 * 1024 * 1024;

/// Somebody else fills etcd. New events get 503; those accepted before are delivered; after what the runbook says events
/// are accepted again.
#[test]
fn full_etcd_refuses_and_recovers_by_the_runbook() -> Result<()> {
    let _alone = one_load_at_a_time();
    let etcd = etcd::Options { members: 1, quota: Some(QUOTA) };
    let Some(stage) = Stage::start(Plan { etcd, journal: Some(json!({})), ..Plan::default() })? else {
        return Ok(());
    };
    let load = stage.load(100);
    load.wait_for_more(100, ARRIVAL)?;
    let filler = vec![7; 512 * 1024];
    let etcd = &stage.fleet.etcd;
    let full = (0..64).find_map(|number| etcd.put(&format!("/filler/{number}"), &filler).err());
    let full = full.context("etcd never fills up")?.to_string();
    assert!(full.contains("database space exceeded"), "{full}");
    let refused = wait::until("events are refused", ARRIVAL, || {
        let answer = stage.fleet.gateway(0)?.send("payment_verified", &json!({}))?;
        Ok((answer.status != 202).then_some(answer))
    })?;
    assert!(refused.status == 503 && !refused.retry_after.is_empty(), "{refused:?}");
    let before = load.accepted();
    etcd.delete("/filler/")?;
    etcd.compact()?;
    etcd.defragment(0)?;
    etcd.disarm()?;
    assert_eq!(etcd.alarms()?, 0);
    load.wait_for_more(200, ARRIVAL)?;
    assert!(load.accepted() > before);
    let outcome = load.finish()?;
    assert!(outcome.refused.iter().all(|refused| refused.status == Some(503) && refused.has_retry_after));
    stage.settle("disk full", &outcome, &[])?;
    Ok(())
}
