//! The checks of attempts: receivers get the event that was sent, signed at the moment of the attempt, as often and as
//! soon as the schedule says.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use host_tests::{Call, Thread};

use super::facts::{Attempt, Facts};
use super::invariant::{Broken, Invariant, broken};
use crate::plan::{Endpoint, Plan, Rate};
use crate::receivers::Received;

/// The tolerance of the check of rates, in tokens: an attempt that is due by the millisecond may be a hair early where
/// the filter counts in fractions of a second.
const HAIR: f64 = 1e-3;

/// The checks of attempts.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The leaky bucket of each endpoint with a rate: its level, in attempts, and the time of that level.
    buckets: BTreeMap<String, (f64, Duration)>,
    /// When the attempts under way end, by thread and endpoint.
    in_flight: BTreeMap<(Thread, String), VecDeque<Duration>>,
}

impl Attempts {
    /// Checks an attempt of a delivery.
    pub fn check(&mut self, plan: &Plan, facts: &mut Facts, endpoint: &Endpoint, got: &Received) -> Result<(), Broken> {
        let call = &got.call;
        signed(endpoint, call)?;
        let id = event(facts, call)?;
        let delivery = facts.delivery(&id, &endpoint.name).filter(|_| facts.kept.contains_key(&id));
        let Some((_, accepted)) = delivery.and_then(|delivery| delivery.accepted) else {
            return broken(Invariant::Kept, format!("{id} is sent and was never kept"));
        };
        if call.at >= accepted + endpoint.max_age {
            return broken(Invariant::MaxAge, format!("{id} at {:?}, accepted at {accepted:?}", call.at));
        }
        self.rate(endpoint, call)?;
        if plan.is_calm() {
            self.flight(endpoint, got)?;
        }
        schedule(plan, facts, endpoint, got, &id)
    }

    /// Checks an attempt of a letter at the sink.
    pub fn sink(&self, plan: &Plan, facts: &mut Facts, got: &Received) -> Result<(), Broken> {
        let call = &got.call;
        let name = call.header("x-webhook-endpoint").to_owned();
        let Some(endpoint) = plan.endpoint(&name).filter(|endpoint| endpoint.has_sink) else {
            return broken(Invariant::Sink, format!("a letter of {name:?}, which has no sink"));
        };
        signed(endpoint, call)?;
        let id = event(facts, call)?;
        let schedule = endpoint.delays.len() as u32;
        let (copies, disruptions) = (facts.sent.get(&call.body).map_or(1, |sent| sent.times), facts.disruptions);
        let delivery = facts.delivery_mut(&id, &name);
        delivery.sink_sends += 1;
        let place = format!("{id} of {name} at {:?}, {} were sent", call.at, delivery.sink_sends);
        let most = schedule * (copies + delivery.redelivered) + disruptions;
        let number: u32 = call.header("x-webhook-attempt").parse().unwrap_or_default();
        if number == 0 || number > schedule || delivery.sink_sends > most {
            return broken(Invariant::Sink, place);
        }
        let reasons = ["failed", "expired", "overflow", "endpoint_removed", "poison"];
        if !reasons.contains(&call.header("x-webhook-dead-letter")) {
            return broken(Invariant::Sink, format!("{place}, for no known reason"));
        }
        if delivery.letters + delivery.redelivered == 0 {
            return broken(Invariant::Sink, format!("{place}, and its letter is not kept"));
        }
        Ok(())
    }

    /// Checks the rate by a leaky bucket that holds `burst`, and leaks `per_second`.
    fn rate(&mut self, endpoint: &Endpoint, call: &Call) -> Result<(), Broken> {
        let Some(Rate { per_second, burst }) = endpoint.rate else { return Ok(()) };
        let (level, at) = self.buckets.get(&endpoint.name).copied().unwrap_or_default();
        let leaked = call.at.saturating_sub(at).as_secs_f64() * f64::from(per_second);
        let level = (level - leaked).max(0.0) + 1.0;
        self.buckets.insert(endpoint.name.clone(), (level, call.at));
        if level > f64::from(burst) + HAIR {
            return broken(Invariant::Rate, format!("{} at {:?}: {level:.3} of {burst}", endpoint.name, call.at));
        }
        Ok(())
    }

