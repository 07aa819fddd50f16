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

/// A few of the deliveries with several attempts: of each endpoint the newest of each course of outcomes.
pub(super) fn examples(gateway: &str, deliveries: &[Delivery]) -> Vec<Example> {
    let mut seen = Vec::<&Delivery>::new();
    for delivery in deliveries.iter().filter(|delivery| delivery.attempts.len() > 1) {
        let of_endpoint = seen.iter().filter(|other| other.endpoint == delivery.endpoint);
        if of_endpoint.clone().count() < EXAMPLES_MAX && !of_endpoint.into_iter().any(|other| alike(other, delivery)) {
            seen.push(delivery);
        }
    }
    let example = |delivery: &Delivery| Example {
        gateway: gateway.to_owned(),
        endpoint: delivery.endpoint.clone(),
        id: delivery.id.clone(),
        event: delivery.event.clone(),
        status: delivery.status.clone(),
        attempts: attempts(delivery),
    };
    seen.into_iter().map(example).collect()
}

/// Did both go the same way to the same end?
fn alike(one: &Delivery, other: &Delivery) -> bool {
    let course = |delivery: &Delivery| -> Vec<String> {
        delivery.attempts.iter().map(|tried| format!("{} {:?}", tried.outcome, tried.response_status)).collect()
    };
    one.status == other.status && course(one) == course(other)
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

/// Of one endpoint.
const EXAMPLES_MAX: usize = 8;

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
    fn of_each_course_the_newest_is_shown_and_one_attempt_is_no_course() {
        let thrice = [("2026-11-25T12:00:00Z", 1), ("2026-11-25T12:00:02Z", 1), ("2026-11-25T12:00:06Z", 1)];
        let mut all = vec![delivery("delivered", &thrice[..1])];
        all.extend((0..5).flat_map(|_| [delivery("delivered", &thrice[..2]), delivery("failed", &thrice)]));
        all.push(delivery("delivered", &thrice));
        let shown: Vec<_> = examples("g", &all).iter().map(|one| (one.status.clone(), one.attempts.len())).collect();
        assert_eq!(shown, [("delivered".to_owned(), 2), ("failed".to_owned(), 3), ("delivered".to_owned(), 3)]);
    }
}
