//! Deliveries that were tried more than once, as examples: what was waited between the attempts, and how it ended.
//!
//! A gateway remembers the last thousand events (`limits.history`), which may be minutes; a receiver's records go further.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::gateway::{DeliveryView, ListedDelivery};

/// A delivery with its waits.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Example {
    /// The gateway that remembers it, or the file of records that it is in.
    pub source: String,
    /// Of a file of records: its name.
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
    /// From the end of the one before to the beginning of this one, in seconds, or from arrival to arrival; `None`: it is
    /// the first.
    pub waited_seconds: Option<f64>,
    pub outcome: String,
    pub response_status: Option<u16>,
    /// How long it took; a receiver does not know.
    pub ms: Option<u64>,
}

/// An attempt, as its receiver recorded it.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub at: Timestamp,
    pub id: String,
    pub event: String,
    /// Its number within its schedule; a redelivery begins again at 1.
    pub attempt: Option<u32>,
    /// What it was answered; `None`: that was not recorded.
    pub status: Option<u16>,
}

/// Of what a gateway remembers, newest first.
pub(super) fn remembered(gateway: &str, deliveries: &[ListedDelivery]) -> Vec<Example> {
    let example = |ListedDelivery { event, delivery }: &ListedDelivery| Example {
        source: gateway.to_owned(),
        endpoint: delivery.endpoint.clone(),
        id: event.id.clone(),
        event: event.event.clone(),
        status: delivery.status.to_string(),
        attempts: attempts(delivery),
    };
    choose(deliveries.iter().filter(|listed| listed.delivery.attempts.len() > 1).map(example))
}

/// Of what a receiver recorded, oldest first.
pub(super) fn recorded(file: &str, arrivals: &[Arrival]) -> Vec<Example> {
    let mut by_id = BTreeMap::<&str, Vec<Vec<&Arrival>>>::new();
    for arrival in arrivals {
        let schedules = by_id.entry(&arrival.id).or_default();
        match schedules.last_mut() {
            Some(schedule) if arrival.attempt != Some(1) => schedule.push(arrival),
            _ => schedules.push(vec![arrival]),
        }
    }
    let schedules = by_id.into_values().flatten();
    let mut repeated: Vec<Vec<&Arrival>> = schedules.filter(|arrivals| arrivals.len() > 1).collect();
    repeated.sort_by_key(|arrivals| arrivals.first().map(|first| first.at));
    let examples = repeated.into_iter().filter_map(|arrivals| {
        let last = arrivals.last()?;
        let is_delivered = last.status.is_some_and(|status| (200..300).contains(&status));
        Some(Example {
            source: file.to_owned(),
            endpoint: file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned(),
            id: last.id.clone(),
            event: last.event.clone(),
            status: if is_delivered { "delivered" } else { "not seen delivered" }.to_owned(),
            attempts: waits(&arrivals),
        })
    });
    choose(examples)
}

fn waits(arrivals: &[&Arrival]) -> Vec<Attempt> {
    let mut before = None::<i64>;
    let attempts = arrivals.iter().map(|arrival| {
        let at = arrival.at.as_millisecond();
        let waited_seconds = before.replace(at).map(|before| (at - before) as f64 / 1000.0);
        let outcome = "answer not recorded".to_owned();
        Attempt { at: arrival.at, waited_seconds, outcome, response_status: arrival.status, ms: None }
    });
    attempts.collect()
}

fn attempts(delivery: &DeliveryView) -> Vec<Attempt> {
    let mut ended = None::<i64>;
    let attempts = delivery.attempts.iter().map(|tried| {
        let at = Timestamp::from(tried.at);
        let began = at.as_millisecond();
        let waited_seconds = ended.map(|ended| (began - ended).max(0) as f64 / 1000.0);
        ended = Some(began.saturating_add_unsigned(tried.ms));
        let (outcome, response_status) = (tried.outcome.to_string(), tried.response_status);
        Attempt { at, waited_seconds, outcome, response_status, ms: Some(tried.ms) }
    });
    attempts.collect()
}

