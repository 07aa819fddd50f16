//! What the guard of a rollout decides is decided on all gateways' windows together.

use anyhow::Result;
use gatepost_kit::wait;
use serde_json::{Value, json};

use super::{ARRIVAL, Plan, Stage};
use crate::isolation::one_load_at_a_time;

/// Events a second at both gateways together. Within the 20 s that the guard looks back each has 40.
const PER_SECOND: u32 = 4;
/// More than one gateway has, and less than both.
const MIN_EVENTS: usize = 60;

/// Neither gateway has seen enough to judge, and both together have: the endpoint is rolled back at both.
#[test]
fn guard_judges_the_windows_of_both_gateways_together() -> Result<()> {
    let _alone = one_load_at_a_time();
    let guard = json!({"min_events": MIN_EVENTS, "min_success": 0.9, "for": "20s"});
    let plan = Plan {
        endpoint: json!({"retry": {"delays": ["0s"]}, "breaker": null}),
        filter: json!({"rollout": {"guard": guard}}),
        ..Plan::default()
    };
    let Some(stage) = Stage::start(plan)? else { return Ok(()) };
    stage.receiver.script("a", &json!({"then": {"status": 503}}))?;
    let load = stage.load(PER_SECOND);
    for gateway in [0, 1] {
        let detail = wait::until("the endpoint is rolled back", ARRIVAL, || {
            let status = stage.fleet.gateway(gateway)?.status()?;
            let rollout = status.pointer("/endpoints/0/rollout");
            let detail = rollout.filter(|rollout| rollout.get("state").is_some_and(|state| state == "rolled_back"));
            Ok(detail.and_then(|rollout| rollout.get("detail")).and_then(Value::as_str).map(str::to_owned))
        })?;
        assert!(detail.contains("over 2 gateways"), "{detail}");
    }
    load.finish().map(drop)
}
