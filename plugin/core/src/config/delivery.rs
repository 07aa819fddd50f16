//! The keys `retry`, `breaker` and `rate` of an endpoint: what is done when deliveries fail, and how fast attempts
//! leave.

use std::time::Duration;

use super::reader::{Node, Object, all};
use super::values::{choice, duration, statuses};
use crate::egress::breaker::{BreakerPolicy, Count};
use crate::egress::rate::Rate;
use crate::egress::retry::RetryPolicy;

/// The largest number of attempts of a delivery. Each is part of the delivery's state: 20 x 16 B.
const ATTEMPTS_MAX: usize = 20;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The highest rate, in attempts a second: faster than one Envoy worker can send by an order of magnitude.
const PER_SECOND_MAX: f64 = 1_000_000.0;
/// The lowest rate, in attempts a second: about one in a quarter of an hour.
const PER_SECOND_MIN: f64 = 0.001;

pub(super) fn retry(endpoint: &Object<'_>) -> Option<RetryPolicy> {
    let default = RetryPolicy::default();
    endpoint.or("retry", default.clone(), |node| {
        let object = node.object(&["delays", "jitter", "statuses"], &[])?;
        let delays = object.or("delays", default.delays, |node| {
            const EXPECTED: &str = "the wait before each attempt, the first included, such as [0s, 2s, 4s]";
            all(&node.some_list(ATTEMPTS_MAX, EXPECTED)?, |node| duration(node, Duration::ZERO, DAY))
        });
        let jitter = object.or("jitter", default.jitter, |node| node.number(0.0..=1.0, "a share from 0 to 1"));
        let statuses = object.or("statuses", default.statuses, statuses);
        Some(RetryPolicy { delays: delays?, jitter: jitter?, statuses: statuses? })
    })
}

pub(super) fn breaker(endpoint: &Object<'_>) -> Option<BreakerPolicy> {
    let default = BreakerPolicy::default();
    endpoint.or("breaker", default.clone(), |node| {
        let object = node.object(&["failures", "window", "open", "count", "statuses"], &[])?;
        // Each failure's time is kept: 100 x 8 B.
        let failures = object.integer("failures", default.failures, 100);
        let window = object.duration("window", default.window, Duration::from_secs(1), DAY);
        let open = object.duration("open", default.open, Duration::from_millis(100), DAY);
        let count = object.or("count", default.count, |node| {
            choice(node, &[("attempts", Count::Attempts), ("deliveries", Count::Deliveries)], &[])
        });
        let statuses = object.or("statuses", default.statuses, statuses);
        Some(BreakerPolicy { failures: failures?, window: window?, open: open?, count: count?, statuses: statuses? })
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