/// Of each endpoint the first of each course of outcomes.
fn choose(all: impl Iterator<Item = Example>) -> Vec<Example> {
    let mut chosen = Vec::<Example>::new();
    for example in all {
        let of_endpoint = || chosen.iter().filter(|other| other.endpoint == example.endpoint);
        if of_endpoint().count() < EXAMPLES_MAX && !of_endpoint().any(|other| alike(other, &example)) {
            chosen.push(example);
        }
    }
    chosen
}

/// Did both go the same way to the same end?
fn alike(one: &Example, other: &Example) -> bool {
    let course = |example: &Example| -> Vec<(String, Option<u16>)> {
        example.attempts.iter().map(|attempt| (attempt.outcome.clone(), attempt.response_status)).collect()
    };
    one.status == other.status && course(one) == course(other)
}

/// Of one endpoint.
const EXAMPLES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delivery(status: &str, attempts: &[(&str, u64)]) -> ListedDelivery {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|(at, ms)| json!({"at": at, "outcome": "5xx", "response_status": 503, "ms": ms}))
            .collect();
        serde_json::from_value(json!({"id": "i", "event": "paid", "endpoint": "billing", "status": status,
            "accepted_at": "2026-11-25T12:00:00Z", "attempts": attempts}))
        .unwrap()
    }

    /// A wait is from the end of one attempt to the beginning of the next.
    #[test]
    fn wait_is_from_attempt_end_to_next_attempt_start() {
        let attempts =
            [("2026-11-25T12:00:00.000Z", 250), ("2026-11-25T12:00:02.250Z", 10), ("2026-11-25T12:00:06.262Z", 5)];
        let shown = remembered("g", &[delivery("delivered", &attempts)]);
        let waits: Vec<_> = shown[0].attempts.iter().map(|attempt| attempt.waited_seconds).collect();
        assert_eq!(waits, [None, Some(2.0), Some(4.002)]);
    }

    /// Of each course the newest is shown and one attempt is no course.
    #[test]
    fn newest_example_of_each_retry_course_is_shown() {
        let thrice = [("2026-11-25T12:00:00Z", 1), ("2026-11-25T12:00:02Z", 1), ("2026-11-25T12:00:06Z", 1)];
        let mut all = vec![delivery("delivered", &thrice[..1])];
        all.extend((0..5).flat_map(|_| [delivery("delivered", &thrice[..2]), delivery("failed", &thrice)]));
        all.push(delivery("delivered", &thrice));
        let shown: Vec<_> = remembered("g", &all).iter().map(|one| (one.status.clone(), one.attempts.len())).collect();
        assert_eq!(shown, [("delivered".to_owned(), 2), ("failed".to_owned(), 3), ("delivered".to_owned(), 3)]);
    }

    /// Attempts of one id in a receivers records are an example with the waits between arrivals.
    #[test]
    fn receiver_records_of_one_id_show_waits_between_arrivals() {
        let arrival = |id: &str, at: &str, attempt, status| Arrival {
            at: at.parse().unwrap(),
            id: id.to_owned(),
            event: "paid".to_owned(),
            attempt: Some(attempt),
            status: Some(status),
        };
        let arrivals = [
            arrival("a", "2026-11-25T12:00:00Z", 1, 503),
            arrival("b", "2026-11-25T12:00:01Z", 1, 400),
            arrival("a", "2026-11-25T12:00:02.5Z", 2, 200),
            // Somebody delivered it again.
            arrival("b", "2026-11-25T13:00:00Z", 1, 200),
        ];
        let shown = recorded("billing.json", &arrivals);
        assert_eq!((shown.len(), shown[0].endpoint.as_str(), shown[0].status.as_str()), (1, "billing", "delivered"));
        assert_eq!(shown[0].attempts[1].waited_seconds, Some(2.5));
    }
}
