//! The keys `retry`, `breaker` and `rate` of an endpoint: what is done when deliveries fail, and how fast attempts
//! leave.

use std::time::Duration;

use super::reader::{Node, Object, all};
use super::tree::Value;
use super::values::{choice, duration, statuses};
use crate::egress::breaker::{BreakerPolicy, Count};
use crate::egress::rate::Rate;
use crate::egress::retry::{RetryPolicy, RetryPreset};

/// The largest number of attempts of a delivery. Each is part of the delivery's state: 20 x 16 B.
const ATTEMPTS_MAX: usize = 20;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The highest rate, in attempts a second: faster than one Envoy worker can send by an order of magnitude.
const PER_SECOND_MAX: f64 = 1_000_000.0;
/// The lowest rate, in attempts a second: about one in a quarter of an hour.
const PER_SECOND_MIN: f64 = 0.001;

pub(super) fn retry(endpoint: &Object<'_>) -> Option<RetryPolicy> {
    endpoint.or("retry", RetryPolicy::default(), |node| {
        let object = node.object(&["preset", "delays", "jitter", "statuses"], &[])?;
        let preset = object.or("preset", RetryPreset::Quick, |node| choice(node, &RetryPreset::ALL, &[]));
        let default = RetryPolicy::from(preset.unwrap_or(RetryPreset::Quick));
        let is_alone =
            object.get("preset").is_none() || all(&["delays", "jitter"], |key| beside(&object, key)).is_some();
        let delays = object.or("delays", default.delays, |node| {
            const EXPECTED: &str = "the wait before each attempt, the first included, such as [0s, 2s, 4s]";
            all(&node.some_list(ATTEMPTS_MAX, EXPECTED)?, |node| duration(node, Duration::ZERO, DAY))
        });
        let jitter = object.or("jitter", default.jitter, |node| node.number(0.0..=1.0, "a share from 0 to 1"));
        let statuses = object.or("statuses", default.statuses, statuses);
        preset.filter(|_| is_alone)?;
        Some(RetryPolicy { delays: delays?, jitter: jitter?, statuses: statuses? })
    })
}

/// Refuses a key that says what a preset says: two schedules beside each other are a slip, whichever was meant.
fn beside(retry: &Object<'_>, key: &'static str) -> Option<()> {
    match retry.get(key) {
        Some(node) => node.problem("stands beside preset, which says it too", "a preset, or delays and jitter"),
        None => Some(()),
    }
}

/// Reads the key `breaker`; null: the endpoint has none.
pub(super) fn breaker(endpoint: &Object<'_>) -> Option<Option<BreakerPolicy>> {
    let default = BreakerPolicy::default();
    endpoint.or("breaker", Some(default.clone()), |node| {
        if *node.value() == Value::Null {
            return Some(None);
        }
        let object = node.object(&["failures", "window", "open", "count", "statuses"], &[])?;
        // Each failure's time is kept: 100 x 8 B.
        let failures = object.integer("failures", default.failures, 100);
        let window = object.duration("window", default.window, Duration::from_secs(1), DAY);
        let open = object.duration("open", default.open, Duration::from_millis(100), DAY);
        let count = object.or("count", default.count, |node| {
            choice(node, &[("attempts", Count::Attempts), ("deliveries", Count::Deliveries)], &[])
        });
        let statuses = object.or("statuses", default.statuses, statuses);
        let (failures, window, open, count, statuses) = (failures?, window?, open?, count?, statuses?);
        Some(Some(BreakerPolicy { failures, window, open, count, statuses }))
    })
}

pub(super) fn rate(node: &Node<'_>) -> Option<Rate> {
    let object = node.object(&["per_second", "burst"], &[])?;
    let per_second = object.required("per_second", "attempts a second", |node| {
        node.number(PER_SECOND_MIN..=PER_SECOND_MAX, "a number from 0.001 to 1000000")
    });
    // The default burst is what leaves in a second at the even pace of the rate: all of it may leave at the start of
    // the second.
    let second = per_second.map_or(1, |rate| (rate.ceil() as u32).max(1));
    let burst = object.integer("burst", second, 1_000_000);
    Some(Rate { per_second: per_second?, burst: burst? })
}
