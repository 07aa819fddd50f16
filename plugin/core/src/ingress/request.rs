//! A request on its way through the gateway: a state machine over its headers, its body, its trailers and its end.
//!
//! The state machine decides what a request is, in this order: a command to the admin surface, a message that is to be
//! verified, an event, or none of these; such a request goes on untouched. A message that was verified may still be an
//! event. The body of a command, a message or an event is collected whole, up to a limit. The request is then [`Work`]
//! for the engine, whose answer comes back here.
//!
//! One file, though a long one: the steps and the states are one idea.
//!
//! The state machine touches no host: each `handle_…` returns the [`Step`] that is to be taken next.

use crate::answer::Answer;
use crate::headers::Headers;
use crate::ids::{RouteId, RuleId};
use crate::inbound::{InboundResult, Path, Rule, Rules, Ticket, Verdict, unavailable};
use crate::ingress::event::{Event, EventResult, Offer, event};
use crate::ingress::idempotency::{IdempotencyKey, KEY_LEN_MAX};
use crate::ingress::route::{Route, Routes, Selection};
use crate::ingress::template::{Source, Template};
use crate::ledger::Place;

/// The largest body of a command to the admin surface, in bytes: a command is a line.
pub const COMMAND_MAX: usize = 16 * 1024;

/// The parts of a configuration that decide about requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestRules<'a> {
    /// The prefix of the admin surface's paths; `None`: there is no admin surface.
    pub admin: Option<&'a str>,
    /// The inbound rules: which requests are verified.
    pub inbound: &'a Rules,
    /// The routes: which requests are events.
    pub routes: &'a Routes,
    /// The template of the rollout key; `None`: the event's id decides whether an event is in a rollout.
    pub rollout_key: Option<&'a Template>,
    /// The largest body of a message or an event, in bytes.
    pub body_max: usize,
}

/// The next step of a request.
#[derive(Debug)]
pub enum Step {
    /// Let the request go on as it is, and count it as this.
    Continue(Option<RequestResult>),
    /// Hold the request: more of it is to come, or its answer.
    Pause,
    /// Read the body, so many bytes, and hand it to [`Request::handle_body`].
    ReadBody(usize),
    /// Answer the request, and count it as this.
    Reply(Answer, Option<RequestResult>),
    /// Change the headers; [`Request::handle_changed`] says what follows.
    Change(Changes),
    /// Remove the trailers of these names; [`Request::handle_trailers_removed`] says what follows.
    RemoveTrailers(Vec<String>),
    /// Let the engine decide.
    Work(Work),
}

/// The work that a request is for the engine.
#[derive(Debug)]
pub enum Work {
    /// Carry out a request to the admin surface.
    Command {
        /// The headers of the request.
        headers: Box<Headers>,
        /// The body of the request.
        body: Vec<u8>,
    },
    /// Answer a request to the admin surface whose body is larger than [`COMMAND_MAX`].
    RefuseCommand,
    /// Verify a message.
    Verify {
        /// The rule of the message's path.
        rule: RuleId,
        /// The headers of the message.
        headers: Box<Headers>,
        /// The body of the message.
        body: Vec<u8>,
    },
    /// Take an event.
    Take(Box<Offer>),
}

/// Changes to the headers of a request before it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The names of headers to remove.
    pub remove: Vec<String>,
    /// A header to set, its name and its value.
    pub set: Option<(String, String)>,
}

/// The result of a request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// The result of a request on an event route.
    Event(RouteId, EventResult),
    /// The result of a request on an inbound path.
    Inbound(RuleId, InboundResult),
}

/// Who waited for an answer when the stream of a request ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A producer, who waited for the end of the event at this place.
    Producer(Place),
    /// An operator, who waited for the end of a drain.
    Operator,
}

/// The state machine of a request. See the module.
#[derive(Debug)]
pub struct Request {
    stream: u32,
    state: RequestState,
    /// The names of the client's headers that say what only the gateway may say: that the request was verified.
    claims: Vec<String>,
    /// The ticket of a verified message that is with the application.
    ticket: Option<Ticket>,
}

#[derive(Debug)]
enum RequestState {
    /// The request was not looked at yet, or was let on.
    Passing,
    /// The body is coming: `size` bytes of it are here.
    Collecting { kind: Collected, headers: Box<Headers>, size: usize },
    /// The headers are being changed; once they are, the request is counted as this.
    Changing(Option<(RuleId, InboundResult)>),
    /// The engine has the request.
    Working,
    /// An operator waits for the end of a drain.
    Draining,
    /// The producer waits for the end of the event at this place.
    Waiting(Place),
    /// The request was answered.
    Answered,
}

