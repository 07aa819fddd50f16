//! Notices of what happened, for metrics and the log. The engine gives each notice once; the binding counts and logs
//! it.

use std::time::Duration;

use crate::egress::breaker::Position;
use crate::ids::{EndpointId, EventId, RouteId};
use crate::ingress::payload::{self, Findings};
use crate::ingress::request::RequestResult;
use crate::journal::JournalState;
use crate::journal::operation::Outcome;
use crate::outcome::{DeliveryResult, Ending, Reason};
use crate::rollout::Percent;
use crate::rollout::guard::Trigger;
use crate::store::StoreError;

/// A notice of something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A request was answered, or was verified and went on.
    Request(RequestResult),
    /// An attempt ended.
    Attempt {
        /// The endpoint.
        endpoint: EndpointId,
        /// How the attempt ended.
        ending: Ending,
        /// How long the attempt took.
        took: Duration,
    },
    /// Envoy refused to send a call (no host, overflow, unknown cluster), which is no attempt.
    Refused {
        /// The endpoint that the call was for.
        endpoint: EndpointId,
        /// How often Envoy has refused in a row.
        times: u32,
    },
    /// A delivery ended.
    Delivery {
        /// The endpoint.
        endpoint: EndpointId,
        /// How the delivery ended.
        result: DeliveryResult,
        /// The time since the event was accepted.
        took: Duration,
    },
    /// A delivery became a dead letter.
    DeadLetter {
        /// The id of the event.
        id: EventId,
        /// The name of the endpoint, which may be gone from the config.
        endpoint: String,
        /// Why the delivery failed for good.
        reason: Reason,
        /// Attempts made.
        attempts: u32,
        /// The status of the last attempt that was answered.
        response_status: Option<u16>,
        /// The number of older letters that were dropped to make room.
        evicted: u32,
    },
    /// The last attempt to send a dead letter to the sink ended.
    Sink {
        /// The endpoint whose sink it is.
        endpoint: EndpointId,
        /// The id of the event.
        id: EventId,
        /// The sink took the letter.
        delivered: bool,
    },
    /// A breaker moved.
    Breaker {
        /// The endpoint.
        endpoint: EndpointId,
        /// The position that the breaker moved to.
        position: Position,
    },
    /// The endpoint answered 410 and is disabled.
    Gone {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// This worker took over a partition whose worker died or hung.
    Adopted {
        /// The number of the partition.
        partition: u32,
        /// The events found there.
        events: usize,
    },
    /// Another configuration delivers from now on, or this one does again.
    Generation {
        /// This configuration is the newest, and delivers.
        is_newest: bool,
    },
    /// This worker was taken for dead; another worker holds its partition now.
    Lost {
        /// The partition's number.
        partition: u32,
    },
    /// The guard rolled an endpoint back: its share is 0.
    RolledBack {
        /// The endpoint.
        endpoint: EndpointId,
        /// What caused the rollback.
        trigger: Trigger,
        /// What was observed, in words; never a value from an event.
        detail: String,
    },
    /// An operator rolled an endpoint back. The filter that answers operators may know the endpoint by name only.
    RolledBackByOperator {
        /// The name of the endpoint.
        endpoint: String,
    },
    /// An endpoint is gone from the config: none of its gauges means anything any more.
    Removed {
        /// The name of the endpoint.
        endpoint: String,
    },
    /// An endpoint's rollout has entered its next phase.
    Promoted {
        /// The endpoint.
        endpoint: EndpointId,
        /// The number of the phase, counted from 0.
        phase: u32,
        /// The share of the phase.
        percent: Percent,
    },
    /// The time of a phase is over, and the phase waits for an operator.
    PhaseWaits {
        /// The endpoint.
        endpoint: EndpointId,
        /// The number of the phase, counted from 0.
        phase: u32,
    },
    /// The time of a phase is over, and a threshold does not let it end.
    PromotionHeld {
        /// The endpoint.
        endpoint: EndpointId,
        /// The threshold that is breached.
        trigger: Trigger,
    },
    /// A gauge has another value than before.
    Gauge {
        /// The endpoint of the gauge; `None`: it is a gauge of the process.
        endpoint: Option<EndpointId>,
        /// The gauge.
        gauge: Gauge,
        /// The value.
        value: u64,
    },
    /// Personal data was found in an event.
    Findings {
        /// The route that took the event.
        route: RouteId,
        /// What the payload guard did.
        action: payload::GuardAction,
        /// The findings, without any value from the event.
        findings: Findings,
    },
    /// An event was refused, since the payload guard cannot read its body.
    Unreadable {
        /// The route that took the event.
        route: RouteId,
        /// Why, without anything of the body.
        reason: String,
    },
    /// An operational event was dropped for an endpoint: there was no room.
    Dropped {
        /// The endpoint that would have got the event.
        endpoint: EndpointId,
        /// The type of the event.
        event_type: &'static str,
    },
    /// Entries were appended to the journal, or were not.
    Appended {
        /// The outcome.
        outcome: Outcome,
        /// The time since they were to be appended first.
        took: Duration,
        /// The number of entries.
        entries: usize,
    },
    /// The journal serves the gateway otherwise than before.
    Journal {
        /// How it serves it now.
        state: JournalState,
        /// What went wrong last, if it is not well.
        why: Option<String>,
    },
    /// An event is kept in memory, since the journal cannot take it.
    MemoryOnly,
    /// A message could not be claimed in the fleet, and the process's table decides alone.
    InboundMemoryOnly,
    /// What a dead gateway had accepted was taken over.
    TakenOver {
        /// The id of the dead writer.
        writer: String,
    },
    /// This worker's lease lapsed, or it gave it up: other gateways deliver what it had accepted.
    JournalLost {
        /// The number of events that it forgot.
        events: usize,
    },
    /// The process ends, as far as this worker can know, with deliveries pending that are in no journal.
    EndsWithPending {
        /// The number of deliveries.
        deliveries: usize,
    },
    /// An operator changed something.
    Changed {
        /// The change, as a line of `key=value`.
        line: String,
    },
    /// The store failed.
    Store {
        /// What was being done.
        doing: &'static str,
        /// The error of the store.
        error: StoreError,
    },
}

