//! A request on an inbound path: it waits until all of it is here, and goes on only when it was verified.

use gatepost_core::answer::Answer;
use gatepost_core::headers::Headers;
use gatepost_core::inbound::{RuleId, Verdict};
use gatepost_core::notice::InboundResult;
use gatepost_core::route::readings;

use super::{Action, State, Stream, text};
use crate::host;
use crate::worker::Worker;

/// Removes from a request what only the gateway may say: that it was verified. Says whether there was anything; `None`:
/// it could not be removed.
pub fn forget_claims(worker: &Worker, headers: &Headers) -> Option<bool> {
    let mut was_claimed = false;
    for name in worker.config.inbound_headers.iter().flat_map(|name| headers.spellings_of(name)) {
        was_claimed = true;
        host::remove_request_header(name).then_some(())?;
    }
    Some(was_claimed)
}

/// The rule for a request's path, in whatever spelling, if there is one. An error: it may be read in more than one way.
pub fn rule(worker: &Worker, headers: &Headers) -> Result<Option<RuleId>, Answer> {
    let readings = readings(&headers.get(":path").unwrap_or_default());
    let detail = "a path with '..' in it may be one of those that are guarded";
    let readings = readings.ok_or_else(|| Answer::bad_request(detail))?;
    Ok(worker.config.inbound_router.find(&readings).map(|id| RuleId(id.0)))
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
        let announced = text(&headers, "content-length").parse::<u64>();
        let too_large = announced.is_ok_and(|len| len > worker.config.limits.body as u64);
        self.state = State::Verifying { rule: id, headers: Box::new(headers), size: 0 };
        if too_large {
            return self.too_large(worker, worker.config.limits.body);
        }
        if end_of_stream { self.finish(worker) } else { Action::Pause }
    }

    /// All of it is here. Once it is verified it may still be an event.
    pub(super) fn verify(&mut self, worker: &Worker, id: RuleId, headers: Headers, size: usize) -> Action {
        let body = if size == 0 { Vec::new() } else { host::request_body(size) };
        let verdict = if body.len() == size { worker.verify(id, &headers, &body) } else { Verdict::unavailable() };
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
        match self.sort(worker, host::request_headers(), false) {
            Action::Continue => Action::Continue,
            Action::Pause => self.collect(worker, size, true),
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

/// It cannot be said whether it is verified.
pub fn unavailable() -> Answer {
    Answer::unavailable(1, "the request cannot be verified now")
}
