//! The HTTP answers of the gateway, and the problems (RFC 9457) that some of them carry.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::time::{WallTime, rfc3339};

/// A word of an answer's JSON, such as `paused`.
pub type Word = Cow<'static, str>;

/// The Envoy process that answers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Process {
    /// The name of the process: a UUID, a new one at each start.
    pub instance: String,
    /// When the first worker of the process began.
    #[serde(default, with = "rfc3339")]
    pub started_at: WallTime,
}

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

/// A problem (RFC 9457): the JSON of an answer that refuses a request, with the answer's headers.
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
    /// The fault of this request, or what can be done about it.
    pub detail: String,
    /// The places of the personal data for which the event was refused.
    #[serde(flatten)]
    pub personal_data: Option<PersonalData>,
    /// The number of deliveries that a drain still waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// The number of deliveries that wait for an operator, for which no drain can wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// The process that answers an operator. In RFC 9457 `instance` names the occurrence of the problem; here it names
    /// the process, as in every other answer of the admin surface.
    #[serde(flatten)]
    pub process: Option<Process>,
    /// Headers besides `content-type`.
    #[serde(skip)]
    pub headers: Vec<(&'static str, String)>,
}

/// The places of personal data in an event, never the data.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PersonalData {
    /// The first findings, in the order of the payload.
    pub findings: Vec<PersonalDatum>,
    /// The number of all findings.
    pub total: u64,
}

/// A place with personal data.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PersonalDatum {
    /// The part of the event: `metadata` for the envelope's metadata, `None` for the producer's body.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<Word>,
    /// The JSON pointer (RFC 6901) to the place within that part.
    pub pointer: String,
    /// The kind of the data.
    pub kind: Word,
}

impl Problem {
    /// A problem: `title` is the status in words, `detail` what this request can do about it.
    pub fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        let (kind, title) = ("about:blank".into(), title.into());
        Self { kind, title, status, detail: detail.into(), ..Self::default() }
    }

    /// The problem with one header more.
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
    /// A problem: `title` is the status in words, `detail` what this request can do about it.
    pub fn problem(status: u16, title: &'static str, detail: &str) -> Self {
        Problem::new(status, title, detail).into()
    }

    /// The answer with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 405: a route or a rule has this path, but not with this method. `allow`: the methods that it takes.
    pub fn method_not_allowed(allow: &[String]) -> Self {
        let allow = allow.join(", ");
        Self::problem(405, "Method Not Allowed", &format!("this path takes {allow}")).with("allow", allow)
    }

    /// 413: the body is larger than the limit.
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
}

/// A body of JSON. Writing to memory fails only for a map whose keys are no text, and none of our types has one.
pub(crate) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