/// A gauge: a metric that has a value until the value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Deliveries that have not ended.
    Pending,
    /// The age of the oldest event with a pending delivery, in seconds.
    OldestPending,
    /// 1: the endpoint is disabled, by the config, an operator or a 410.
    Disabled,
    /// The position of a breaker: [`Position::number`](crate::egress::breaker::Position::number).
    BreakerState,
    /// The share of events that is sent, in percent, rounded up.
    RolloutPercent,
    /// Letters in the ring.
    DeadLetters,
    /// 1: the journal answers; 0: it is unavailable.
    JournalUp,
    /// 1: the journal has no room for new events.
    JournalFull,
    /// The size of what the living gateways keep in the journal, in bytes.
    JournalBytes,
    /// Segments that the living gateways keep in the journal.
    JournalSegments,
    /// Gateways of the fleet that are alive.
    FleetGateways,
}

impl Gauge {
    /// The gauges of an endpoint.
    pub const OF_ENDPOINTS: [Self; 4] = [Self::Pending, Self::Disabled, Self::BreakerState, Self::RolloutPercent];
    /// The gauges of the process.
    pub const OF_PROCESS: [Self; 2] = [Self::OldestPending, Self::DeadLetters];
    /// The gauges of the journal.
    pub const OF_JOURNAL: [Self; 5] =
        [Self::JournalUp, Self::JournalFull, Self::JournalBytes, Self::JournalSegments, Self::FleetGateways];

    /// The value for an endpoint that was removed from the config, on which no alert fires.
    pub fn of_none(self) -> u64 {
        if self == Self::RolloutPercent { 100 } else { 0 }
    }

    /// The name of the gauge's metric.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Pending => "gatepost_pending",
            Self::OldestPending => "gatepost_oldest_pending_seconds",
            Self::Disabled => "gatepost_endpoint_disabled",
            Self::BreakerState => "gatepost_breaker_state",
            Self::RolloutPercent => "gatepost_rollout_percent",
            Self::DeadLetters => "gatepost_dead_letters",
            Self::JournalUp => "gatepost_journal_up",
            Self::JournalFull => "gatepost_journal_full",
            Self::JournalBytes => "gatepost_journal_bytes",
            Self::JournalSegments => "gatepost_journal_segments",
            Self::FleetGateways => "gatepost_fleet_gateways",
        }
    }
}
