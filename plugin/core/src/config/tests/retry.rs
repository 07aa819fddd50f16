//! Schedules by name, and what may stand beside one.

use super::refused::each_is_refused;
use super::*;
use crate::outcome::StatusSet;

/// A preset is its schedule, beside it stand only statuses, and `max_age` follows the schedule, as it does from delays.
#[test]
fn retry_preset_gives_schedule_jitter_and_max_age() {
    let read = |retry: Value| {
        let mut tree = minimal();
        tree["endpoints"][0]["retry"] = retry;
        good(&tree).endpoints.remove(0)
    };
    let standard = read(json!({"preset": "standard", "statuses": ["5xx"]}));
    assert_eq!((standard.retry.delays.len(), standard.retry.jitter), (8, 0.2));
    assert_eq!(standard.retry.statuses, StatusSet::default().with(500..=599));
    assert_eq!(standard.max_age, Duration::from_millis(170_557_500));
    let patient = read(json!({"preset": "patient"}));
    assert_eq!((patient.retry.delays.len(), patient.max_age.as_secs()), (10, 386_557));
    assert_eq!(read(json!({"preset": "quick"})).retry, read(json!({})).retry);
    assert_eq!(read(json!({"delays": ["23h", "1h"]})).max_age, Duration::from_secs(36 * 3600));
    let longest = read(json!({"delays": vec!["24h"; 20]}));
    assert_eq!(longest.max_age, Duration::from_secs(30 * 24 * 3600), "no more than max_age may be");
}

#[test]
fn unknown_presets_and_a_schedule_beside_one_are_refused() {
    each_is_refused(&[
        (
            "/endpoints/0/retry",
            json!({"preset": "slow"}),
            "endpoints[0].retry.preset",
            "is \"slow\", which is not known; expected quick or standard or patient",
        ),
        (
            "/endpoints/0/retry",
            json!({"preset": "quick", "delays": ["0s"]}),
            "endpoints[0].retry.delays",
            "stands beside preset, which says it too",
        ),
        (
            "/endpoints/0/retry",
            json!({"preset": "standard", "statuses": ["5xx"], "jitter": 0}),
            "endpoints[0].retry.jitter",
            "stands beside preset, which says it too",
        ),
        ("/endpoints/0/breaker", json!(false), "endpoints[0].breaker", "is a boolean"),
    ]);
}
