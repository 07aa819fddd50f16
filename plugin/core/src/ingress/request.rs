//! A request on its way through the gateway: a state machine over its headers, its body, its trailers and its end.
//!
//! The state machine decides what a request is, in this order: a command to the admin surface, a message that is to be
//! verified, an event, or none of these; such a request goes on untouched. A message that was verified may still be an
//! event. The body of a command, a message or an event is collected whole, up to a limit. The request is then [`Work`]
//! for the engine, whose answer comes back here.
//!
//! The state machine touches no host: each `handle_…` returns the [`Step`] that is to be taken next.

use crate::answer::{Answer, Problem};
use crate::headers::Headers;
use crate::ids::{RouteId, RuleId};
use crate::inbound::{InboundResult, Path, Rule, Ticket, Verdict, unavailable};
use crate::ingress::event::EventResult;
use crate::ingress::route::Selection;
pub use crate::ingress::waiting::COMMAND_MAX;
use crate::ingress::waiting::{Budgets, HEADERS_KEPT, Reservation};
use collected::Collected;
pub use result::{AdminRefusal, RequestResult};
use rules::select;
pub use rules::{RequestRules, below};
pub use step::{Changes, End, Step, Work};
use take::take;

mod collected;
mod result;
mod rules;
mod step;
mod take;

/// The state machine of a request. See the module.
#[derive(Debug)]
pub struct Request {
    stream: u32,
    state: RequestState,
    /// The ticket of a verified message that is with the application.
    ticket: Option<Ticket>,
}

#[derive(Debug)]
enum RequestState {
    /// The request was not looked at yet, or was let on.
    Passing,
    /// The body is coming: `size` bytes of it are here. `headers` are kept if they are small.
    Collecting { kind: Collected, headers: Option<Box<Headers>>, size: usize, held: Reservation },
    /// The headers are being changed; once they are, the request is counted as this.
    Changing(Option<(RuleId, InboundResult)>),
    /// The engine has the request.
    Working,
    /// An operator waits for the end of a drain.
    Draining,
    /// The producer waits for the engine's answer.
    Waiting,
    /// The request was answered.
    Answered,
}

impl Request {
    /// A new request on this stream.
    pub fn new(stream: u32) -> Self {
        Self { stream, state: RequestState::Passing, ticket: None }
    }

    /// The stream of the request.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// Handles the headers; `is_end`: the request has nothing behind them. `budgets` are those of the worker.
    pub fn handle_headers(
        &mut self,
        rules: &RequestRules<'_>,
        budgets: &Budgets,
        mut headers: Headers,
        is_end: bool,
    ) -> Step {
        if rules.admin.is_some_and(|admin| below(admin, headers.text(":path")).is_some()) {
            return self.collect(rules, budgets, Collected::Command, headers, is_end);
        }
        let claims = rules.inbound.claims(&headers);
        if !rules.inbound.is_empty() {
            // Every request has a method: without one the headers could not be read, and the path may be an inbound one.
            if headers.get(":method").is_none() {
                return self.reply(unavailable(), None);
            }
            match rules.inbound.path(&headers.get(":path").unwrap_or_default()) {
                Path::Free => headers.remove(&claims),
                Path::Of(rule) => return self.guard(rules, budgets, rule, headers, is_end),
                Path::Unclear => return self.reply(Answer::bad_request(UNCLEAR), None),
            }
        }
        match select(rules, &headers) {
            Selection::NoRoute => self.let_on(rules, claims, None),
            Selection::MethodNotAllowed { allow } => self.reply(Answer::method_not_allowed(&allow), None),
            Selection::Event { route, .. } => self.collect(rules, budgets, Collected::Event(route), headers, is_end),
        }
    }

    /// Handles a request to the admin surface whose token is right: its body is waited for.
    pub fn handle_operator(&mut self, with: Box<Headers>) -> Step {
        if let RequestState::Collecting { headers, .. } = &mut self.state
            && with.size() <= HEADERS_KEPT
        {
            *headers = Some(with);
        }
        self.rest()
    }

    /// Handles more of the body: `size` bytes of it are here in all; `is_end`: that is the whole body.
    pub fn handle_data(&mut self, rules: &RequestRules<'_>, size: usize, is_end: bool) -> Step {
        let RequestState::Collecting { kind, size: known, held, .. } = &mut self.state else { return self.rest() };
        let kind = *kind;
        *known = size;
        let limit = kind.body_max(rules.body_max);
        if size > limit {
            return self.too_large(kind, limit);
        }
        if !held.hold_body(size) {
            return self.overloaded(kind);
        }
        if is_end { self.read() } else { Step::Pause }
    }

