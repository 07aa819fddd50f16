//! Deliveries that were tried more than once, as examples: what was waited between the attempts, and how it ended.

use jiff::Timestamp;
use serde::Serialize;

use crate::gateway::Delivery;

/// A delivery with its waits.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Example {
    pub gateway: String,
    pub endpoint: String,
    /// The event's id.
    pub id: String,
    pub event: String,
    /// How it ended, or that it did not.
    pub status: String,
    pub attempts: Vec<Attempt>,
}

/// One of its attempts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Attempt {
    pub at: Timestamp,
    /// From the end of the one before to the beginning of this one, in seconds; `None`: it is the first.
    pub waited_seconds: Option<f64>,
    pub outcome: String,
    pub response_status: Option<u16>,
    pub ms: u64,
}

/// A few of the deliveries with several attempts: of each endpoint and each ending the newest ones.
pub(super) fn examples(gateway: &str, deliveries: &[Delivery]) -> Vec<Example> {
    let mut examples = Vec::<Example>::new();
    for delivery in deliveries.iter().filter(|delivery| delivery.attempts.len() > 1) {
        let alike = |other: &&Example| other.endpoint == delivery.endpoint && other.status == delivery.status;
        if examples.iter().filter(alike).count() < EACH {
            examples.push(Example {
                gateway: gateway.to_owned(),
                endpoint: delivery.endpoint.clone(),
                id: delivery.id.clone(),
                event: delivery.event.clone(),
                status: delivery.status.clone(),
                attempts: attempts(delivery),
            });
        }
    }
    examples
}

fn attempts(delivery: &Delivery) -> Vec<Attempt> {
    let mut ended = None::<i64>;
    let attempts = delivery.attempts.iter().map(|tried| {
        let began = tried.at.as_millisecond();
        let waited_seconds = ended.map(|ended| (began - ended).max(0) as f64 / 1000.0);
        ended = Some(began.saturating_add_unsigned(tried.ms));
        let (outcome, response_status) = (tried.outcome.clone(), tried.response_status);
        Attempt { at: tried.at, waited_seconds, outcome, response_status, ms: tried.ms }
    });
    attempts.collect()
}

/// So many alike say it.
const EACH: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delivery(status: &str, attempts: &[(&str, u64)]) -> Delivery {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|(at, ms)| json!({"at": at, "outcome": "5xx", "response_status": 503, "ms": ms}))
            .collect();
        serde_json::from_value(json!({"id": "i", "event": "paid", "endpoint": "billing", "status": status,
            "accepted_at": "2026-11-25T12:00:00Z", "attempts": attempts}))
        .unwrap()
    }

    #[test]
    fn a_wait_is_from_the_end_of_one_attempt_to_the_beginning_of_the_next() {
        let attempts =
            [("2026-11-25T12:00:00.000Z", 250), ("2026-11-25T12:00:02.250Z", 10), ("2026-11-25T12:00:06.262Z", 5)];
        let shown = examples("g", &[delivery("delivered", &attempts)]);
        let waits: Vec<_> = shown[0].attempts.iter().map(|attempt| attempt.waited_seconds).collect();
        assert_eq!(waits, [None, Some(2.0), Some(4.002)]);
    }

    #[test]
    fn two_examples_of_each_ending_are_enough_and_one_attempt_is_none() {
        let twice = [("2026-11-25T12:00:00Z", 1), ("2026-11-25T12:00:02Z", 1)];
        let mut all = vec![delivery("delivered", &twice[..1])];
        all.extend((0..5).flat_map(|_| [delivery("delivered", &twice), delivery("failed", &twice)]));
        assert_eq!(examples("g", &all).len(), 4);
    }
}
