//! An event that is admitted and not kept yet, and the replies to its producer.

use crate::answer::Answer;
use crate::ids::{EventId, RouteId};
use crate::inbound::Ticket;
use crate::ingress::event::{Event, EventResult};
use crate::ingress::idempotency::IdempotencyKey;
use crate::ingress::receipt::{EventStatus, Receipt};
use crate::ingress::route::Ack;
use crate::journal::event::CommitRefusal;
use crate::journal::operation::StoreRefusal;
use crate::ledger::record::EventMeta;

use super::pending::Pending;

/// The reply to a producer, and the result that the request is counted under.
#[derive(Debug)]
pub struct Reply {
    /// The answer; `None`: the producer waits, and the answer comes as an action.
    pub answer: Option<Answer>,
    /// What became of the request; `None`: that is known when the answer comes.
    pub result: Option<EventResult>,
    /// The route, where the answer comes late.
    pub route: Option<RouteId>,
}

/// Why an event is not taken now, and after how many seconds the producer may try again.
pub(super) struct Refusal {
    pub seconds: u64,
    pub detail: &'static str,
}

/// An event that is admitted: what is to be kept of the event, and what its producer is owed. A draft borrows nothing,
/// so that it can wait until the event is kept.
#[derive(Debug)]
pub(super) struct Draft {
    pub meta: EventMeta,
    pub payload: Vec<u8>,
    pub pending: Pending,
    /// The stream of the producer; `None`: its client is gone.
    pub stream: Option<u32>,
    pub ack: Ack,
    pub key: Option<IdempotencyKey>,
    /// The verified message that the event was, whose sender has left.
    pub message: Option<Ticket>,
}

/// The refusal of an event that shared data does not take.
pub(super) const STORE_REFUSAL: Refusal = Refusal { seconds: 1, detail: "the event could not be kept" };

/// The reply to the producer of an event that could not be kept.
pub(super) fn store_refusal() -> Reply {
    refuse(&STORE_REFUSAL)
}

/// The reply to the producer of an event that could not be committed in the journal.
pub(super) fn refuse_commit(why: CommitRefusal) -> Reply {
    let detail = match why {
        CommitRefusal::Store(StoreRefusal::TooLarge) => {
            return reply(
                Answer::problem(413, "Content Too Large", "the event is larger than an entry of the journal may be"),
                EventResult::Invalid,
            );
        }
        CommitRefusal::Store(why) => store_detail(why),
        CommitRefusal::Busy => "too many events wait for the journal",
        CommitRefusal::Unknown => "the journal does not answer; the event may be delivered all the same",
    };
    refuse(&Refusal { seconds: 1, detail })
}

/// What a refusal of the store is called in an answer.
pub(super) fn store_detail(why: StoreRefusal) -> &'static str {
    match why {
        StoreRefusal::NotSent => "the journal cannot be reached",
        StoreRefusal::Full => "the journal is full",
        StoreRefusal::TooLarge | StoreRefusal::Denied => "the journal refuses the gateway",
    }
}

pub(super) fn reply(answer: Answer, result: EventResult) -> Reply {
    Reply { answer: Some(answer), result: Some(result), route: None }
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    reply(Answer::unavailable(refusal.seconds, refusal.detail), EventResult::Unavailable)
}

/// The reply to the producer of an event of which nothing is kept or sent.
pub(super) fn nothing_sent(id: EventId, event: &Event, status: EventStatus, result: EventResult) -> Reply {
    let receipt = Receipt { id, event: &event.event_type, status, durability: None, deliveries: Vec::new() };
    reply(Answer::receipt(202, &receipt), result)
}
