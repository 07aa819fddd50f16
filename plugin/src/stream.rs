//! One HTTP request: who signed it, is it an event, has all of it come, what is it answered.

use std::rc::Rc;

use gatepost_core::admin;
use gatepost_core::answer::Answer;
use gatepost_core::engine::{Offer, Place};
use gatepost_core::headers::Headers;
use gatepost_core::ids::{RouteId, RuleId};
use gatepost_core::inbound::{InboundResult, Ticket, unavailable};
use gatepost_core::ingress::event::{self, EventResult};
use gatepost_core::ingress::idempotency::{KEY_LEN_MAX, Key};
use gatepost_core::ingress::route::Selection;
use gatepost_core::ingress::template::Source;
use gatepost_core::time::Now;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host;
use crate::worker::Worker;

mod inbound;

/// A request.
pub struct Stream {
    id: u32,
    worker: Option<Rc<Worker>>,
    state: State,
    /// It was verified, and is with the application.
    ticket: Option<Ticket>,
}

enum State {
    /// Not looked at yet, or no event: it passes through untouched.
    Passing,
    /// A request to be verified whose body is coming; so many bytes of it are here.
    Verifying { rule: RuleId, headers: Box<Headers>, size: usize },
    /// An event whose body is coming; so many bytes of it are here.
    Collecting { event: Box<Incoming>, size: usize },
    /// A request to the admin surface whose body is coming; so many bytes of it are here.
    Operating { headers: Box<Headers>, size: usize },
    /// An operator waits for the end of a drain.
    Draining,
    /// Its producer waits for the end of the event at this place.
    Waiting { place: Place },
    /// Answered.
    Answered,
}

/// An event whose body is coming.
struct Incoming {
    route: RouteId,
    captures: Vec<String>,
    headers: Headers,
}

impl Stream {
    /// A request that nothing is known of. Without a worker the filter is not configured: it lets nothing by, for what it
    /// cannot know is whether it should be verified.
    pub fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { id, worker, state: State::Passing, ticket: None }
    }
}

impl Context for Stream {
    /// It is over, answered or left by its client.
    fn on_done(&mut self) -> bool {
        // An event that was kept goes on without its sender.
        self.settle(matches!(self.state, State::Waiting { .. }));
        let Some(worker) = &self.worker else { return true };
        match &self.state {
            State::Waiting { place } => {
                worker.engine(Now::default(), |engine, _| engine.handle_producer_gone(self.id, *place))
            }
            State::Draining => worker.engine(Now::default(), |engine, _| engine.handle_operator_gone(self.id)),
            State::Passing
            | State::Verifying { .. }
            | State::Collecting { .. }
            | State::Operating { .. }
            | State::Answered => {}
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        match self.worker.clone() {
            Some(worker) => self.begin(&worker, end_of_stream),
            None => refuse(),
        }
    }

    /// More of the body is here: `size` bytes in all.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.worker.clone() {
            Some(worker) => self.collect(&worker, size, end_of_stream),
            None => refuse(),
        }
    }

    /// HTTP/2 with trailers never marks the end of the body.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        match self.worker.clone() {
            Some(worker) => self.finish(&worker),
            None => refuse(),
        }
    }

    /// The headers of the response are here, whoever made it.
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.ticket.is_some()
            && let Some(status) = host::response_status()
        {
            self.settle((200..300).contains(&status));
        }
        Action::Continue
    }
}

impl Stream {
    /// Looks at the request line and the headers.
    fn begin(&mut self, worker: &Worker, end_of_stream: bool) -> Action {
        worker.serve();
        // The whole map costs two calls for one header, and most requests here are events, which need it.
        let mut headers = host::request_headers();
        #[cfg(feature = "trap")]
        if headers.get("x-gatepost-trap").is_some() {
            std::process::abort();
        }
        let path = text(&headers, ":path");
        if worker.config.admin.as_ref().is_some_and(|admin| admin::split(admin, path).is_some()) {
            self.state = State::Operating { headers: Box::new(headers), size: 0 };
            return if end_of_stream { self.finish(worker) } else { Action::Pause };
        }
        if !worker.config.inbound.is_empty() {
            match inbound::forget_claims(worker, &headers) {
                Some(true) => headers = host::request_headers(),
                Some(false) => {}
                None => return self.answer(&unavailable()),
            }
            // Every request has a method: its headers could not be read, its path may be an inbound one.
            if headers.get(":method").is_none() {
                return self.answer(&unavailable());
            }
            match inbound::rule(worker, &headers) {
                Ok(Some(rule)) => return self.guard(worker, rule, headers, end_of_stream),
                Ok(None) => {}
                Err(answer) => return self.answer(&answer),
            }
        }
        self.sort(worker, headers, end_of_stream)
    }

    /// Is it an event?
    fn sort(&mut self, worker: &Worker, headers: Headers, end_of_stream: bool) -> Action {
        let text = |name| text(&headers, name);
        match worker.config.routes.select(text(":path"), text(":method"), &headers) {
            Selection::NoRoute => Action::Continue,
            Selection::MethodNotAllowed { allow } => self.answer(&Answer::method_not_allowed(&allow)),
            Selection::Event { route, captures } => {
                let announced = announced(&headers);
                self.state = State::Collecting { event: Box::new(Incoming { route, captures, headers }), size: 0 };
                self.await_body(worker, announced, end_of_stream)
            }
        }
    }

