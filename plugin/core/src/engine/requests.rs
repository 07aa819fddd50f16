//! Requests that need the engine: their [`Work`], and the end of their streams.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::Engine;
use crate::admin;
use crate::admin::token::Bearer;
use crate::answer::Answer;
use crate::headers::Headers;
use crate::inbound::Ticket;
use crate::ingress::event::EventResult;
use crate::ingress::request::{End, Request, RequestResult, Step, Work, below};
use crate::store::World;
use crate::telemetry::notice::Notice;

impl Engine {
    /// Does the work of a request that only the engine can do, and returns the next step of the request.
    pub fn handle_work(&mut self, world: &mut World<'_>, request: &mut Request, work: Work) -> Step {
        match work {
            Work::Take(offer) => {
                let route = offer.route;
                let reply = self.handle_event(world, *offer);
                if let Some(result) = reply.result {
                    self.output.note(Notice::Request(RequestResult::Event(route, result)));
                }
                request.handle_reply(reply.answer)
            }
            Work::RefuseEvent(route, why) => {
                let answer = self.refuse_unreadable(route, &why);
                self.output.note(Notice::Request(RequestResult::Event(route, EventResult::Invalid)));
                request.handle_reply(Some(answer))
            }
            Work::Verify { rule, headers, body } => {
                let config = Rc::clone(&self.config);
                let mut verdict = self.gate.verify(&config.inbound, world.store, world.now, rule, &headers, &body);
                let claimable = self.claimable(rule, &mut verdict, headers.size() + body.len());
                let verified = verdict.pass.is_ok().then_some(RequestResult::Inbound(rule, verdict.result));
                let mut step = request.handle_verdict(&config.request_rules(), rule, verdict, *headers, body);
                if let Some(claimable) = claimable {
                    step = match self.claim_message(world, request, claimable, step) {
                        ControlFlow::Continue(step) => step,
                        // It is counted already, or will be when it goes on.
                        ControlFlow::Break(step) => return step,
                    };
                }
                // A request that goes on to the application is counted once its headers are changed.
                if !matches!(step, Step::Change(_)) {
                    verified.into_iter().for_each(|count| self.output.note(Notice::Request(count)));
                }
                match step {
                    Step::Work(work) => self.handle_work(world, request, work),
                    step => step,
                }
            }
            Work::Authorize { headers } => {
                let authorization = headers.single("authorization");
                let admin = self.config.admin.as_ref();
                if admin.is_some_and(|admin| Bearer::read(admin, authorization).role.is_some()) {
                    return request.handle_operator(headers);
                }
                // Whoever has no token is answered at once: nobody waits for a body that changes nothing.
                let answer = self.command(world, request.stream(), &headers, b"");
                request.handle_command_done(answer)
            }
            Work::Command { headers, body } => {
                let answer = self.command(world, request.stream(), &headers, &body);
                request.handle_command_done(answer)
            }
            Work::RefuseCommand(problem) => request.handle_command_done(Some(self.refuse_operator(world, problem))),
        }
    }

    /// Ends the claim of a verified message, which has been answered or never will be; `is_taken` says whether the
    /// answer was a 2xx.
    pub fn handle_message_end(&mut self, world: &mut World<'_>, ticket: &Ticket, is_taken: bool) {
        if let Err(error) = self.gate.end(world.store, ticket, is_taken) {
            self.output.note(Notice::Store { doing: "ending the claim of an inbound message", error });
        }
        self.note_message_end(ticket.in_fleet, is_taken);
    }

    /// Ends the claim of a message whose sender has left, if there is one.
    pub(super) fn end_message(&mut self, world: &mut World<'_>, ticket: Option<Ticket>, is_taken: bool) {
        ticket.into_iter().for_each(|ticket| self.handle_message_end(world, &ticket, is_taken));
    }

    /// Handles the end of the stream of a request that waited.
    pub fn handle_request_end(&mut self, world: &mut World<'_>, stream: u32, end: End) {
        match end {
            End::Producer(ticket) => self.producer_gone(world, stream, ticket),
            End::Operator => self.operator_gone(stream),
        }
    }

    fn command(&mut self, world: &mut World<'_>, stream: u32, headers: &Headers, body: &[u8]) -> Option<Answer> {
        let config = Rc::clone(&self.config);
        let path = config.admin.as_ref().and_then(|admin| below(&admin.path, headers.text(":path")));
        let Some((path, query)) = path else {
            return Some(Answer::unavailable(1, "this configuration has no such admin surface"));
        };
        let (method, authorization) = (headers.text(":method"), headers.single("authorization"));
        // A VM that was rebuilt for this request has not looked yet.
        self.join(world);
        let fleet = self.documents.knowledge;
        self.administer(world, stream, &admin::AdminRequest { method, path, query, authorization, body, fleet })
    }
}