/// The kind of a request whose body is coming.
#[derive(Debug)]
enum Collected {
    Command,
    Message(RuleId),
    Event { route: RouteId, captures: Vec<String> },
}

impl Request {
    /// A new request on this stream.
    pub fn new(stream: u32) -> Self {
        Self { stream, state: RequestState::Passing, claims: Vec::new(), ticket: None }
    }

    /// The stream of the request.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// Handles the headers; `is_end`: the request has nothing behind them.
    pub fn handle_headers(&mut self, rules: &RequestRules<'_>, mut headers: Headers, is_end: bool) -> Step {
        if rules.admin.is_some_and(|admin| below(admin, headers.text(":path")).is_some()) {
            return self.collect(rules, Collected::Command, headers, is_end);
        }
        if rules.inbound.is_empty() {
            return self.sort(rules, headers, None, is_end);
        }
        // Every request has a method: without one the headers could not be read, and the path may be an inbound one.
        if headers.get(":method").is_none() {
            return self.reply(unavailable(), None);
        }
        self.claims = rules.inbound.claims(&headers);
        headers.remove(&self.claims);
        match rules.inbound.path(&headers.get(":path").unwrap_or_default()) {
            Path::Free => self.sort(rules, headers, None, is_end),
            Path::Of(rule) => self.guard(rules, rule, headers, is_end),
            Path::Unclear => {
                let detail =
                    "the path may be read as one that is guarded; expected its plain form, such as /webhooks/partner";
                self.reply(Answer::bad_request(detail), None)
            }
        }
    }

    /// Handles more of the body: `size` bytes of it are here in all; `is_end`: that is the whole body.
    pub fn handle_data(&mut self, rules: &RequestRules<'_>, size: usize, is_end: bool) -> Step {
        let RequestState::Collecting { kind, size: known, .. } = &mut self.state else { return self.rest() };
        *known = size;
        let limit = if matches!(kind, Collected::Command) { COMMAND_MAX } else { rules.body_max };
        if size > limit {
            return self.too_large(limit);
        }
        if is_end { Step::ReadBody(size) } else { Step::Pause }
    }

    /// Handles the trailers: over HTTP/2 nothing else ends a body that has some. Some servers read a trailer as a header.
    /// `trailers` reads them; without inbound rules there is nothing to look for.
    pub fn handle_trailers(&mut self, rules: &RequestRules<'_>, trailers: impl FnOnce() -> Headers) -> Step {
        let claims = if rules.inbound.is_empty() { Vec::new() } else { rules.inbound.claims(&trailers()) };
        if claims.is_empty() { self.handle_trailers_removed(true) } else { Step::RemoveTrailers(claims) }
    }

    /// Handles the end of [`Step::RemoveTrailers`]: whether all of them were removed.
    pub fn handle_trailers_removed(&mut self, is_done: bool) -> Step {
        match self.state {
            _ if !is_done => self.reply(unavailable(), None),
            RequestState::Collecting { size, .. } => Step::ReadBody(size),
            _ => self.rest(),
        }
    }

    /// Handles the body that was read; `None`: it could not be read.
    pub fn handle_body(&mut self, rules: &RequestRules<'_>, body: Option<Vec<u8>>) -> Step {
        let RequestState::Collecting { kind, headers, .. } = std::mem::replace(&mut self.state, RequestState::Working)
        else {
            return self.reply(unavailable(), None);
        };
        match (kind, body) {
            // A body that could not be read counts as empty.
            (Collected::Command, body) => Step::Work(Work::Command { headers, body: body.unwrap_or_default() }),
            (Collected::Message(rule), Some(body)) => Step::Work(Work::Verify { rule, headers, body }),
            (Collected::Message(rule), None) => {
                self.reply(unavailable(), Some(RequestResult::Inbound(rule, InboundResult::Unavailable)))
            }
            (Collected::Event { route, captures }, Some(body)) => self.take(rules, route, &captures, &headers, body),
            (Collected::Event { route, .. }, None) => {
                let answer = Answer::unavailable(1, "the body could not be read");
                self.reply(answer, Some(RequestResult::Event(route, EventResult::Unavailable)))
            }
        }
    }

