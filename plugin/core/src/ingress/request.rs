//! A request on its way through the gateway: a state machine over its headers, its body, its trailers and its end.
//!
//! It decides what a request is, in this order: one to the admin surface, one that is to be verified, an event, or none
//! of these, which goes on untouched. A request that was verified may still be an event. What takes a body is collected
//! whole, up to a limit; what it is then is [`Work`] for the engine, whose answer comes back here.
//!
//! One file, though a long one: the steps and the states are one idea.
//!
//! It touches no host: each of its `handle_…` returns the [`Step`] that is to be taken next.

use crate::answer::Answer;
use crate::headers::Headers;
use crate::ids::{RouteId, RuleId};
use crate::inbound::{InboundResult, Path, Rules, Ticket, Verdict, unavailable};
use crate::ingress::event::{EventResult, Offer, event};
use crate::ingress::idempotency::{IdempotencyKey, KEY_LEN_MAX};
use crate::ingress::route::{Route, Routes, Selection};
use crate::ingress::template::{Source, Template};
use crate::ledger::Place;

/// The largest body of a request to the admin surface, in bytes: it is a command of a line.
pub const COMMAND_MAX: usize = 16 * 1024;

/// What a configuration says of requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestRules<'a> {
    /// What the paths of the admin surface begin with, if there is one.
    pub admin: Option<&'a str>,
    /// Which requests are verified.
    pub inbound: &'a Rules,
    /// Which requests are events.
    pub routes: &'a Routes,
    /// What decides whether an event is in a rollout, where that is not its id.
    pub rollout_key: Option<&'a Template>,
    /// The largest body of a message or an event, in bytes.
    pub body_max: usize,
}

/// What is to be done with a request next.
#[derive(Debug)]
pub enum Step {
    /// It goes on as it is, and is counted as this.
    Continue(Option<RequestResult>),
    /// It is held where it is: more of it is to come, or its answer is.
    Pause,
    /// Its body, so many bytes, is to be read and handed to [`Request::handle_body`].
    ReadBody(usize),
    /// It is answered, and counted as this.
    Reply(Answer, Option<RequestResult>),
    /// Its headers are to be changed; [`Request::handle_changed`] says what follows.
    Change(Changes),
    /// The engine is to decide.
    Work(Work),
}

/// What only the engine can do for a request.
#[derive(Debug)]
pub enum Work {
    /// Carry out a request to the admin surface.
    Command {
        /// Its headers.
        headers: Box<Headers>,
        /// Its body.
        body: Vec<u8>,
    },
    /// Answer a request to the admin surface whose body is larger than [`COMMAND_MAX`].
    RefuseCommand,
    /// Verify a message.
    Verify {
        /// The rule of its path.
        rule: RuleId,
        /// Its headers.
        headers: Box<Headers>,
        /// Its body.
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

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// On an event route.
    Event(RouteId, EventResult),
    /// On an inbound path.
    Inbound(RuleId, InboundResult),
}

/// What follows from the end of a request's stream.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Its producer waits for the event at this place no longer.
    Producer(Place),
    /// Its operator waits for the end of a drain no longer.
    Operator,
}

/// A request. See the module.
#[derive(Debug)]
pub struct Request {
    stream: u32,
    state: RequestState,
    /// Headers of the client's that say what only the gateway may say: that the request was verified.
    claims: Vec<String>,
    /// It was verified, and is with the application.
    ticket: Option<Ticket>,
}

#[derive(Debug)]
enum RequestState {
    /// Not looked at yet, or let on.
    Passing,
    /// Its body is coming; so many bytes of it are here.
    Collecting { kind: Collected, headers: Box<Headers>, size: usize },
    /// Its headers are being changed; it is counted as this once they are.
    Changing(Option<(RuleId, InboundResult)>),
    /// The engine has it.
    Working,
    /// An operator waits for the end of a drain.
    Draining,
    /// Its producer waits for the end of the event at this place.
    Waiting(Place),
    /// It was answered.
    Answered,
}

