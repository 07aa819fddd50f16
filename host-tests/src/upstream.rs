//! The clusters the filter can call: scripts that say how each call ends, and a record of every call that was made.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::grpc::{GrpcCall, GrpcReply};
use crate::headers::Headers;
use crate::ids::Thread;
use crate::reply::{Ending, Reply};
use crate::rules::Effect;

/// An HTTP call of the filter, as the upstream receives it.
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
    /// The request's trailers.
    pub trailers: Headers,
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

/// A cluster that the filter calls, as a script: what it replies to each call.
pub struct Upstream {
    script: Script,
}

enum Script {
    Http(Box<dyn FnMut(&Call) -> Reply>),
    Grpc(Box<dyn FnMut(&GrpcCall) -> GrpcReply>),
}

impl Upstream {
    /// Every call gets this reply.
    pub fn always(reply: Reply) -> Self {
        Self::by(move |_| reply.clone())
    }

    /// The first call gets the first of these replies, and so on; once they are used up, every call is answered 200.
    pub fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::by(move |_| replies.pop_front().unwrap_or_else(|| Reply::status(200)))
    }

    /// A function decides about each call.
    pub fn by(script: impl FnMut(&Call) -> Reply + 'static) -> Self {
        Self { script: Script::Http(Box::new(script)) }
    }

    /// A gRPC server: the function is asked when a call or stream begins, and then for each further message of the
    /// stream and for its end. An HTTP call to it is answered 415, as such servers do. The other way round, a gRPC call
    /// to a cluster whose script is one of HTTP ends with the gRPC status that stands for the HTTP one.
    pub fn grpc(script: impl FnMut(&GrpcCall) -> GrpcReply + 'static) -> Self {
        Self { script: Script::Grpc(Box::new(script)) }
    }

    fn answer(&mut self, call: &Call) -> Reply {
        match &mut self.script {
            Script::Http(script) => script(call),
            Script::Grpc(_) => Reply::status(415),
        }
    }

    fn answer_grpc(&mut self, call: &GrpcCall) -> GrpcReply {
        match &mut self.script {
            Script::Grpc(script) => script(call),
            // It has the whole request once the first side has ended.
            Script::Http(_) if !call.has_ended => GrpcReply::open(),
            Script::Http(script) => GrpcReply::of_http(script(&as_http(call))),
        }
    }
}

/// A gRPC call as a server sees it that knows nothing of gRPC.
fn as_http(call: &GrpcCall) -> Call {
    let path = format!("/{}/{}", call.service, call.method);
    let mut headers = Headers::from([(":method", "POST"), (":path", &path), (":authority", &call.cluster)]);
    headers.add("te", "trailers");
    headers.add("content-type", "application/grpc");
    call.metadata.iter().for_each(|(name, value)| headers.add(name, value));
    // Each message: whether it is compressed, its length, itself.
    let framed = |message: &Vec<u8>| {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        [[0].as_slice(), &length, message].concat()
    };
    Call {
        at: call.at,
        wall_millis: 0,
        thread: call.thread,
        cluster: call.cluster.clone(),
        headers,
        body: call.messages.iter().flat_map(framed).collect(),
        trailers: Headers::default(),
        timeout: call.timeout,
        shared: Vec::new(),
    }
}

/// What the filter is handed when a call ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallEnd {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
}

/// The outcome of an HTTP call, which is decided when it is made.
pub(crate) enum Fate {
    UnknownCluster,
    Refused,
    /// Ends after `wait`; no end means that the stream was reset.
    Ends {
        wait: Duration,
        end: Option<CallEnd>,
    },
    /// Has no answer and no timeout.
    Hangs,
}

/// All clusters of a process, and every call they received, in order.
#[derive(Default)]
pub(crate) struct Upstreams {
    clusters: BTreeMap<String, Upstream>,
    pub(crate) calls: Vec<Call>,
    pub(crate) grpc_calls: Vec<GrpcCall>,
    /// Of each gRPC call: a rule answers in its script's place, to the end.
    is_silent: Vec<bool>,
}