    /// Handles the verdict on a message. A message that was verified goes on, or is an event; any other is answered.
    pub fn handle_verdict(
        &mut self,
        rules: &RequestRules<'_>,
        id: RuleId,
        verdict: Verdict,
        mut headers: Headers,
        body: Vec<u8>,
    ) -> Step {
        let count = RequestResult::Inbound(id, verdict.result);
        self.ticket = match verdict.pass {
            Ok(ticket) => ticket,
            Err(answer) => return self.reply(*answer, Some(count)),
        };
        let Some(rule) = rules.inbound.get(id.0) else { return self.reply(unavailable(), None) };
        headers.set(&rule.header, rule.name.as_bytes());
        self.sort(rules, headers, Some((id, verdict.result, body)), true)
    }

    /// Handles the engine's reply to an event: the answer, or the place of the event whose end brings the answer.
    pub fn handle_reply(&mut self, answer: Result<Answer, Place>) -> Step {
        match answer {
            Ok(answer) => self.reply(answer, None),
            Err(place) => {
                self.state = RequestState::Waiting(place);
                Step::Pause
            }
        }
    }

    /// Handles the engine's answer to a command; `None`: the answer comes at the end of a drain.
    pub fn handle_command_done(&mut self, answer: Option<Answer>) -> Step {
        match answer {
            Some(answer) => self.reply(answer, None),
            None => {
                self.state = RequestState::Draining;
                Step::Pause
            }
        }
    }

    /// Handles the end of a change of the headers: if they could not be changed (`is_done` is false), the request does
    /// not go on.
    pub fn handle_changed(&mut self, is_done: bool) -> Step {
        let RequestState::Changing(verified) = self.state else { return self.rest() };
        if is_done {
            self.state = RequestState::Passing;
            return Step::Continue(verified.map(|(rule, result)| RequestResult::Inbound(rule, result)));
        }
        self.reply(unavailable(), verified.map(|(rule, _)| RequestResult::Inbound(rule, InboundResult::Unavailable)))
    }

    /// Handles the status of the response, from the application or from the gateway. Returns the ticket of the message,
    /// which ends, and whether the application has taken the message: by a 2xx.
    pub fn handle_response(&mut self, status: u16) -> Option<(Ticket, bool)> {
        self.ticket.take().map(|ticket| (ticket, (200..300).contains(&status)))
    }

    /// Whether a response's status is worth reading, for [`handle_response`](Self::handle_response).
    pub fn wants_response(&self) -> bool {
        self.ticket.is_some()
    }

    /// Handles the end of the stream, which was answered or left by its client. Returns the ticket of the message,
    /// which ends, with whether the message is taken, as [`handle_response`](Self::handle_response) does; and who
    /// waited for an answer.
    pub fn handle_end(&mut self) -> (Option<(Ticket, bool)>, Option<End>) {
        // A message that became an event, which is kept, is taken: the event goes on without its sender.
        let is_taken = matches!(self.state, RequestState::Waiting(_));
        let end = match self.state {
            RequestState::Waiting(place) => Some(End::Producer(place)),
            RequestState::Draining => Some(End::Operator),
            _ => None,
        };
        (self.ticket.take().map(|ticket| (ticket, is_taken)), end)
    }

    /// Guards a request on a path of this rule: collects it, unless its method is not one of the rule's.
    fn guard(&mut self, rules: &RequestRules<'_>, id: RuleId, headers: Headers, is_end: bool) -> Step {
        let Some(rule) = rules.inbound.get(id.0) else { return self.reply(unavailable(), None) };
        let method = headers.text(":method");
        if !rule.methods.iter().any(|allowed| allowed == method) {
            let count = RequestResult::Inbound(id, InboundResult::Method);
            return self.reply(Answer::method_not_allowed(&rule.methods), Some(count));
        }
        self.collect(rules, Collected::Message(id), headers, is_end)
    }

    /// Decides whether a request is an event. `verified` is of a message that was verified: its rule, the result that
    /// is counted if it goes on, and its body.
    fn sort(
        &mut self,
        rules: &RequestRules<'_>,
        headers: Headers,
        verified: Option<(RuleId, InboundResult, Vec<u8>)>,
        is_end: bool,
    ) -> Step {
        match rules.routes.select(headers.text(":path"), headers.text(":method"), &headers) {
            Selection::NoRoute => self.let_on(rules, verified.map(|(rule, result, _)| (rule, result))),
            Selection::MethodNotAllowed { allow } => self.reply(Answer::method_not_allowed(&allow), None),
            Selection::Event { route, captures } => match verified {
                Some((_, _, body)) => self.take(rules, route, &captures, &headers, body),
                None => self.collect(rules, Collected::Event { route, captures }, headers, is_end),
            },
        }
    }