/// What a request is whose body is coming.
#[derive(Debug)]
enum Collected {
    Command,
    Message(RuleId),
    Event { route: RouteId, captures: Vec<String> },
}

impl Request {
    /// A request on this stream that nothing is known of.
    pub fn new(stream: u32) -> Self {
        Self { stream, state: RequestState::Passing, claims: Vec::new(), ticket: None }
    }

    /// Its stream.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// Its headers are here; `is_end`: that is all of it.
    pub fn handle_headers(&mut self, rules: &RequestRules<'_>, mut headers: Headers, is_end: bool) -> Step {
        if rules.admin.is_some_and(|admin| below(admin, headers.text(":path")).is_some()) {
            return self.collect(rules, Collected::Command, headers, is_end);
        }
        if rules.inbound.is_empty() {
            return self.sort(rules, headers, None, is_end);
        }
        // Every request has a method: its headers could not be read, and its path may be an inbound one.
        if headers.get(":method").is_none() {
            return self.reply(unavailable(), None);
        }
        let spellings = rules.inbound.headers().iter().flat_map(|name| headers.spellings_of(name));
        self.claims = spellings.map(str::to_owned).collect();
        headers.remove(&self.claims);
        match rules.inbound.path(&headers.get(":path").unwrap_or_default()) {
            Path::Free => self.sort(rules, headers, None, is_end),
            Path::Of(rule) => self.guard(rules, rule, headers, is_end),
            Path::Unclear => {
                let detail = "a path with '..' in it may be one of those that are guarded";
                self.reply(Answer::bad_request(detail), None)
            }
        }
    }

    /// More of its body is here: `size` bytes in all; `is_end`: that is all of it.
    pub fn handle_data(&mut self, rules: &RequestRules<'_>, size: usize, is_end: bool) -> Step {
        let RequestState::Collecting { kind, size: known, .. } = &mut self.state else { return self.rest() };
        *known = size;
        let limit = if matches!(kind, Collected::Command) { COMMAND_MAX } else { rules.body_max };
        if size > limit {
            return self.too_large(limit);
        }
        if is_end { Step::ReadBody(size) } else { Step::Pause }
    }

    /// Its trailers are here: over HTTP/2 nothing else ends a body that has some.
    pub fn handle_trailers(&mut self) -> Step {
        match self.state {
            RequestState::Collecting { size, .. } => Step::ReadBody(size),
            _ => self.rest(),
        }
    }

