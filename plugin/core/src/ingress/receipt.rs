//! Receipts: the answers that tell a producer what became of its event.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::answer::{Answer, PersonalData, PersonalDatum, Problem, json};
use crate::ids::EventId;
use crate::ingress::idempotency::Finished;
use crate::ingress::payload::{DataKind, EventPart, Findings};
use crate::journal::Durability;

/// The header that carries an event's id.
pub const ID_HEADER: &str = "x-webhook-id";

/// The header that marks an answer given before.
pub const REPLAYED_HEADER: &str = "idempotent-replayed";

/// The status of an event, or of a delivery of it, in a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventStatus {
    /// The event is kept; its deliveries go on.
    Accepted,
    /// A delivery waits for its next attempt, or is being attempted; or the event has such a delivery when its
    /// producer, who has waited, is answered.
    Pending,
    /// The delivery is held back for an operator: its endpoint or the filter is off.
    Held,
    /// The receiver has the delivery; of an event, all receivers have theirs.
    Delivered,
    /// The delivery, or one of the event, has failed for good; it is kept as a dead letter.
    Failed,
    /// The filter is off: nothing is kept or sent.
    Disabled,
    /// No endpoint wants the event: nothing is kept or sent.
    NoSubscriber,
    /// The event is outside of the rollout: nothing is kept or sent.
    NotSampled,
}

/// The receipt of an event: how the event stands, for its producer.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt<'a> {
    /// The event's id.
    #[serde(serialize_with = "text")]
    pub id: EventId,
    /// The event's type.
    pub event: &'a str,
    /// The status of the event.
    pub status: EventStatus,
    /// Where the event is kept, if the config has a journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// The deliveries, one for each endpoint.
    pub deliveries: Vec<DeliveryReceipt<'a>>,
}

/// The receipt of a delivery: how the delivery stands, for the producer of its event.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryReceipt<'a> {
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// The status of the delivery.
    pub status: EventStatus,
    /// The number of attempts made; only with `ack: delivered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The status of the last attempt that was answered; only with `ack: delivered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<u16>,
}

impl From<&Findings> for PersonalData {
    fn from(findings: &Findings) -> Self {
        let found = findings.list.iter().map(|finding| PersonalDatum {
            place: finding.part.label().map(Into::into),
            pointer: finding.pointer.clone(),
            kind: finding.kind.label().into(),
        });
        Self { findings: found.collect(), total: findings.total().into() }
    }
}

impl Answer {
    /// The receipt of an event.
    pub fn receipt(status: u16, receipt: &Receipt<'_>) -> Self {
        let headers = vec![("content-type", "application/json".into()), (ID_HEADER, receipt.id.to_string())];
        Self { status, headers, body: json(receipt) }
    }

    /// The answer that was given to the first request with the same idempotency key.
    pub fn replayed(first: Finished) -> Self {
        Self {
            status: first.status,
            headers: vec![
                ("content-type", "application/json".into()),
                (ID_HEADER, first.id.to_string()),
                (REPLAYED_HEADER, "true".into()),
            ],
            body: first.body,
        }
    }

    /// 409: the idempotency key is being used by another request at this moment.
    pub fn in_progress() -> Self {
        Self::problem(409, "Conflict", "another request with this Idempotency-Key is in progress")
            .with("retry-after", "1")
    }

    /// 422: the idempotency key was used for another event.
    pub fn other_event() -> Self {
        Self::problem(422, "Unprocessable Content", "this Idempotency-Key was used for another event")
    }

    /// 422: there is personal data in the event. The answer says where, never what. `is_redacting`: elsewhere than in its
    /// type and its path it would have been redacted.
    pub fn personal_data(findings: &Findings, is_redacting: bool) -> Self {
        let detail = if is_redacting {
            "the event holds personal data where it cannot be redacted; nothing of it was kept or sent"
        } else {
            "the event holds personal data; nothing of it was kept or sent"
        };
        let problem = Problem::new(422, "Unprocessable Content", detail);
        Problem { personal_data: Some(findings.into()), ..problem }.into()
    }

    /// 422: the payload guard cannot read the body; `reason` says why, and quotes nothing of it.
    pub fn unreadable(reason: &str) -> Self {
        let detail = format!("the payload guard cannot read the body, and nothing of it was kept or sent: {reason}");
        let mut findings = Findings::default();
        findings.note(DataKind::Unreadable, EventPart::Body, &String::new);
        let problem = Problem::new(422, "Unprocessable Content", detail);
        Problem { personal_data: Some((&findings).into()), ..problem }.into()
    }
}

/// Writes a value as it is printed.
fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