    /// Waits for the body, of which so many bytes are announced.
    fn await_body(&mut self, worker: &Worker, announced: Option<u64>, end_of_stream: bool) -> Action {
        let limit = worker.config.limits.body;
        if announced.is_some_and(|len| len > limit as u64) {
            return self.too_large(worker, limit);
        }
        if end_of_stream { self.finish(worker) } else { Action::Pause }
    }

    /// Takes in more of the body.
    fn collect(&mut self, worker: &Worker, total: usize, end_of_stream: bool) -> Action {
        let limit = match &mut self.state {
            State::Verifying { size, .. } | State::Collecting { size, .. } => {
                *size = total;
                worker.config.limits.body
            }
            State::Operating { size, .. } => {
                *size = total;
                admin::BODY_MAX
            }
            _ => return self.resting(),
        };
        if total > limit {
            return self.too_large(worker, limit);
        }
        if end_of_stream { self.finish(worker) } else { Action::Pause }
    }

    fn too_large(&mut self, worker: &Worker, limit: usize) -> Action {
        let answer = Answer::too_large(limit);
        match &self.state {
            State::Verifying { rule, .. } => self.deny(worker, *rule, InboundResult::TooLarge, &answer),
            State::Collecting { event, .. } => self.refuse(worker, event.route, &answer),
            _ => {
                let answer = worker.engine(host::now(), |engine, world| engine.refuse_operator(world));
                self.answer(&answer)
            }
        }
    }

    /// All of the request is here.
    fn finish(&mut self, worker: &Worker) -> Action {
        let state = std::mem::replace(&mut self.state, State::Answered);
        let (event, size) = match state {
            State::Collecting { event, size } => (event, size),
            State::Verifying { rule, headers, size } => return self.verify(worker, rule, *headers, size),
            State::Operating { headers, size } => return self.operate(worker, &headers, size),
            state => {
                self.state = state;
                return self.resting();
            }
        };
        match host::request_body(size) {
            Some(body) => self.offer(worker, *event, body),
            None => {
                worker.count(event.route, EventResult::Unavailable);
                self.answer(&Answer::unavailable(1, "the body could not be read"))
            }
        }
    }

    /// Offers an event, all of which is here.
    fn offer(&mut self, worker: &Worker, event: Incoming, body: Vec<u8>) -> Action {
        let Incoming { route, captures, headers } = event;
        let Some(rules) = worker.config.routes.get(route.0) else { return Action::Continue };
        let key = match idempotency_key(rules, &headers, &body) {
            Ok(key) => key,
            Err(detail) => return self.refuse(worker, route, &Answer::bad_request(detail)),
        };
        let rollout_key = worker.config.rollout.key.as_ref().and_then(|key| {
            // Where it is absent the event's id decides: an event without the header is sampled too.
            key.render(&Source { captures: &captures, headers: &headers, body: &body }).ok()
        });
        let event = match event::event(rules, &captures, &headers, body) {
            Ok(event) => event,
            Err(rejection) => return self.refuse(worker, route, &Answer::bad_request(&rejection.to_string())),
        };
        match worker.offer(Offer { stream: self.id, route, event, key, rollout_key }) {
            Ok(answer) => self.answer(&answer),
            Err(place) => {
                self.state = State::Waiting { place };
                Action::Pause
            }
        }
    }

    /// Answers a request to the admin surface.
    fn operate(&mut self, worker: &Worker, headers: &Headers, size: usize) -> Action {
        // What cannot be read is no command.
        let body = host::request_body(size).unwrap_or_default();
        match worker.operate(self.id, headers, &body) {
            Some(answer) => self.answer(&answer),
            None => {
                self.state = State::Draining;
                Action::Pause
            }
        }
    }

    fn refuse(&mut self, worker: &Worker, route: RouteId, answer: &Answer) -> Action {
        worker.count(route, EventResult::Invalid);
        self.answer(answer)
    }

    fn answer(&mut self, answer: &Answer) -> Action {
        self.state = State::Answered;
        host::answer(answer);
        Action::Pause
    }

    /// What a callback returns that changes nothing.
    fn resting(&self) -> Action {
        if matches!(self.state, State::Passing) { Action::Continue } else { Action::Pause }
    }
}

/// Lets nothing by that nothing is known of.
pub fn refuse() -> Action {
    host::answer(&Answer::unavailable(1, "the gateway cannot look at this request"));
    Action::Pause
}

/// A header that came once, as text.
fn text<'a>(headers: &'a Headers, name: &str) -> &'a str {
    headers.single(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

/// The length of the body, where the request says it.
fn announced(headers: &Headers) -> Option<u64> {
    text(headers, "content-length").parse().ok()
}

/// The request's idempotency key in its scope.
fn idempotency_key(
    route: &gatepost_core::ingress::route::Route,
    headers: &Headers,
    body: &[u8],
) -> Result<Option<Key>, &'static str> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    if key.is_empty() || key.len() > KEY_LEN_MAX {
        return Err("Idempotency-Key must have 1 to 256 bytes");
    }
    let scope = route.idempotency_scope.as_deref().and_then(|name| headers.get(name));
    Ok(Some(Key::new(&route.name, scope.as_deref(), &key, body)))
}
