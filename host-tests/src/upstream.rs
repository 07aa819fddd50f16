//! The clusters the filter can call: scripts that say how each call ends, and a record of every call that was made.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::grpc::{GrpcCall, GrpcReply, of_status};
use crate::headers::Headers;
use crate::ids::Thread;
use crate::reply::{Ending, Kept, Promise, Reply, Response};
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

type HttpScript = Box<dyn FnMut(&Call) -> Promise>;
type GrpcScript = Box<dyn FnMut(&GrpcCall) -> GrpcReply>;

enum Script {
    Http(HttpScript),
    Grpc(GrpcScript),
    Both(HttpScript, GrpcScript),
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
    pub fn by(mut script: impl FnMut(&Call) -> Reply + 'static) -> Self {
        Self::promising(move |call| script(call).into())
    }

    /// A function decides about each call, or promises to decide later. A gRPC call gets what was promised for later at
    /// once, and as an answer that knows nothing of gRPC.
    pub fn promising(script: impl FnMut(&Call) -> Promise + 'static) -> Self {
        Self { script: Script::Http(Box::new(script)) }
    }

    /// A gRPC server: the function is asked when a call or stream begins, and then for each further message of the
    /// stream and for its end. An HTTP call to it is answered 415, as such servers do. The other way round, a gRPC call
    /// to a cluster whose script is one of HTTP ends with the gRPC status that stands for the HTTP one.
    pub fn grpc(script: impl FnMut(&GrpcCall) -> GrpcReply + 'static) -> Self {
        Self { script: Script::Grpc(Box::new(script)) }
    }

    /// The same, but gRPC calls and streams are the business of another script, as with [`grpc`](Self::grpc): for a
    /// filter that frames some of its gRPC by hand.
    #[must_use]
    pub fn and_grpc(self, script: impl FnMut(&GrpcCall) -> GrpcReply + 'static) -> Self {
        let script: GrpcScript = Box::new(script);
        let script = match self.script {
            Script::Http(http) | Script::Both(http, _) => Script::Both(http, script),
            Script::Grpc(_) => Script::Grpc(script),
        };
        Self { script }
    }

    fn answer(&mut self, call: &Call) -> Promise {
        match &mut self.script {
            Script::Http(script) | Script::Both(script, _) => script(call),
            Script::Grpc(_) => Reply::status(415).into(),
        }
    }