impl Upstreams {
    pub(crate) fn set(&mut self, cluster: &str, upstream: Upstream) {
        self.clusters.insert(cluster.to_owned(), upstream);
    }

    pub(crate) fn knows(&self, cluster: &str) -> bool {
        self.clusters.contains_key(cluster)
    }

    /// Makes a call, whose answer a rule may change.
    pub(crate) fn call(&mut self, call: Call, rule: Effect) -> Fate {
        let Some(upstream) = self.clusters.get_mut(&call.cluster) else { return Fate::UnknownCluster };
        let mut reply = match rule {
            Effect::Drop => Reply::hang(),
            Effect::Fail(status) => Reply::status(u16::try_from(status).unwrap_or(u16::MAX)),
            Effect::Pass | Effect::Delay(_) | Effect::Trap => upstream.answer(&call),
        };
        if let Effect::Delay(wait) = rule {
            reply.latency += wait;
        }
        let timeout = call.timeout;
        let is_late = |at: Duration| !timeout.is_zero() && at >= timeout;
        let end = reply.end();
        let fate = match reply.ending {
            Ending::Refused => return Fate::Refused,
            Ending::Never if timeout.is_zero() => Fate::Hangs,
            Ending::Never => timed_out(timeout),
            _ if is_late(reply.latency) => timed_out(timeout),
            Ending::Local { status, text } => Fate::Ends { wait: reply.latency, end: Some(local(status, text)) },
            // The headers came in time: Envoy resets what it has begun.
            Ending::Answer(_) if is_late(end) => Fate::Ends { wait: timeout, end: None },
            Ending::Answer(answer) if answer.is_cut => Fate::Ends { wait: end, end: None },
            Ending::Answer(mut answer) => {
                answer.headers.add("x-envoy-upstream-service-time", reply.latency.as_millis().to_string());
                let (headers, body, trailers) = (answer.headers, answer.chunks.concat(), answer.trailers);
                Fate::Ends { wait: end, end: Some(CallEnd { headers, body, trailers }) }
            }
        };
        self.calls.push(call);
        fate
    }
}

impl Upstreams {
    /// Begins a gRPC call or stream, whose answer a rule may change; gives its number and what the server says. `None`
    /// where it is not sent at all.
    pub(crate) fn begin_grpc(&mut self, call: GrpcCall, rule: Effect) -> Option<(usize, GrpcReply)> {
        let upstream = self.clusters.get_mut(&call.cluster)?;
        let mut reply = match rule {
            Effect::Drop => GrpcReply::open(),
            Effect::Fail(status) => GrpcReply::of_http_status(u16::try_from(status).unwrap_or(u16::MAX)),
            Effect::Pass | Effect::Delay(_) | Effect::Trap => upstream.answer_grpc(&call),
        };
        if let Effect::Delay(wait) = rule {
            reply.latency += wait;
        }
        if reply.is_refused {
            return None;
        }
        self.grpc_calls.push(call);
        self.is_silent.push(matches!(rule, Effect::Drop | Effect::Fail(_)));
        Some((self.grpc_calls.len() - 1, reply))
    }

    /// Tells the server of a stream a further message, or that there are no more; gives what it says to that.
    pub(crate) fn continue_grpc(&mut self, number: usize, message: Option<Vec<u8>>, ends: bool) -> Option<GrpcReply> {
        let call = self.grpc_calls.get_mut(number)?;
        call.messages.extend(message);
        call.has_ended |= ends;
        if self.is_silent.get(number).is_some_and(|silent| *silent) {
            return None;
        }
        Some(self.clusters.get_mut(&call.cluster)?.answer_grpc(call))
    }
}

fn timed_out(timeout: Duration) -> Fate {
    Fate::Ends { wait: timeout, end: Some(local(504, "upstream request timeout")) }
}

