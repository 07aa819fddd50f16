//! What happened, for metrics and logs. The engine says it once; the binding counts it and writes it down.

use std::time::Duration;

use crate::egress::breaker::Position;
use crate::ids::{EndpointId, EventId, RouteId};
use crate::ingress::payload::{self, Findings};
use crate::ingress::request::RequestResult;
use crate::outcome::{DeliveryResult, Ending, Reason};
use crate::rollout::Percent;
use crate::rollout::guard::Trigger;
use crate::store::StoreError;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A request was answered, or went on verified.
    Request(RequestResult),
    /// An attempt ended.
    Attempt {
        /// Where it went.
        endpoint: EndpointId,
        /// How it ended.
        ending: Ending,
        /// How long it took.
        took: Duration,
    },
    /// Envoy would not send (no host, overflow, unknown cluster): not an attempt.
    Refused {
        /// Where it should have gone.
        endpoint: EndpointId,
        /// How often in a row.
        times: u32,
    },
    /// A delivery ended.
    Delivery {
        /// Where it went.
        endpoint: EndpointId,
        /// How.
        result: DeliveryResult,
        /// Since the event was accepted.
        took: Duration,
    },
    /// A delivery became a dead letter.
    DeadLetter {
        /// The event.
        id: EventId,
        /// The endpoint's name; it may be gone from the config.
        endpoint: String,
        /// Why.
        reason: Reason,
        /// Attempts made.
        attempts: u32,
        /// The status of the last one that was answered.
        response_status: Option<u16>,
        /// Older letters that had to go for it.
        evicted: u32,
    },
    /// A dead letter's way to the sink ended.
    Sink {
        /// The endpoint whose sink it is.
        endpoint: EndpointId,
        /// The event.
        id: EventId,
        /// Did the sink take it?
        delivered: bool,
    },
    /// A breaker moved.
    Breaker {
        /// Whose.
        endpoint: EndpointId,
        /// Where to.
        position: Position,
    },
    /// The endpoint answered 410 and is disabled.
    Gone {
        /// Which.
        endpoint: EndpointId,
    },
    /// This worker took over a partition whose worker died or hung.
    Adopted {
        /// Its number.
        partition: u32,
        /// The events found there.
        events: usize,
    },
    /// Another configuration delivers from now on, or this one does again.
    Generation {
        /// This one?
        is_newest: bool,
    },
    /// This worker was taken for dead; what it held is another's now.
    Lost {
        /// The partition's number.
        partition: u32,
    },
    /// An endpoint's rollout was put to 0.
    RolledBack {
        /// Whose.
        endpoint: EndpointId,
        /// Why.
        trigger: Trigger,
        /// What was seen, in words; never a value from an event.
        detail: String,
    },
    /// An operator has put an endpoint's rollout to 0. The filter that answers operators may know it by name only.
    RolledBackByOperator {
        /// Its name.
        endpoint: String,
    },
    /// An endpoint is gone from the config: none of its gauges means anything any more.
    Removed {
        /// Its name.
        endpoint: String,
    },
    /// An endpoint's rollout has entered its next phase.
    Promoted {
        /// Whose.
        endpoint: EndpointId,
        /// The number of the phase, counted from 0.
        phase: u32,
        /// Its share.
        percent: Percent,
    },
    /// The time of a phase is over, and it waits for an operator.
    PhaseWaits {
        /// Whose.
        endpoint: EndpointId,
        /// The number of the phase, counted from 0.
        phase: u32,
    },
    /// The time of a phase is over, and a threshold does not let it end.
    PromotionHeld {
        /// Whose.
        endpoint: EndpointId,
        /// Which.
        trigger: Trigger,
    },
    /// Something stands at another value than before.
    Gauge {
        /// Whose; `None`: the process's.
        endpoint: Option<EndpointId>,
        /// What.
        gauge: Gauge,
        /// The value.
        value: u64,
    },
    /// Personal data was found in an event.
    Findings {
        /// The route it came by.
        route: RouteId,
        /// What followed.
        action: payload::GuardAction,
        /// What was found, without any value.
        findings: Findings,
    },
    /// An event of the gateway's own was not kept for this endpoint: there was no room.
    Dropped {
        /// Who would have got it.
        endpoint: EndpointId,
        /// Its type.
        event_type: &'static str,
    },
    /// An operator changed something.
    Changed {
        /// What, as a line of `key=value`.
        line: String,
    },
    /// The shared data did not do what was asked.
    Store {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        error: StoreError,
    },
}

/// What stands at a value, for as long as nothing changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Deliveries that have not ended.
    Pending,
    /// The age of the oldest of them, in seconds.
    OldestPending,
    /// 1: its deliveries wait, by the config, an operator or a 410.
    Disabled,
    /// Of a breaker: [`Position::number`](crate::egress::breaker::Position::number).
    BreakerState,
    /// The share of events that is sent, in percent, rounded up.
    RolloutPercent,
    /// Letters in the ring.
    DeadLetters,
}

impl Gauge {
    /// Those of an endpoint.
    pub const OF_ENDPOINTS: [Self; 4] = [Self::Pending, Self::Disabled, Self::BreakerState, Self::RolloutPercent];
    /// Those of the process.
    pub const OF_PROCESS: [Self; 2] = [Self::OldestPending, Self::DeadLetters];

    /// The value for an endpoint that was removed from the config: one that no alert fires on.
    pub fn of_none(self) -> u64 {
        if self == Self::RolloutPercent { 100 } else { 0 }
    }

    /// The metric.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Pending => "gatepost_pending",
            Self::OldestPending => "gatepost_oldest_pending_seconds",
            Self::Disabled => "gatepost_endpoint_disabled",
            Self::BreakerState => "gatepost_breaker_state",
            Self::RolloutPercent => "gatepost_rollout_percent",
            Self::DeadLetters => "gatepost_dead_letters",
        }
    }
}
