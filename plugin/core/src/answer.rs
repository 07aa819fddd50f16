//! What a producer is answered: the receipts of an event, and problems (RFC 9457).

use std::fmt::Display;

use serde::{Deserialize, Serialize, Serializer};

use crate::admin::answers::{Process, Word};
use crate::idempotency::Finished;
use crate::message::EventId;
use crate::payload::Findings;

/// The header that carries an event's id.
pub const ID_HEADER: &str = "x-webhook-id";

/// The header that marks an answer given before.
pub const REPLAYED_HEADER: &str = "idempotent-replayed";

/// A whole HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header names and values, `content-type` included.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What became of an event, or of a delivery in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Kept; its deliveries go on.
    Accepted,
    /// Waits for its next attempt, or is being attempted.
    Pending,
    /// Waits until its endpoint is enabled.
    Held,
    /// The receiver has it.
    Delivered,
    /// Failed for good; kept as a dead letter.
    Failed,
    /// The filter is off: nothing is kept or sent.
    Disabled,
    /// No endpoint wants it: nothing is kept or sent.
    NoSubscriber,
    /// It is outside of the rollout: nothing is kept or sent.
    NotSampled,
}

/// An event, as its producer sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt<'a> {
    /// The event's id.
    #[serde(serialize_with = "text")]
    pub id: EventId,
    /// The event's type.
    pub event: &'a str,
    /// What became of it.
    pub status: Status,
    /// One for each endpoint.
    pub deliveries: Vec<DeliveryReceipt<'a>>,
}

/// A delivery, as its producer sees it.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryReceipt<'a> {
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// Where it stands.
    pub status: Status,
    /// Attempts made (`ack: delivered`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The status of the last answered attempt (`ack: delivered`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<u16>,
}

/// A problem (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Problem {
    /// `about:blank`: the status says which problem it is.
    #[serde(rename = "type")]
    pub kind: Word,
    /// The status in words.
    pub title: Word,
    /// The status.
    pub status: u16,
    /// What is wrong with this request, or what can be done about it.
    pub detail: String,
    /// The personal data in the event, for which it was refused.
    #[serde(flatten)]
    pub personal_data: Option<PersonalData>,
    /// Deliveries that a drain still waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// Deliveries that wait for an operator, for which no drain can wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// The process that answers an operator. To RFC 9457 `instance` is a name for the occurrence; here it names where it
    /// occurred, as in every other answer of the admin surface.
    #[serde(flatten)]
    pub process: Option<Process>,
    /// Headers besides `content-type`.
    #[serde(skip)]
    pub headers: Vec<(&'static str, String)>,
}

/// Where there is personal data in an event, never what.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PersonalData {
    /// The first findings, in the order of the payload.
    pub findings: Vec<PersonalDatum>,
    /// How many there are.
    pub total: u64,
}

/// A place with personal data.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PersonalDatum {
    /// `metadata`: in the envelope's metadata, and not in the producer's body.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<Word>,
    /// From there, RFC 6901.
    pub pointer: String,
    /// What kind of data it is.
    pub kind: Word,
}

impl From<&Findings> for PersonalData {
    fn from(findings: &Findings) -> Self {
        let found = findings.list.iter().map(|finding| PersonalDatum {
            place: finding.in_metadata.then_some("metadata".into()),
            pointer: finding.pointer.clone(),
            kind: finding.kind.label().into(),
        });
        Self { findings: found.collect(), total: findings.total().into() }
    }
}

impl Problem {
    /// A problem: `title` is the status in words, `detail` what this request can do about it.
    pub fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        let (kind, title) = ("about:blank".into(), title.into());
        Self { kind, title, status, detail: detail.into(), ..Self::default() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad Request", detail)
    }

    /// 413: the body is larger than the limit.
    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "Content Too Large", format!("the body is over the limit of {limit} bytes"))
    }

    /// 503, worth trying again after `seconds`.
    pub fn unavailable(seconds: u64, detail: impl Into<String>) -> Self {
        Self::new(503, "Service Unavailable", detail).with("retry-after", seconds.to_string())
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        headers.extend_from_slice(&problem.headers);
        Self { status: problem.status, headers, body: json(&problem) }
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

    /// A problem: `title` is the status in words, `detail` what this request can do about it.
    pub fn problem(status: u16, title: &'static str, detail: &str) -> Self {
        Problem::new(status, title, detail).into()
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 405: the path makes events, but not by this method.
    pub fn method_not_allowed(allow: &[String]) -> Self {
        let allow = allow.join(", ");
        Self::problem(405, "Method Not Allowed", &format!("this path takes {allow}")).with("allow", allow)
    }

    /// 413: the body is over `limits.body`.
    pub fn too_large(limit: usize) -> Self {
        Problem::too_large(limit).into()
    }

    /// 400.
    pub fn bad_request(detail: &str) -> Self {
        Problem::bad_request(detail).into()
    }

    /// 503, worth trying again after `seconds`.
    pub fn unavailable(seconds: u64, detail: &str) -> Self {
        Problem::unavailable(seconds, detail).into()
    }

    /// 409: the idempotency key is being used by another request at this moment.
    pub fn in_progress() -> Self {
        Self::problem(409, "Conflict", "another request with this Idempotency-Key is in progress")
            .with("retry-after", "1")
    }

    /// 422: the idempotency key was used for another body.
    pub fn other_body() -> Self {
        Self::problem(422, "Unprocessable Content", "this Idempotency-Key was used with another body")
    }

    /// 422: there is personal data in the payload. Says where, never what.
    pub fn personal_data(findings: &Findings) -> Self {
        let detail = "the event holds personal data; nothing of it was kept or sent";
        let problem = Problem::new(422, "Unprocessable Content", detail);
        Problem { personal_data: Some(findings.into()), ..problem }.into()
    }
}

/// A body of JSON. Writing to memory fails only for a map whose keys are no text, and none of our types has one.
pub(crate) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

/// Writes a value as it is printed.
fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