    /// Handles the trailers: over HTTP/2 nothing else ends a body that has some. Some servers read a trailer as a header.
    /// `trailers` reads them; without inbound rules there is nothing to look for.
    pub fn handle_trailers(&mut self, rules: &RequestRules<'_>, trailers: impl FnOnce() -> Headers) -> Step {
        let claims = if rules.inbound.is_empty() { Vec::new() } else { rules.inbound.claims(&trailers()) };
        if claims.is_empty() { self.handle_trailers_removed(true) } else { Step::RemoveTrailers(claims) }
    }

    /// Handles the end of [`Step::RemoveTrailers`]: whether all of them were removed.
    pub fn handle_trailers_removed(&mut self, is_done: bool) -> Step {
        if is_done { self.read() } else { self.reply(unavailable(), None) }
    }

    /// Handles what was read: the headers, if they were asked for, and the body; `None`: the body could not be read.
    pub fn handle_read(&mut self, rules: &RequestRules<'_>, read: Option<Headers>, body: Option<Vec<u8>>) -> Step {
        let RequestState::Collecting { kind, headers, .. } = std::mem::replace(&mut self.state, RequestState::Working)
        else {
            return self.reply(unavailable(), None);
        };
        // Every request has a method: without one the headers could not be read.
        let headers = headers.or_else(|| read.map(Box::new)).filter(|headers| headers.get(":method").is_some());
        match headers.zip(body) {
            Some((headers, body)) => self.handle_whole(rules, kind, headers, body),
            None => self.unread(kind),
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
        let claims = rules.inbound.claims(&headers);
        headers.remove(&claims);
        headers.set(&rule.header, rule.name.as_bytes());
        match select(rules, &headers) {
            Selection::NoRoute => self.let_on(rules, claims, Some((id, verdict.result))),
            Selection::MethodNotAllowed { allow } => self.reply(Answer::method_not_allowed(&allow), None),
            Selection::Event { route, captures } => self.take(rules, route, &captures, &headers, body),
        }
    }

    /// Handles the engine's reply to an event; `None`: the answer comes later.
    pub fn handle_reply(&mut self, answer: Option<Answer>) -> Step {
        match answer {
            Some(answer) => self.reply(answer, None),
            None => {
                self.state = RequestState::Waiting;
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

    /// Handles the end of the stream, which was answered or left by its client. Returns the ticket of a message that
    /// nobody has taken, which ends, and who waited for an answer.
    pub fn handle_end(&mut self) -> (Option<Ticket>, Option<End>) {
        let ticket = self.ticket.take();
        match self.state {
            // The engine has the message as an event, and knows whether it is taken.
            RequestState::Waiting => (None, Some(End::Producer(ticket))),
            RequestState::Draining => (ticket, Some(End::Operator)),
            _ => (ticket, None),
        }
    }

    /// Guards a request on a path of this rule: collects it, unless its method is not one of the rule's.
    fn guard(
        &mut self,
        rules: &RequestRules<'_>,
        budgets: &Budgets,
        id: RuleId,
        headers: Headers,
        is_end: bool,
    ) -> Step {
        let Some(rule) = rules.inbound.get(id.0) else { return self.reply(unavailable(), None) };
        let method = headers.text(":method");
        if let Some(Verdict { result, pass: Err(answer) }) = rule.unsigned_challenge(method, headers.text(":path")) {
            return self.reply(*answer, Some(RequestResult::Inbound(id, result)));
        }
        if !rule.methods.iter().any(|allowed| allowed == method) {
            let count = RequestResult::Inbound(id, InboundResult::Method);
            return self.reply(Answer::method_not_allowed(&rule.methods), Some(count));
        }
        self.collect(rules, budgets, Collected::Message(id), headers, is_end)
    }

    /// Lets a request go on: without the client's headers that claim that it was verified, and with the gateway's
    /// header, if it was.
    fn let_on(
        &mut self,
        rules: &RequestRules<'_>,
        claims: Vec<String>,
        verified: Option<(RuleId, InboundResult)>,
    ) -> Step {
        let rule = verified.and_then(|(rule, _)| rules.inbound.get(rule.0));
        let value = |rule: &Rule| rule.header_value.as_ref().map_or_else(|| rule.name.clone(), |value| value.0.clone());
        let set = rule.map(|rule| (rule.header.clone(), value(rule)));
        if claims.is_empty() && set.is_none() {
            return self.rest();
        }
        self.state = RequestState::Changing(verified);
        Step::Change(Changes { remove: claims, set })
    }

    /// Waits for the body, unless there is none, it is announced as too large, or there is no room for the request.
    fn collect(
        &mut self,
        rules: &RequestRules<'_>,
        budgets: &Budgets,
        kind: Collected,
        headers: Headers,
        is_end: bool,
    ) -> Step {
        if is_end {
            return self.handle_whole(rules, kind, Box::new(headers), Vec::new());
        }
        let announced: Option<u64> = headers.text("content-length").parse().ok();
        let is_command = matches!(kind, Collected::Command);
        if !is_command && announced.is_some_and(|len| len > rules.body_max as u64) {
            return self.too_large(kind, rules.body_max);
        }
        let kept = Some(headers.size()).filter(|size| *size <= HEADERS_KEPT);
        let Some(held) = kind.budget(budgets).reserve(kept.unwrap_or_default()) else { return self.overloaded(kind) };
        let headers = Box::new(headers);
        if is_command {
            // Its headers are kept once its token is known to be right.
            self.state = RequestState::Collecting { kind, headers: None, size: 0, held };
            return Step::Work(Work::Authorize { headers });
        }
        self.state = RequestState::Collecting { kind, headers: kept.map(|_| headers), size: 0, held };
        Step::Pause
    }

    /// Asks for what is to be read of a request, all of which is here.
    fn read(&self) -> Step {
        match &self.state {
            RequestState::Collecting { headers, size, .. } => Step::Read { body: *size, headers: headers.is_none() },
            _ => self.rest(),
        }
    }

    /// Handles a request, all of which is here.
    fn handle_whole(
        &mut self,
        rules: &RequestRules<'_>,
        kind: Collected,
        headers: Box<Headers>,
        body: Vec<u8>,
    ) -> Step {
        self.state = RequestState::Working;
        match kind {
            Collected::Command => Step::Work(Work::Command { headers, body }),
            Collected::Message(rule) => Step::Work(Work::Verify { rule, headers, body }),
            Collected::Event(_) => {
                let mut headers = headers;
                headers.remove(&rules.inbound.claims(&headers));
                match select(rules, &headers) {
                    Selection::Event { route, captures } => self.take(rules, route, &captures, &headers, body),
                    // It was an event when it began, and neither rules nor headers have changed.
                    _ => self.reply(unavailable(), kind.counted(InboundResult::Unavailable, EventResult::Unavailable)),
                }
            }
        }
    }

    fn too_large(&mut self, kind: Collected, limit: usize) -> Step {
        self.state = RequestState::Working;
        match kind.counted(InboundResult::TooLarge, EventResult::Invalid) {
            None => Step::Work(Work::RefuseCommand(Problem::too_large(limit))),
            count => self.reply(Answer::too_large(limit), count),
        }
    }

    fn unread(&mut self, kind: Collected) -> Step {
        const DETAIL: &str = "the request could not be read";
        let count = kind.counted(InboundResult::Unavailable, EventResult::Unavailable);
        match kind {
            Collected::Command => Step::Work(Work::RefuseCommand(Problem::unavailable(1, DETAIL))),
            Collected::Message(_) => self.reply(unavailable(), count),
            Collected::Event(_) => self.reply(Answer::unavailable(1, DETAIL), count),
        }
    }

    fn overloaded(&mut self, kind: Collected) -> Step {
        let answer =
            Answer::unavailable(1, "the gateway waits for the bodies of too many requests to take another one");
        self.reply(answer, Some(kind.overloaded()))
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
        match take(rules, self.stream, id, captures, headers, body) {
            Ok(work) => {
                self.state = RequestState::Working;
                Step::Work(work)
            }
            Err(answer) => self.reply(*answer, Some(RequestResult::Event(id, EventResult::Invalid))),
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

/// What a request is told whose path is not clear.
const UNCLEAR: &str = "the path may be read as one that is guarded; expected its plain form, such as /webhooks/partner";

#[cfg(test)]
mod tests;