    fn answer_grpc(&mut self, call: &GrpcCall) -> GrpcReply {
        match &mut self.script {
            Script::Grpc(script) | Script::Both(_, script) => script(call),
            // It has the whole request once the first side has ended.
            Script::Http(_) if !call.has_ended => GrpcReply::open(),
            Script::Http(script) => GrpcReply::of_http(match script(&as_http(call)).kept {
                Kept::Now(reply) => reply,
                Kept::Later(wait, decide) => decide().after(wait),
            }),
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

/// How an HTTP call ends, decided when it is made or as it ends. `None` means that the stream was reset.
pub(crate) enum Ends {
    Known(Option<CallEnd>),
    Later(Box<dyn FnOnce() -> Option<CallEnd>>),
}

impl Ends {
    pub(crate) fn decide(self) -> Option<CallEnd> {
        match self {
            Self::Known(end) => end,
            Self::Later(decide) => decide(),
        }
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(end) => f.debug_tuple("Known").field(end).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// The outcome of an HTTP call, which is decided when it is made, but for what a promise leaves open.
pub(crate) enum Fate {
    UnknownCluster,
    Refused,
    /// Ends after `wait`.
    Ends {
        wait: Duration,
        end: Ends,
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
    /// Of each gRPC call: its script is not asked any more, because it has ended the call, or a rule answers in its place.
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
        let promise = match rule {
            Effect::Drop => Reply::hang().into(),
            Effect::Fail(status) => Reply::status(u16::try_from(status).unwrap_or(u16::MAX)).into(),
            Effect::Pass | Effect::Delay(_) | Effect::Trap => upstream.answer(&call),
        };
        let delay = if let Effect::Delay(wait) = rule { wait } else { Duration::ZERO };
        let fate = match promise.kept {
            Kept::Now(reply) => fate(&call, reply, delay),
            Kept::Later(wait, decide) => promised(&call, wait + delay, decide),
        };
        if !matches!(fate, Fate::Refused) {
            self.calls.push(call);
        }
        fate
    }
}

fn is_late(call: &Call, at: Duration) -> bool {
    !call.timeout.is_zero() && at >= call.timeout
}

/// What becomes of a call that is replied to so, `delay` later than the reply says.
fn fate(call: &Call, mut reply: Reply, delay: Duration) -> Fate {
    reply.latency += delay;
    let timeout = call.timeout;
    let end = reply.end();
    let ends = |wait, end| Fate::Ends { wait, end: Ends::Known(end) };
    match reply.ending {
        Ending::Refused => Fate::Refused,
        Ending::Never if timeout.is_zero() => Fate::Hangs,
        Ending::Never => timed_out(call),
        _ if is_late(call, reply.latency) => timed_out(call),
        Ending::Local { status, text } => ends(reply.latency, Some(local(call, status, text))),
        // The headers came in time: Envoy resets what it has begun.
        Ending::Answer(_) if is_late(call, end) => ends(timeout, None),
        Ending::Answer(answer) if answer.is_cut => ends(end, None),
        Ending::Answer(answer) => ends(end, Some(answered(answer, reply.latency))),
    }
}

/// What becomes of a call whose reply is decided after `wait`.
fn promised(call: &Call, wait: Duration, decide: Box<dyn FnOnce() -> Reply>) -> Fate {
    if is_late(call, wait) {
        return timed_out(call);
    }
    let is_grpc = is_grpc(call);
    let decide = move || match decide().ending {
        Ending::Answer(answer) if !answer.is_cut => Some(answered(answer, wait)),
        Ending::Local { status, text } => Some(local_of(is_grpc, status, text)),
        Ending::Answer(_) | Ending::Never | Ending::Refused => None,
    };
    Fate::Ends { wait, end: Ends::Later(Box::new(decide)) }
}

/// An upstream's whole answer, as Envoy hands it to the filter.
fn answered(mut answer: Response, latency: Duration) -> CallEnd {
    answer.headers.add("x-envoy-upstream-service-time", latency.as_millis().to_string());
    CallEnd { headers: answer.headers, body: answer.chunks.concat(), trailers: answer.trailers }
}

impl Upstreams {
    /// Begins a gRPC call or stream, whose answer a rule may change; gives its number and what the server says. `None`
    /// where it is not sent at all.
    pub(crate) fn begin_grpc(&mut self, mut call: GrpcCall, rule: Effect) -> Option<(usize, GrpcReply)> {
        call.number = self.grpc_calls.len();
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
        self.is_silent.push(reply.is_last() || matches!(rule, Effect::Drop | Effect::Fail(_)));
        Some((self.grpc_calls.len() - 1, reply))
    }

    /// Tells the server of a stream a further message, or that there are no more; gives what it says to that.
    pub(crate) fn continue_grpc(
        &mut self,
        number: usize,
        message: Option<Vec<u8>>,
        ends: bool,
        now: Duration,
    ) -> Option<GrpcReply> {
        let call = self.grpc_calls.get_mut(number)?;
        call.messages.extend(message);
        call.has_ended |= ends;
        call.asked_at = now;
        let is_silent = self.is_silent.get_mut(number).filter(|silent| !**silent)?;
        let reply = self.clusters.get_mut(&call.cluster)?.answer_grpc(call);
        *is_silent = reply.is_last();
        Some(reply)
    }
}

fn timed_out(call: &Call) -> Fate {
    Fate::Ends { wait: call.timeout, end: Ends::Known(Some(local(call, 504, "upstream request timeout"))) }
}

/// Has the filter framed gRPC by hand?
fn is_grpc(call: &Call) -> bool {
    let rest = call.header("content-type").strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

fn local(call: &Call, status: u16, text: &str) -> CallEnd {
    local_of(is_grpc(call), status, text)
}

/// An answer of Envoy's own: what tells it from an upstream's is that the service time is missing. To a gRPC request it
/// answers in gRPC's way: by headers alone.
fn local_of(is_grpc: bool, status: u16, text: &str) -> CallEnd {
    let mut headers = Headers::default();
    if is_grpc {
        headers = Headers::from([(":status", "200"), ("content-type", "application/grpc")]);
        headers.add("grpc-status", of_status(status).to_string());
        headers.add("grpc-message", text);
        return CallEnd { headers, ..CallEnd::default() };
    }
    headers.add(":status", status.to_string());
    headers.add("content-length", text.len().to_string());
    headers.add("content-type", "text/plain");
    CallEnd { headers, body: text.as_bytes().to_vec(), trailers: Headers::default() }
}

#[cfg(test)]
mod tests;
