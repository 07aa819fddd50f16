//! Answers of a simulated gateway of version 0.1.0, recorded before these types wrote them.

use serde::de::DeserializeOwned;

use super::*;
use crate::answer::Problem;

fn assert_read_and_written_alike<T: DeserializeOwned + Serialize>(recorded: &str) {
    let recorded = recorded.trim_end();
    let read: T = serde_json::from_str(recorded).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), recorded);
}

#[test]
fn a_recorded_answer_is_read_and_written_again_to_the_byte() {
    assert_read_and_written_alike::<Health>(include_str!("tests/health.json"));
    assert_read_and_written_alike::<Status>(include_str!("tests/status.json"));
    assert_read_and_written_alike::<Status>(include_str!("tests/status_overridden.json"));
    assert_read_and_written_alike::<EventDeliveries>(include_str!("tests/event.json"));
    assert_read_and_written_alike::<Deliveries>(include_str!("tests/deliveries.json"));
    assert_read_and_written_alike::<Letters>(include_str!("tests/dead_letters.json"));
    assert_read_and_written_alike::<Redelivered>(include_str!("tests/redelivered.json"));
    assert_read_and_written_alike::<HoursView>(include_str!("tests/hours.json"));
    assert_read_and_written_alike::<Fleet>(include_str!("tests/fleet.json"));
    assert_read_and_written_alike::<Status>(include_str!("tests/status_journal.json"));
    assert_read_and_written_alike::<Drained>(include_str!("tests/drained.json"));
    assert_read_and_written_alike::<Problem>(include_str!("tests/still_pending.json"));
    assert_read_and_written_alike::<Problem>(include_str!("tests/conflict.json"));
    assert_read_and_written_alike::<Problem>(include_str!("tests/personal_data.json"));
}

/// Answers of newer and of older gateways are read all the same.
#[test]
fn answer_of_another_gateway_version_is_read() {
    let newer = r#"{"instance":"i","state":"asleep","mood":{"good":true},"endpoints":[{"name":"a","breaker":{"state":"ajar"}}]}"#;
    let status: Status = serde_json::from_str(newer).unwrap();
    assert_eq!((&*status.state, &*status.endpoints[0].breaker.state), ("asleep", "ajar"));
    assert_eq!((status.draining, status.oldest_pending_seconds, status.process.started_at), Default::default());
}

#[test]
fn what_names_no_process_is_no_answer_of_a_gateway() {
    assert!(serde_json::from_str::<Status>(r#"{"state":"enabled","endpoints":[]}"#).is_err());
    assert!(serde_json::from_str::<Letters>("[]").is_err());
}

#[test]
fn a_share_is_written_as_the_config_writes_it() {
    for (percent, text) in [(0.0, "0"), (100.0, "100"), (12.5, "12.5"), (99.99, "99.99"), (0.01, "0.01")] {
        let rollout = RolloutView { percent, ..RolloutView::default() };
        assert_eq!(serde_json::to_string(&rollout).unwrap(), format!(r#"{{"percent":{text},"state":""}}"#));
    }
}