    fn flight(&mut self, endpoint: &Endpoint, got: &Received) -> Result<(), Broken> {
        let call = &got.call;
        let flights = self.in_flight.entry((call.thread, endpoint.name.clone())).or_default();
        flights.retain(|end| *end > call.at);
        flights.push_back(got.end.at);
        if flights.len() > endpoint.max_in_flight {
            let place = format!("{} of {} on {} at {:?}", flights.len(), endpoint.name, call.thread, call.at);
            return broken(Invariant::InFlight, place);
        }
        Ok(())
    }
}

/// Checks that a call carries an event that was sent; returns the event's id.
fn event(facts: &mut Facts, call: &Call) -> Result<String, Broken> {
    let Some(sent) = facts.sent.get(&call.body).cloned() else {
        return broken(Invariant::Body, String::from_utf8_lossy(&call.body));
    };
    let id = call.header("x-webhook-id").to_owned();
    facts.identify(&id, &call.body)?;
    let (event, kind) = (call.header("x-webhook-event"), call.header("content-type"));
    if event != sent.event || kind != "application/json" {
        return broken(Invariant::Headers, format!("{event} as {kind:?} for {}", sent.event));
    }
    Ok(id)
}

/// Checks that there are never more attempts than the schedule has, and none sooner than the schedule says.
fn schedule(plan: &Plan, facts: &mut Facts, endpoint: &Endpoint, got: &Received, id: &str) -> Result<(), Broken> {
    let Received { call, end, .. } = got;
    let (schedule, calm) = (endpoint.delays.len() as u32, facts.is_calm(plan, id));
    let copies = if calm { 1 } else { facts.sent.get(&call.body).map_or(1, |sent| sent.times) };
    let disruptions = facts.disruptions;
    let delivery = facts.delivery_mut(id, &endpoint.name);
    let number: u32 = call.header("x-webhook-attempt").parse().unwrap_or_default();
    let place = format!("attempt {number} of {id} to {} at {:?}", endpoint.name, call.at);
    delivery.sends += 1;
    if number == 0 || number > schedule || delivery.sends > schedule * copies + disruptions {
        return broken(Invariant::AttemptsAtMost, format!("{place}, {} were sent", delivery.sends));
    }
    // Where an event was kept twice, or a worker delivers what an operator redelivers, two schedules go on at once.
    let alone = copies == 1 && (calm || delivery.redelivered == 0);
    let last = delivery.last.map_or(0, |last| last.number);
    if alone && (number > last + 1 || (calm && number != last + 1)) {
        return broken(Invariant::AttemptsCount, format!("{place}, after attempt {last}"));
    }
    if let Some(last) = delivery.last.filter(|last| alone && number == last.number + 1) {
        let delay = endpoint.delays.get(number as usize - 1).copied().unwrap_or_default();
        // A VM does not know the `Retry-After` of an end that was lost, or that another VM was told.
        let wait = if calm { delay.max(last.end.retry_after) } else { delay };
        if call.at < last.end.at + wait {
            let seen = format!("{place}, after {:?} to {:?} and a wait of {wait:?}", last.at, last.end.at);
            return broken(Invariant::Delays, seen);
        }
    }
    if calm && delivery.taken.is_some() {
        return broken(Invariant::Once, place);
    }
    delivery.last = Some(Attempt { number, at: call.at, end: *end });
    if end.is_success() {
        delivery.taken = Some(delivery.taken.map_or(end.at, |taken| taken.min(end.at)));
        delivery.was_taken = true;
    }
    Ok(())
}

/// The HMAC-SHA256 (RFC 2104) in lower-case hexadecimal digits.
pub fn mac(signed: &[u8], secret: &str) -> String {
    hmac_sha256::HMAC::mac(signed, secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that the signatures are valid, and were made at this moment.
fn signed(endpoint: &Endpoint, call: &Call) -> Result<(), Broken> {
    let timestamp = call.header("x-webhook-timestamp");
    if timestamp != call.wall_millis.to_string() {
        return broken(Invariant::Timestamp, format!("{timestamp} at {}", call.wall_millis));
    }
    let signed = [timestamp.as_bytes(), b".", &call.body].concat();
    let expected: Vec<String> = endpoint.secrets.iter().map(|secret| mac(&signed, secret)).collect();
    let (first, also) = expected.split_first().map_or(("", String::new()), |(first, also)| (first, also.join(",")));
    let (is, is_also) = (call.header("x-webhook-signature"), call.header("x-webhook-signature-also"));
    if is != first || is_also != also {
        return broken(Invariant::Signature, format!("{is:?} and {is_also:?}, not {first:?} and {also:?}"));
    }
    Ok(())
}
