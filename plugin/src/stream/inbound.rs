//! A request on an inbound path: it waits until all of it is here, and goes on only when it was verified.

use gatepost_core::answer::Answer;
use gatepost_core::headers::Headers;
use gatepost_core::ids::RuleId;
use gatepost_core::inbound::{InboundResult, Path, unavailable};

use super::{Action, State, Stream, announced, text};
use crate::host;
use crate::worker::Worker;

/// Removes from a request what only the gateway may say: that it was verified. Says whether there was anything; `None`:
/// it could not be removed.
pub fn forget_claims(worker: &Worker, headers: &Headers) -> Option<bool> {
    let mut was_claimed = false;
    for name in worker.config.inbound.headers().iter().flat_map(|name| headers.spellings_of(name)) {
        was_claimed = true;
        host::remove_request_header(name).then_some(())?;
    }
    Some(was_claimed)
}

/// The rule for a request's path, if there is one. An error: that is not clear.
pub fn rule(worker: &Worker, headers: &Headers) -> Result<Option<RuleId>, Answer> {
    match worker.config.inbound.path(&headers.get(":path").unwrap_or_default()) {
        Path::Free => Ok(None),
        Path::Of(rule) => Ok(Some(rule)),
        Path::Unclear => Err(Answer::bad_request("a path with '..' in it may be one of those that are guarded")),
    }
}

impl Stream {
    /// Its path is one of this rule's.
    pub(super) fn guard(&mut self, worker: &Worker, id: RuleId, headers: Headers, end_of_stream: bool) -> Action {
        let Some(rule) = worker.config.inbound.get(id.0) else { return super::refuse() };
        let method = text(&headers, ":method");
        if !rule.methods.iter().any(|allowed| allowed == method) {
            let answer = Answer::method_not_allowed(&rule.methods);
            return self.deny(worker, id, InboundResult::Method, &answer);
        }
        let announced = announced(&headers);
        self.state = State::Verifying { rule: id, headers: Box::new(headers), size: 0 };
        self.await_body(worker, announced, end_of_stream)
    }

    /// All of it is here. Once it is verified it may still be an event.
    pub(super) fn verify(&mut self, worker: &Worker, id: RuleId, headers: Headers, size: usize) -> Action {
        let Some(body) = host::request_body(size) else {
            return self.deny(worker, id, InboundResult::Unavailable, &unavailable());
        };
        let verdict = worker.verify(id, &headers, &body);
        let ticket = match verdict.pass {
            Ok(ticket) => ticket,
            Err(answer) => return self.deny(worker, id, verdict.result, &answer),
        };
        self.ticket = ticket;
        let Some(rule) = worker.config.inbound.get(id.0) else { return super::refuse() };
        if !host::set_request_header(&rule.header, &rule.name) {
            self.settle(false);
            return self.deny(worker, id, InboundResult::Unavailable, &unavailable());
        }
        worker.count_inbound(id, verdict.result);
        self.state = State::Passing;
        if worker.config.routes.is_empty() {
            return Action::Continue;
        }
        let action = self.sort(worker, host::request_headers(), false);
        match std::mem::replace(&mut self.state, State::Answered) {
            State::Collecting { event, .. } => self.offer(worker, *event, body),
            state => {
                self.state = state;
                action
            }
        }
    }

    pub(super) fn deny(&mut self, worker: &Worker, id: RuleId, result: InboundResult, answer: &Answer) -> Action {
        worker.count_inbound(id, result);
        self.answer(answer)
    }

    /// Ends its claim, if it has one: the application has taken it, or may see it again.
    pub(super) fn settle(&mut self, taken: bool) {
        if let (Some(worker), Some(ticket)) = (&self.worker, self.ticket.take()) {
            worker.end(&ticket, taken);
        }
    }
}
