//! What a producer is answered: the receipts of an event, and problems (RFC 9457).

use crate::idempotency::Finished;
use crate::json::write::{NONE, Writer};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Status {
    /// Its word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
            Self::NoSubscriber => "no_subscriber",
            Self::NotSampled => "not_sampled",
        }
    }
}

/// An event, as its producer sees it.
#[derive(Clone, Debug)]
pub struct Receipt<'a> {
    /// The event's id.
    pub id: EventId,
    /// The event's type.
    pub event: &'a str,
    /// What became of it.
    pub status: Status,
    /// One for each endpoint.
    pub deliveries: Vec<DeliveryReceipt<'a>>,
}

/// A delivery, as its producer sees it.
#[derive(Clone, Debug)]
pub struct DeliveryReceipt<'a> {
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// Where it stands.
    pub status: Status,
    /// Attempts made (`ack: delivered`).
    pub attempts: Option<u32>,
    /// The status of the last answered attempt (`ack: delivered`).
    pub response_status: Option<u16>,
}

impl Answer {
    /// The receipt of an event.
    pub fn receipt(status: u16, receipt: &Receipt<'_>) -> Self {
        let id = receipt.id.to_string();
        let mut body = Writer::default();
        body.object(NONE);
        body.text("id", &id);
        body.text("event", receipt.event);
        body.text("status", receipt.status.label());
        body.array("deliveries");
        for delivery in &receipt.deliveries {
            body.object(NONE);
            body.text("endpoint", delivery.endpoint);
            body.text("status", delivery.status.label());
            if let Some(attempts) = delivery.attempts {
                body.number("attempts", attempts.into());
            }
            if let Some(status) = delivery.response_status {
                body.number("response_status", status.into());
            }
            body.end_object();
        }
        body.end_array();
        body.end_object();
        let headers = vec![("content-type", "application/json".into()), (ID_HEADER, id)];
        Self { status, headers, body: body.finish() }
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
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        Self::problem_with(status, title, detail, &|_| {})
    }

    /// The same with members of its own.
    fn problem_with(status: u16, title: &str, detail: &str, members: &dyn Fn(&mut Writer)) -> Self {
        let mut body = Writer::default();
        body.object(NONE);
        body.text("type", "about:blank");
        body.text("title", title);
        body.number("status", status.into());
        body.text("detail", detail);
        members(&mut body);
        body.end_object();
        Self { status, headers: vec![("content-type", "application/problem+json".into())], body: body.finish() }
    }

    /// The same problem with one member more, whose value is JSON already.
    #[must_use]
    pub fn member(mut self, name: &str, value: &str) -> Self {
        if self.body.pop().is_some() {
            self.body.extend_from_slice([",\"", name, "\":", value, "}"].concat().as_bytes());
        }
        self
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
        Self::problem(413, "Content Too Large", &format!("the body is over the limit of {limit} bytes"))
    }

    /// 400.
    pub fn bad_request(detail: &str) -> Self {
        Self::problem(400, "Bad Request", detail)
    }

    /// 503, worth trying again after `seconds`.
    pub fn unavailable(seconds: u64, detail: &str) -> Self {
        Self::problem(503, "Service Unavailable", detail).with("retry-after", seconds.to_string())
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
        Self::problem_with(422, "Unprocessable Content", detail, &|body| findings.write(body))
    }
}
