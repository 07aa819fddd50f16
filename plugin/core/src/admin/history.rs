//! The history of events: of pending events from their own records, and of the last events that ended.
//!
//! The history is made of entries, one for each delivery. A redelivery is an entry of its own under the id of the
//! event.

use super::answers::{self, AttemptView, Deliveries, EventDeliveries, EventView, ListedDelivery};
use super::query::{LIMIT_MAX, bad};
use super::{Outcome, Result, Surface, problem, success};
use crate::admin::about::{About, Held};
use crate::egress::subscription::{EventPattern, Subscriptions};
use crate::ids::EventId;
use crate::ledger::Partition;
use crate::ledger::record::{DeliveryRecord, Stage, StateRecord};
use crate::outcome::{Ending, Reason};
use crate::store::Record;
use crate::telemetry::history;
use crate::time::WallTime;

/// The statuses that a delivery may have.
const STATUSES: [&str; 5] = ["pending", "held", "delivered", "failed", "expired"];

/// A delivery with its event. Entries are listed in the order of acceptance, and each once.
struct HistoryEntry {
    accepted: WallTime,
    id: EventId,
    event_type: String,
    route: String,
    status: &'static str,
    delivery: DeliveryRecord<String>,
}

impl HistoryEntry {
    fn key(&self) -> (WallTime, EventId, &str) {
        (self.accepted, self.id, &self.delivery.endpoint)
    }
}

/// The filter of deliveries. `None` lets any value through.
#[derive(Default)]
struct HistoryFilter {
    id: Option<EventId>,
    endpoint: Option<String>,
    event: Option<Subscriptions>,
    status: Option<String>,
    since: WallTime,
}

impl HistoryFilter {
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
struct FoundDeliveries<'a> {
    filter: HistoryFilter,
    held: Held<'a>,
    limit: usize,
    /// The entries, oldest first.
    entries: Vec<HistoryEntry>,
    /// The number of entries that the filter lets through, whatever the limit.
    total: u64,
}

impl FoundDeliveries<'_> {
    fn take(&mut self, event: StateRecord<String>) {
        if !self.filter.wants_event(&event) {
            return;
        }
        for delivery in event.deliveries {
            let status = status(&delivery, &self.held);
            if self.filter.wants(&delivery, status) {
                let (event_type, route) = (event.event_type.clone(), event.route.clone());
                self.put(HistoryEntry {
                    accepted: event.accepted_wall,
                    id: event.id,
                    event_type,
                    route,
                    status,
                    delivery,
                });
            }
        }
    }

    fn put(&mut self, entry: HistoryEntry) {
        match self.entries.binary_search_by(|other| other.key().cmp(&entry.key())) {
            // The delivery has ended while we looked: the entry that was found later has its end.
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
}

impl Surface<'_, '_> {
    pub(super) fn show_event(&mut self, about: &About, id: &str) -> Result<Outcome> {
        let Some(id) = EventId::parse(id) else { return Err(bad("id", "that of an event, a UUID")) };
        let filter = HistoryFilter { id: Some(id), ..HistoryFilter::default() };
        let found = self.find_deliveries(about, filter, LIMIT_MAX)?;
        let Some(first) = found.entries.first() else {
            let detail = "no event of this id is pending or among the last that ended (limits.history)";
            return Err(problem(404, "Not Found", detail));
        };
        let deliveries = found.entries.iter().map(delivery_of).collect();
        let body = EventDeliveries { process: about.process(), event: event_of(first), deliveries };
        Ok(Outcome::Answer(success(&body)))
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
        let filter =
            HistoryFilter { id: None, endpoint: self.named_endpoint(about)?, event, status, since: self.since()? };
        let found = self.find_deliveries(about, filter, self.limit()?)?;
        let newest_first = found.entries.iter().rev();
        let deliveries =
            newest_first.map(|entry| ListedDelivery { event: event_of(entry), delivery: delivery_of(entry) }).collect();
        Ok(Outcome::Answer(success(&Deliveries { process: about.process(), deliveries, total: found.total })))
    }

    /// Finds the deliveries that a filter lets through. Pending events are read before ended ones, so that an event
    /// that ends meanwhile is not missed.
    fn find_deliveries<'a>(
        &mut self,
        about: &'a About,
        filter: HistoryFilter,
        limit: usize,
    ) -> Result<FoundDeliveries<'a>> {
        let now = self.world.now;
        let held = about.held(self.world.store, self.keys, now)?;
        let mut found = FoundDeliveries { filter, held, limit, entries: Vec::new(), total: 0 };
        Partition::survey(self.world.store, self.keys, now.mono, &mut |event| found.take(event))?;
        history::survey(self.world.store, self.keys, &mut |record| {
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

fn event_of(entry: &HistoryEntry) -> EventView {
    EventView {
        id: entry.id.to_string(),
        event: entry.event_type.clone(),
        route: (!entry.route.is_empty()).then(|| entry.route.clone()),
        accepted_at: entry.accepted,
    }
}

fn delivery_of(entry: &HistoryEntry) -> answers::DeliveryView {
    let trail = &entry.delivery.trail;
    let attempts = trail.attempts.iter().map(|attempt| {
        let ending = Ending::from_code(attempt.code);
        let (outcome, response_status) = (ending.label().into(), ending.status());
        AttemptView { at: attempt.at, outcome, response_status, ms: attempt.millis.into() }
    });
    answers::DeliveryView {
        endpoint: entry.delivery.endpoint.clone(),
        status: entry.status.into(),
        reason: trail.reason.map(|reason| reason.label().into()),
        attempts: attempts.collect(),
        ended_at: trail.ended,
    }
}
