//! What became of events: of those that are pending, from their own records, and of the last ones that ended.
//!
//! All of it is made of entries, one for each delivery. A redelivery is an entry of its own under the first id.

use super::query::{LIMIT_MAX, bad};
use super::{Outcome, Result, Surface, begin, end, problem};
use crate::about::{About, Held};
use crate::dead_letter::Reason;
use crate::delivery::{DeliveryRecord, Stage, StateRecord};
use crate::history;
use crate::json::write::{NONE, Writer};
use crate::ledger::Partition;
use crate::message::EventId;
use crate::outcome::Ending;
use crate::store::Record;
use crate::subscription::{EventPattern, Subscriptions};
use crate::time::WallTime;

/// What a delivery may be.
const STATUSES: [&str; 5] = ["pending", "held", "delivered", "failed", "expired"];

/// A delivery with its event. In the order of acceptance, and each once.
struct Entry {
    accepted: WallTime,
    id: EventId,
    event_type: String,
    route: String,
    status: &'static str,
    delivery: DeliveryRecord<String>,
}

impl Entry {
    fn key(&self) -> (WallTime, EventId, &str) {
        (self.accepted, self.id, &self.delivery.endpoint)
    }
}

/// Which deliveries are wanted. `None`: any.
#[derive(Default)]
struct Filter {
    id: Option<EventId>,
    endpoint: Option<String>,
    event: Option<Subscriptions>,
    status: Option<String>,
    since: WallTime,
}

impl Filter {
    fn wants_event(&self, event: &StateRecord<String>) -> bool {
        self.id.is_none_or(|id| id == event.id)
            && event.accepted_wall >= self.since
            && self.event.as_ref().is_none_or(|wanted| !wanted.matching(&event.event_type).is_empty())
    }

    fn wants(&self, delivery: &DeliveryRecord<String>, status: &str) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == delivery.endpoint)
            && self.status.as_ref().is_none_or(|wanted| wanted == status)
    }
}

/// The newest entries that a filter lets through.
struct Found<'a> {
    filter: Filter,
    held: Held<'a>,
    limit: usize,
    /// Oldest first.
    entries: Vec<Entry>,
    /// How many there are, whatever the limit.
    total: u64,
}

impl Found<'_> {
    fn take(&mut self, event: StateRecord<String>) {
        if !self.filter.wants_event(&event) {
            return;
        }
        for delivery in event.deliveries {
            let status = status(&delivery, &self.held);
            if self.filter.wants(&delivery, status) {
                let (event_type, route) = (event.event_type.clone(), event.route.clone());
                self.put(Entry { accepted: event.accepted_wall, id: event.id, event_type, route, status, delivery });
            }
        }
    }

    fn put(&mut self, entry: Entry) {
        match self.entries.binary_search_by(|other| other.key().cmp(&entry.key())) {
            // It has ended while we looked: what was found later is how it stands.
            Ok(at) => {
                if let Some(old) = self.entries.get_mut(at) {
                    *old = entry;
                }
            }
            Err(at) => {
                self.total += 1;
                self.entries.insert(at, entry);
                if self.entries.len() > self.limit {
                    self.entries.remove(0);
                }
            }
        }
    }

    /// The deliveries of one event as they came, or, as a list, those of many, newest first.
    fn show(&self, mut body: Writer, is_list: bool) -> Outcome {
        body.array("deliveries");
        for number in 0..self.entries.len() {
            let at = if is_list { self.entries.len() - 1 - number } else { number };
            let Some(entry) = self.entries.get(at) else { continue };
            body.object(NONE);
            if is_list {
                show_event(&mut body, entry);
            }
            show_delivery(&mut body, entry);
            body.end_object();
        }
        body.end_array();
        if is_list {
            body.number("total", self.total);
        }
        Outcome::Answer(end(body))
    }
}

impl Surface<'_, '_> {
    pub(super) fn show_event(&mut self, about: &About, id: &str) -> Result<Outcome> {
        let Some(id) = EventId::parse(id) else { return Err(bad("id", "that of an event, a UUID")) };
        let filter = Filter { id: Some(id), ..Filter::default() };
        let found = self.find_deliveries(about, filter, LIMIT_MAX)?;
        let Some(first) = found.entries.first() else {
            let detail = "no event of this id is pending or among the last that ended (limits.history)";
            return Err(problem(404, "Not Found", detail));
        };
        let mut body = begin(about);
        show_event(&mut body, first);
        Ok(found.show(body, false))
    }

    pub(super) fn list_deliveries(&mut self, about: &About) -> Result<Outcome> {
        let status = self.parameter("status");
        if status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
            return Err(bad("status", &STATUSES.join(" or ")));
        }
        let event = match self.parameter("event").map(|pattern| EventPattern::parse(&pattern)) {
            None => None,
            Some(Ok(pattern)) => Some(Subscriptions::of(&[pattern])),
            Some(Err(_)) => return Err(bad("event", "an event type, or a pattern of types such as payment_*")),
        };
        let filter = Filter { id: None, endpoint: self.named_endpoint(about)?, event, status, since: self.since()? };
        let found = self.find_deliveries(about, filter, self.limit()?)?;
        Ok(found.show(begin(about), true))
    }

    /// Looks at what is pending first, so that what ends meanwhile is not missed.
    fn find_deliveries<'a>(&mut self, about: &'a About, filter: Filter, limit: usize) -> Result<Found<'a>> {
        let now = self.world.now;
        let held = about.held(self.world.store, self.prefix, now)?;
        let mut found = Found { filter, held, limit, entries: Vec::new(), total: 0 };
        Partition::survey(self.world.store, self.prefix, now.mono, &mut |event| found.take(event))?;
        history::survey(self.world.store, self.prefix, &mut |record| {
            if let Ok((event, _)) = StateRecord::decode(record) {
                found.take(event);
            }
        })?;
        Ok(found)
    }
}

fn status(delivery: &DeliveryRecord<String>, held: &Held<'_>) -> &'static str {
    match (delivery.stage, delivery.trail.reason) {
        (Stage::Waiting { .. }, _) if held.holds(delivery) => "held",
        (Stage::Waiting { .. }, _) => "pending",
        (Stage::Delivered, _) => "delivered",
        (_, Some(Reason::Expired)) => "expired",
        _ => "failed",
    }
}

fn show_event(body: &mut Writer, entry: &Entry) {
    body.text("id", &entry.id.to_string());
    body.text("event", &entry.event_type);
    if !entry.route.is_empty() {
        body.text("route", &entry.route);
    }
    body.text("accepted_at", &entry.accepted.to_string());
}

fn show_delivery(body: &mut Writer, entry: &Entry) {
    let delivery = &entry.delivery;
    body.text("endpoint", &delivery.endpoint);
    body.text("status", entry.status);
    if let Some(reason) = delivery.trail.reason {
        body.text("reason", reason.label());
    }
    body.array("attempts");
    for attempt in &delivery.trail.attempts {
        let ending = Ending::from_code(attempt.code);
        body.object(NONE);
        body.text("at", &attempt.at.to_string());
        body.text("outcome", ending.label());
        body.optional("response_status", ending.status().map(u64::from));
        body.number("ms", attempt.millis.into());
        body.end_object();
    }
    body.end_array();
    if let Some(ended) = delivery.trail.ended {
        body.text("ended_at", &ended.to_string());
    }
}
