//! The clusters the filter can call: scripts that say how each call ends, and a record of every call that was made.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::headers::Headers;
use crate::world::Thread;

/// How long an upstream takes unless its script says otherwise.
const LATENCY: Duration = Duration::from_millis(1);

/// A call as the upstream receives it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Virtual time since the start of the process.
    pub at: Duration,
    /// Milliseconds since the Unix epoch at that moment, by the clock of the thread.
    pub wall_millis: u64,
    /// The thread whose VM made it.
    pub thread: Thread,
    /// The cluster that was named.
    pub cluster: String,
    /// The request's headers, pseudo-headers included.
    pub headers: Headers,
    /// The request's body.
    pub body: Vec<u8>,
    /// How long the filter is ready to wait.
    pub timeout: Duration,
    /// The keys of shared data that are [watched](crate::Builder::watch), as they stood at that moment.
    pub shared: Vec<(String, Vec<u8>)>,
}

impl Call {
    /// The first value of a header (name in lower case); empty when it is absent or not UTF-8.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_default()
    }
}

/// How one call ends.
#[derive(Clone, Debug)]
pub struct Reply {
    ending: Ending,
    latency: Duration,
}

#[derive(Clone, Debug)]
enum Ending {
    Answer(Response),
    Reset,
    /// Envoy answers in the upstream's place.
    Local {
        status: u16,
        text: &'static str,
    },
    Never,
    Refused,
}

/// What the filter is handed when a call ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// An answer of this status, after a millisecond.
    pub fn status(status: u16) -> Self {
        let mut headers = Headers::default();
        headers.add(":status", status.to_string());
        Self::ending(Ending::Answer(Response { headers, body: Vec::new() }))
    }

    /// The connection breaks in the middle of the answer: the filter sees no headers at all.
    pub fn reset() -> Self {
        Self::ending(Ending::Reset)
    }

    /// The connection breaks before the answer begins: Envoy answers 503.
    pub fn disconnect() -> Self {
        let text = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
        Self::ending(Ending::Local { status: 503, text })
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

    /// The same ending, this long after the call.
    #[must_use]
    pub fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The same answer with a header more; nothing to add to where the upstream does not answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ending::Answer(response) = &mut self.ending {
            response.headers.add(name, value);
        }
        self
    }

    fn ending(ending: Ending) -> Self {
        Self { ending, latency: LATENCY }
    }
}

/// The script of one cluster.
pub struct Upstream {
    script: Box<dyn FnMut(&Call) -> Reply>,
}

impl Upstream {
    /// Every call ends alike.
    pub fn always(reply: Reply) -> Self {
        Self::by(move |_| reply.clone())
    }

    /// The first call ends as `replies` begins, and so on; once they are used up, every call is answered 200.
    pub fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::by(move |_| replies.pop_front().unwrap_or_else(|| Reply::status(200)))
    }

    /// Each call is decided by a function.
    pub fn by(script: impl FnMut(&Call) -> Reply + 'static) -> Self {
        Self { script: Box::new(script) }
    }
}

/// What becomes of a call, decided the moment it is made.
pub(crate) enum Fate {
    UnknownCluster,
    Refused,
    /// Ends after `wait`; no response means that the stream was reset.
    Ends {
        wait: Duration,
        response: Option<Response>,
    },
    /// Has no answer and no timeout.
    Hangs,
}

/// All clusters of a process, and every call they received, in order.
#[derive(Default)]
pub(crate) struct Upstreams {
    clusters: BTreeMap<String, Upstream>,
    pub(crate) calls: Vec<Call>,
}

impl Upstreams {
    pub(crate) fn set(&mut self, cluster: &str, upstream: Upstream) {
        self.clusters.insert(cluster.to_owned(), upstream);
    }

    pub(crate) fn call(&mut self, call: Call) -> Fate {
        let Some(upstream) = self.clusters.get_mut(&call.cluster) else { return Fate::UnknownCluster };
        let reply = (upstream.script)(&call);
        let timeout = call.timeout;
        let fate = match reply.ending {
            Ending::Refused => return Fate::Refused,
            _ if !timeout.is_zero() && reply.latency >= timeout => timed_out(timeout),
            Ending::Never if timeout.is_zero() => Fate::Hangs,
            Ending::Never => timed_out(timeout),
            Ending::Reset => Fate::Ends { wait: reply.latency, response: None },
            Ending::Local { status, text } => Fate::Ends { wait: reply.latency, response: Some(local(status, text)) },
            Ending::Answer(mut response) => {
                response.headers.add("x-envoy-upstream-service-time", reply.latency.as_millis().to_string());
                Fate::Ends { wait: reply.latency, response: Some(response) }
            }
        };
        self.calls.push(call);
        fate
    }
}

fn timed_out(timeout: Duration) -> Fate {
    Fate::Ends { wait: timeout, response: Some(local(504, "upstream request timeout")) }
}

/// An answer of Envoy's own: what tells it from an upstream's is that the service time is missing.
fn local(status: u16, text: &str) -> Response {
    let mut headers = Headers::default();
    headers.add(":status", status.to_string());
    headers.add("content-length", text.len().to_string());
    headers.add("content-type", "text/plain");
    Response { headers, body: text.as_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(reply: Reply) -> Fate {
        let mut upstreams = Upstreams::default();
        upstreams.set("billing", Upstream::always(reply));
        upstreams.call(Call {
            at: Duration::ZERO,
            wall_millis: 0,
            thread: Thread::Main,
            cluster: "billing".to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
            timeout: Duration::from_secs(10),
            shared: Vec::new(),
        })
    }

    #[test]
    fn an_answer_later_than_the_timeout_is_envoys_504_at_the_timeout() {
        for reply in [Reply::hang(), Reply::status(200).after(Duration::from_secs(11))] {
            let Fate::Ends { wait, response: Some(response) } = fate(reply) else { panic!("no answer") };
            assert_eq!(wait, Duration::from_secs(10));
            assert_eq!(response.headers.get(":status"), Some("504"));
            assert_eq!(response.headers.get("x-envoy-upstream-service-time"), None);
        }
    }

    #[test]
    fn only_an_upstreams_own_answer_carries_its_service_time() {
        for (reply, own) in
            [(Reply::status(503), true), (Reply::connect_failure(), false), (Reply::disconnect(), false)]
        {
            let Fate::Ends { response: Some(response), .. } = fate(reply) else { panic!("no answer") };
            assert_eq!(response.headers.get(":status"), Some("503"));
            assert_eq!(response.headers.get("x-envoy-upstream-service-time").is_some(), own);
        }
    }

    #[test]
    fn a_reset_in_the_answer_leaves_nothing_of_it() {
        assert!(matches!(fate(Reply::reset()), Fate::Ends { response: None, .. }));
    }
}