    /// Its body was read; `None`: it could not be.
    pub fn handle_body(&mut self, rules: &RequestRules<'_>, body: Option<Vec<u8>>) -> Step {
        let RequestState::Collecting { kind, headers, .. } = std::mem::replace(&mut self.state, RequestState::Working)
        else {
            return self.reply(unavailable(), None);
        };
        match (kind, body) {
            // What cannot be read is no command.
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

    /// A message was verified, or not. One that was goes on, or is an event.
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

    /// The engine has taken an event, or not: the answer, or the place of the event whose end brings it.
    pub fn handle_reply(&mut self, answer: Result<Answer, Place>) -> Step {
        match answer {
            Ok(answer) => self.reply(answer, None),
            Err(place) => {
                self.state = RequestState::Waiting(place);
                Step::Pause
            }
        }
    }

    /// The engine has carried out a command: its answer; `None`: that comes later.
    pub fn handle_command_done(&mut self, answer: Option<Answer>) -> Step {
        match answer {
            Some(answer) => self.reply(answer, None),
            None => {
                self.state = RequestState::Draining;
                Step::Pause
            }
        }
    }

    /// Its headers were changed, or could not be: then it does not go on.
    pub fn handle_changed(&mut self, is_done: bool) -> Step {
        let RequestState::Changing(verified) = self.state else { return self.rest() };
        if is_done {
            self.state = RequestState::Passing;
            return Step::Continue(verified.map(|(rule, result)| RequestResult::Inbound(rule, result)));
        }
        self.reply(unavailable(), verified.map(|(rule, _)| RequestResult::Inbound(rule, InboundResult::Unavailable)))
    }

    /// The application has answered with this status, or the gateway has: what ends with it, and whether the message is
    /// taken.
    pub fn handle_response(&mut self, status: u16) -> Option<(Ticket, bool)> {
        self.ticket.take().map(|ticket| (ticket, (200..300).contains(&status)))
    }

    /// Is a response's status worth reading ([`handle_response`](Self::handle_response))?
    pub fn wants_response(&self) -> bool {
        self.ticket.is_some()
    }

    /// Its stream is over, answered or left by its client: what ends with it, as of [`handle_response`](Self::handle_response).
    pub fn handle_end(&mut self) -> (Option<(Ticket, bool)>, Option<End>) {
        // An event that was kept goes on without its sender.
        let is_taken = matches!(self.state, RequestState::Waiting(_));
        let end = match self.state {
            RequestState::Waiting(place) => Some(End::Producer(place)),
            RequestState::Draining => Some(End::Operator),
            _ => None,
        };
        (self.ticket.take().map(|ticket| (ticket, is_taken)), end)
    }

    /// Its path is one of this rule's.
    fn guard(&mut self, rules: &RequestRules<'_>, id: RuleId, headers: Headers, is_end: bool) -> Step {
        let Some(rule) = rules.inbound.get(id.0) else { return self.reply(unavailable(), None) };
        let method = headers.text(":method");
        if !rule.methods.iter().any(|allowed| allowed == method) {
            let count = RequestResult::Inbound(id, InboundResult::Method);
            return self.reply(Answer::method_not_allowed(&rule.methods), Some(count));
        }
        self.collect(rules, Collected::Message(id), headers, is_end)
    }

    /// Is it an event? One that was verified has its body, and what it is counted as if it goes on.
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

    /// It goes on, without what only the gateway may say, and with what the gateway says.
    fn let_on(&mut self, rules: &RequestRules<'_>, verified: Option<(RuleId, InboundResult)>) -> Step {
        let rule = verified.and_then(|(rule, _)| rules.inbound.get(rule.0));
        let set = rule.map(|rule| (rule.header.clone(), rule.name.clone()));
        let remove = std::mem::take(&mut self.claims);
        if remove.is_empty() && set.is_none() {
            return self.rest();
        }
        self.state = RequestState::Changing(verified);
        Step::Change(Changes { remove, set })
    }

    /// Waits for its body, unless that is announced as too large or there is none.
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

    /// All of an event is here.
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
        let key = match idempotency_key(route, headers, &body) {
            Ok(key) => key,
            Err(detail) => return self.reply(Answer::bad_request(detail), refused),
        };
        // Where it is absent the event's id decides: an event without the header is sampled too.
        let source = Source { captures, headers, body: &body };
        let rollout_key = rules.rollout_key.and_then(|key| key.render(&source).ok());
        match event(route, captures, headers, body) {
            Ok(event) => {
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

    /// What changes nothing.
    fn rest(&self) -> Step {
        if matches!(self.state, RequestState::Passing) { Step::Continue(None) } else { Step::Pause }
    }
}

/// Splits a path at the admin surface's: what follows it, and the query; `None` where it is another's.
pub fn below<'a>(admin: &str, path: &'a str) -> Option<(&'a str, &'a str)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let rest = path.strip_prefix(admin)?;
    (rest.is_empty() || rest.starts_with('/')).then_some((rest, query))
}

/// The request's idempotency key in its scope.
fn idempotency_key(route: &Route, headers: &Headers, body: &[u8]) -> Result<Option<IdempotencyKey>, &'static str> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    if key.is_empty() || key.len() > KEY_LEN_MAX {
        return Err("Idempotency-Key must have 1 to 256 bytes");
    }
    let scope = route.idempotency_scope.as_deref().and_then(|name| headers.get(name));
    Ok(Some(IdempotencyKey::new(&route.name, scope.as_deref(), &key, body)))
}

#[cfg(test)]
mod tests;
