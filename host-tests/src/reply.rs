//! What a server replies to one call, as a script says it.

use std::time::Duration;

use crate::headers::Headers;

/// How long an upstream takes unless its script says otherwise.
const LATENCY: Duration = Duration::from_millis(1);

/// What an upstream, or the application, replies to one call.
///
/// An answer is headers, pieces of a body and trailers. What the filter is handed of it depends on who asked: the end of
/// an HTTP call comes once and whole.
///
/// ```
/// use std::time::Duration;
///
/// use host_tests::Reply;
///
/// let slow = Reply::status(200).body("done").after(Duration::from_millis(250));
/// let broken = Reply::status(200).header("content-length", "8").chunks(["half"]).cut();
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) ending: Ending,
    /// Until the headers.
    pub(crate) latency: Duration,
    /// Before each piece of the body, and before what follows the last one.
    pub(crate) spacing: Duration,
}

/// A reply to an HTTP call of the filter that is decided only as it leaves: by a server that works on a call while others
/// come in. A [`Reply`] is one that is decided already.
pub struct Promise {
    pub(crate) kept: Kept,
}

pub(crate) enum Kept {
    Now(Reply),
    Later(Duration, Box<dyn FnOnce() -> Reply>),
}

impl Promise {
    /// This long after the call, `decide` is asked for the reply, unless the filter's timeout has passed by then: nobody
    /// asks for that one. How late the reply itself says that it comes does not count.
    pub fn after(wait: Duration, decide: impl FnOnce() -> Reply + 'static) -> Self {
        Self { kept: Kept::Later(wait, Box::new(decide)) }
    }
}

impl From<Reply> for Promise {
    fn from(reply: Reply) -> Self {
        Self { kept: Kept::Now(reply) }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Answer(Response),
    /// Envoy answers in the upstream's place.
    Local {
        status: u16,
        text: &'static str,
    },
    Never,
    Refused,
}

/// An answer as an upstream sends it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Headers,
    /// The connection breaks after that.
    pub(crate) is_cut: bool,
}

impl Reply {
    /// An answer of this status, after a millisecond.
    pub fn status(status: u16) -> Self {
        let mut headers = Headers::default();
        headers.add(":status", status.to_string());
        Self::ending(Ending::Answer(Response { headers, ..Response::default() }))
    }

    /// The connection breaks in the middle of the answer: the filter sees no headers at all.
    pub fn reset() -> Self {
        Self::status(200).cut()
    }

    /// The connection breaks before the answer begins: Envoy answers 503.
    pub fn disconnect() -> Self {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
        Self::ending(Ending::Local { status: 503, text })
    }

    /// The answer is no HTTP: Envoy answers 502.
    pub fn protocol_error() -> Self {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: protocol error";
        Self::ending(Ending::Local { status: 502, text })
    }

    /// No connection can be made: Envoy answers 503.
    pub fn connect_failure() -> Self {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, \
                    transport failure reason: delayed connect error: Connection refused";
        Self::ending(Ending::Local { status: 503, text })
    }

    /// No answer ever comes: the call's timeout ends it.
    pub fn hang() -> Self {
        Self::ending(Ending::Never)
    }

    /// Envoy does not send at all, for want of a healthy host or because a circuit breaker overflowed: the host call
    /// itself fails.
    pub fn refused() -> Self {
        Self::ending(Ending::Refused)
    }

    /// The same ending, this long after the call: for an answer, the time until its headers.
    #[must_use]
    pub fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The same answer, with this wait before each piece of its body and before its end.
    #[must_use]
    pub fn spaced(mut self, spacing: Duration) -> Self {
        self.spacing = spacing;
        self
    }

    /// The same answer with a header more. Like all that follow: nothing to add to where the upstream does not answer.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.answer(|answer| answer.headers.add(name, value))
    }

    /// The same answer with this body, in one piece and with its `content-length`.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.answer(|answer| {
            answer.headers.set("content-length", body.len().to_string());
            answer.chunks = if body.is_empty() { Vec::new() } else { vec![body] };
        })
    }

    /// The same answer with a body in several pieces, its length not told beforehand.
    #[must_use]
    pub fn chunks<C: Into<Vec<u8>>>(self, chunks: impl IntoIterator<Item = C>) -> Self {
        let chunks = chunks.into_iter().map(Into::into).collect();
        self.answer(|answer| answer.chunks = chunks)
    }

    /// The same answer with trailers after its body.
    #[must_use]
    pub fn trailers<const N: usize>(self, trailers: [(&str, &str); N]) -> Self {
        self.answer(|answer| answer.trailers = Headers::from(trailers))
    }

    /// The same answer, but the connection breaks after it: its end never comes. Whoever made an HTTP call sees nothing
    /// of such an answer, as in Envoy: a callback with no headers.
    #[must_use]
    pub fn cut(self) -> Self {
        self.answer(|answer| answer.is_cut = true)
    }

    /// When the answer has ended, after the call.
    pub(crate) fn end(&self) -> Duration {
        match &self.ending {
            Ending::Answer(answer) => {
                let pieces = u32::try_from(answer.chunks.len()).unwrap_or(u32::MAX);
                let last = if answer.chunks.is_empty() && !answer.is_cut { 0 } else { 1 };
                self.latency + self.spacing * pieces.saturating_add(last)
            }
            _ => self.latency,
        }
    }

    fn answer(mut self, change: impl FnOnce(&mut Response)) -> Self {
        if let Ending::Answer(answer) = &mut self.ending {
            change(answer);
        }
        self
    }

    fn ending(ending: Ending) -> Self {
        Self { ending, latency: LATENCY, spacing: Duration::ZERO }
    }
}