/// An answer of Envoy's own: what tells it from an upstream's is that the service time is missing.
fn local(status: u16, text: &str) -> CallEnd {
    let mut headers = Headers::default();
    headers.add(":status", status.to_string());
    headers.add("content-length", text.len().to_string());
    headers.add("content-type", "text/plain");
    CallEnd { headers, body: text.as_bytes().to_vec(), trailers: Headers::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: Effect = Effect::Pass;

    fn fate(reply: Reply, rule: Effect) -> Fate {
        let mut upstreams = Upstreams::default();
        upstreams.set("billing", Upstream::always(reply));
        let call = Call {
            at: Duration::ZERO,
            wall_millis: 0,
            thread: Thread::Main,
            cluster: "billing".to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
            trailers: Headers::default(),
            timeout: Duration::from_secs(10),
            shared: Vec::new(),
        };
        upstreams.call(call, rule)
    }

    fn status(fate: &Fate) -> Option<(Duration, Option<&str>)> {
        let Fate::Ends { wait, end } = fate else { return None };
        Some((*wait, end.as_ref().and_then(|end| end.headers.get(":status"))))
    }

    /// An answer later than the timeout is Envoy's 504 at the timeout.
    #[test]
    fn an_answer_after_the_timeout_is_envoys_504() {
        for reply in [Reply::hang(), Reply::status(200).after(Duration::from_secs(11))] {
            let Fate::Ends { wait, end: Some(end) } = fate(reply, PASS) else { panic!("no answer") };
            assert_eq!(wait, Duration::from_secs(10));
            assert_eq!(end.headers.get(":status"), Some("504"));
            assert_eq!(end.headers.get("x-envoy-upstream-service-time"), None);
        }
    }

    #[test]
    fn only_an_upstreams_own_answer_carries_its_service_time() {
        for (reply, own) in
            [(Reply::status(503), true), (Reply::connect_failure(), false), (Reply::disconnect(), false)]
        {
            let Fate::Ends { end: Some(end), .. } = fate(reply, PASS) else { panic!("no answer") };
            assert_eq!(end.headers.get(":status"), Some("503"));
            assert_eq!(end.headers.get("x-envoy-upstream-service-time").is_some(), own);
        }
    }

    #[test]
    fn an_answer_that_breaks_off_leaves_nothing_of_it() {
        for reply in [Reply::reset(), Reply::status(200).chunks(["half"]).cut()] {
            assert!(matches!(fate(reply, PASS), Fate::Ends { end: None, .. }));
        }
    }

    /// An answer that has begun in time and ends late is reset at the timeout.
    #[test]
    fn an_answer_that_ends_late_is_reset() {
        let slow = Reply::status(200).chunks(["a", "b"]).spaced(Duration::from_secs(4));
        assert_eq!(status(&fate(slow, PASS)), Some((Duration::from_secs(10), None)));
    }

    #[test]
    fn an_answer_in_pieces_ends_whole_with_its_trailers() {
        let spaced = Reply::status(200).chunks(["a", "b"]).trailers([("x-sum", "2")]).spaced(Duration::from_secs(1));
        let Fate::Ends { wait, end: Some(end) } = fate(spaced, PASS) else { panic!("no answer") };
        assert_eq!((wait, end.body.as_slice()), (Duration::from_millis(3_001), b"ab".as_slice()));
        assert_eq!(end.trailers.get("x-sum"), Some("2"));
    }

    /// A rule answers in the script's place or keeps the answer back.
    #[test]
    fn a_rule_answers_in_the_scripts_place() {
        let answer = || Reply::status(200);
        let (millisecond, timeout) = (Duration::from_millis(1), Duration::from_secs(10));
        assert_eq!(status(&fate(answer(), Effect::Fail(429))), Some((millisecond, Some("429"))));
        assert_eq!(status(&fate(answer(), Effect::Drop)), Some((timeout, Some("504"))));
        assert_eq!(status(&fate(answer(), Effect::Delay(millisecond))), Some((2 * millisecond, Some("200"))));
    }
}