    /// Lets a request go on: without the client's headers that say that it was verified, and with the gateway's header,
    /// if it was.
    fn let_on(&mut self, rules: &RequestRules<'_>, verified: Option<(RuleId, InboundResult)>) -> Step {
        let rule = verified.and_then(|(rule, _)| rules.inbound.get(rule.0));
        let value = |rule: &Rule| rule.header_value.as_ref().map_or_else(|| rule.name.clone(), |value| value.0.clone());
        let set = rule.map(|rule| (rule.header.clone(), value(rule)));
        let remove = std::mem::take(&mut self.claims);
        if remove.is_empty() && set.is_none() {
            return self.rest();
        }
        self.state = RequestState::Changing(verified);
        Step::Change(Changes { remove, set })
    }

    /// Waits for the body, unless it is announced as too large or there is none.
    fn collect(&mut self, rules: &RequestRules<'_>, kind: Collected, headers: Headers, is_end: bool) -> Step {
        let announced: Option<u64> = headers.text("content-length").parse().ok();
        let is_command = matches!(kind, Collected::Command);
        self.state = RequestState::Collecting { kind, headers: Box::new(headers), size: 0 };
        if !is_command && announced.is_some_and(|len| len > rules.body_max as u64) {
            return self.too_large(rules.body_max);
        }
        if is_end { Step::ReadBody(0) } else { Step::Pause }
    }

    fn too_large(&mut self, limit: usize) -> Step {
        let RequestState::Collecting { kind, .. } = std::mem::replace(&mut self.state, RequestState::Working) else {
            return self.rest();
        };
        let count = match kind {
            Collected::Command => return Step::Work(Work::RefuseCommand),
            Collected::Message(rule) => RequestResult::Inbound(rule, InboundResult::TooLarge),
            Collected::Event { route, .. } => RequestResult::Event(route, EventResult::Invalid),
        };
        self.reply(Answer::too_large(limit), Some(count))
    }

    /// Takes an event, all of which is here.
    fn take(
        &mut self,
        rules: &RequestRules<'_>,
        id: RouteId,
        captures: &[String],
        headers: &Headers,
        body: Vec<u8>,
    ) -> Step {
        let Some(route) = rules.routes.get(id.0) else { return self.reply(unavailable(), None) };
        let refused = Some(RequestResult::Event(id, EventResult::Invalid));
        let key = headers.get("idempotency-key");
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_LEN_MAX) {
            return self.reply(Answer::bad_request("Idempotency-Key must have 1 to 256 bytes"), refused);
        }
        // Where the rollout key is absent the event's id decides: an event without the header is sampled too.
        let source = Source { captures, headers, body: &body };
        let rollout_key = rules.rollout_key.and_then(|key| key.render(&source).ok());
        match event(route, captures, headers, body) {
            Ok(event) => {
                let key = key.map(|key| idempotency_key(route, captures, headers, &key, &event));
                self.state = RequestState::Working;
                Step::Work(Work::Take(Box::new(Offer { stream: self.stream, route: id, event, key, rollout_key })))
            }
            Err(rejection) => self.reply(Answer::bad_request(&rejection.to_string()), refused),
        }
    }

    fn reply(&mut self, answer: Answer, count: Option<RequestResult>) -> Step {
        self.state = RequestState::Answered;
        Step::Reply(answer, count)
    }

    /// The step that changes nothing: a request that is let on continues, any other is held.
    fn rest(&self) -> Step {
        if matches!(self.state, RequestState::Passing) { Step::Continue(None) } else { Step::Pause }
    }
}

/// Splits a path at the prefix of the admin surface: what follows the prefix, and the query; `None` where the path is
/// not one of the admin surface's.
pub fn below<'a>(admin: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let rest = path.strip_prefix(admin)?;
    (rest.is_empty() || rest.starts_with('/')).then_some((rest, query))
}

/// The request's idempotency key in its scope, for all that shapes the event. Trace headers do not: a producer that tries
/// again does so in a span of its own.
fn idempotency_key(route: &Route, captures: &[String], headers: &Headers, key: &[u8], event: &Event) -> IdempotencyKey {
    let scope = route.idempotency_scope.as_deref().and_then(|name| headers.get(name));
    let content_type = event.content_type.as_deref().unwrap_or_default();
    let mut parts = vec![event.event_type.as_bytes(), content_type, &event.payload];
    parts.extend(captures.iter().map(String::as_bytes));
    IdempotencyKey::new(&route.name, scope.as_deref(), key, &parts)
}

#[cfg(test)]
mod tests;
