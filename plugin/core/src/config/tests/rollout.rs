//! Tests of the section `rollout`: what it means, and which problems are told.

use super::*;
use crate::rollout::guard::{Guard, Hold};
use crate::rollout::{Percent, Phase};
use crate::time::WallTime;

fn rollout(value: Value) -> Rollout {
    good(&with("/rollout", value)).rollout
}

fn told(value: Value) -> Vec<String> {
    refused(&with("/rollout", value))
}

fn hours(hours: u64) -> Option<Duration> {
    Some(Duration::from_secs(hours * 3600))
}

/// Without the section every event goes to every endpoint, and nothing is watched.
#[test]
fn without_rollout_events_go_everywhere_unwatched() {
    let rollout = good(&minimal()).rollout;
    assert_eq!((rollout.plan.percent, rollout.plan.phases.len()), (Percent::ALL, 0));
    assert!(rollout.key.is_none() && rollout.guard.is_none());
}

#[test]
fn phases_start_and_key_are_read() {
    let rollout = rollout(json!({
        "key": "{header:x-tenant-id}",
        "start": "2026-11-23T14:00:00Z",
        "phases": [
            {"percent": 5, "for": "24h"},
            {"percent": "12.5", "for": "48h", "approval": "manual"},
            {"percent": 100},
        ],
    }));
    let phase = |percent, length, is_manual| Phase { percent: Percent(percent), length, is_manual };
    assert_eq!(
        rollout.plan.phases,
        [phase(500, hours(24), false), phase(1250, hours(48), true), phase(10_000, None, false)]
    );
    assert_eq!(rollout.plan.start, WallTime::parse("2026-11-23T14:00:00Z"));
    assert!(rollout.key.is_some());
}

#[test]
fn a_share_may_come_from_the_environment() {
    let config = with("/rollout", json!({"percent": {"env": "SHARE"}}));
    let parse = |share: &'static str| {
        let env = move |name: &str| if name == "SHARE" { Some(share.to_owned()) } else { env(name) };
        parse(config.to_string().as_bytes(), &env).map(|config| config.rollout.plan.percent)
    };
    assert_eq!(parse("12.5"), Ok(Percent(1250)));
    for share in ["", "101", "-1", "5%", "1.001", "NaN"] {
        let problems = parse(share).expect_err(share);
        assert_eq!(
            lines(&problems),
            ["rollout.percent: names a variable that holds no such number; expected a number from 0 to 100, with two \
              decimals at most"]
        );
    }
}

#[test]
fn an_empty_guard_watches_the_documented_objectives() {
    let guard = rollout(json!({"guard": {}})).guard.unwrap();
    let expected = Guard {
        min_success: Some(0.9),
        max_p95: Some(Duration::from_secs(5)),
        max_breaker_opens: Some(20),
        max_unauthorized: Some(0.1),
        personal_data: true,
        window: Duration::from_secs(300),
        min_events: 20,
        hold: Hold { min_success: Some(0.95), max_p95: Some(Duration::from_secs(2)), max_breaker_opens: Some(5) },
        keeps: true,
    };
    assert_eq!(guard, expected);
}

#[test]
fn every_threshold_can_be_changed_and_null_leaves_one_out() {
    let guard = rollout(json!({"guard": {
        "min_success": "0.5", "max_p95": null, "max_breaker_opens": 1, "max_unauthorized": null, "personal_data": false,
        "for": "10s", "min_events": 3, "hold": {"min_success": null, "max_p95": "1s"}, "on_rollback": "discard",
    }}));
    let guard = guard.guard.unwrap();
    assert_eq!((guard.min_success, guard.max_p95, guard.max_breaker_opens), (Some(0.5), None, Some(1)));
    assert_eq!((guard.max_unauthorized, guard.personal_data, guard.keeps), (None, false, false));
    assert_eq!((guard.window, guard.min_events), (Duration::from_secs(10), 3));
    let hold = Hold { min_success: None, max_p95: Some(Duration::from_secs(1)), max_breaker_opens: Some(5) };
    assert_eq!(guard.hold, hold);
}

#[test]
fn a_plan_that_cannot_be_meant_is_refused_with_its_place() {
    for (value, line) in [
        (json!({"percent": 101}), "rollout.percent: is 101"),
        (json!({"percent": 1.234}), "rollout.percent: is 1.234"),
        (json!({"percent": 5, "phases": [{"percent": 5}]}), "rollout.percent: stands beside phases"),
        (json!({"start": "2026-11-23T14:00:00Z"}), "rollout.start: begins phases, and there are none"),
        (json!({"start": "yesterday", "phases": [{"percent": 5}]}), "rollout.start: is \"yesterday\""),
        (json!({"phases": []}), "rollout.phases: is empty"),
        (json!({"phases": [{"percent": 5}, {"percent": 9}]}), "rollout.phases[0]: has no \"for\""),
        (json!({"phases": [{"percent": 5, "for": "1h"}, {"percent": 4}]}), "rollout.phases[1]: has a smaller percent"),
        (json!({"phases": [{"percent": 5, "approval": "maybe"}]}), "rollout.phases[0].approval: is \"maybe\""),
        (json!({"key": "{capture}"}), "rollout.key: uses {capture}"),
        (json!({"guard": {"min_success": 2}}), "rollout.guard.min_success: is 2"),
        (json!({"guard": {"for": "1ms"}}), "rollout.guard.for: is \"1ms\""),
        (json!({"guard": {"on_rollback": "panic"}}), "rollout.guard.on_rollback: is \"panic\""),
        (
            json!({"guard": {"hold": {"max_unauthorized": 1}}}),
            "rollout.guard.hold.max_unauthorized: is not a known key",
        ),
    ] {
        let told = told(value.clone());
        assert!(matches!(told.as_slice(), [only] if only.starts_with(line)), "{value}: {told:#?}");
    }
}
