//! One HTTP request: its callbacks become calls of [`Request`], and the steps that follow become host calls.

use std::rc::Rc;

use gatepost_core::answer::Answer;
use gatepost_core::ingress::request::{Request, Step};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host;
use crate::worker::Worker;

/// The HTTP context of one request.
pub struct Stream {
    worker: Option<Rc<Worker>>,
    request: Request,
}

impl Stream {
    /// The context of a request of which nothing is known yet. Without a worker the filter is not configured, and every
    /// request is answered with a 503: nobody can tell whether the request should be verified.
    pub fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { worker, request: Request::new(id) }
    }

    /// Runs `handle` on the request and takes the steps that follow; returns what Envoy is to do with the request.
    fn handle(&mut self, handle: impl FnOnce(&mut Request, &Worker) -> Step) -> Action {
        let Some(worker) = self.worker.clone() else {
            host::answer(&Answer::unavailable(1, "the gateway cannot look at this request"));
            return Action::Pause;
        };
        let mut step = handle(&mut self.request, &worker);
        loop {
            step = match step {
                Step::Continue(count) => {
                    worker.count(count);
                    return Action::Continue;
                }
                Step::Pause => return Action::Pause,
                Step::Reply(answer, count) => {
                    worker.count(count);
                    host::answer(&answer);
                    return Action::Pause;
                }
                Step::Read { body, headers } => {
                    let headers = headers.then(host::request_headers);
                    self.request.handle_read(&worker.config.request_rules(), headers, host::request_body(body))
                }
                Step::RemoveTrailers(names) => {
                    self.request.handle_trailers_removed(host::remove_request_trailers(&names))
                }
                Step::Change(changes) => self.request.handle_changed(host::change_request(&changes)),
                Step::Work(work) => worker.work(&mut self.request, work),
            }
        }
    }
}

impl Context for Stream {
    /// Ends the request: it was answered, or its client has left.
    fn on_done(&mut self) -> bool {
        let (message, waited) = self.request.handle_end();
        if let Some(worker) = &self.worker {
            message.into_iter().for_each(|ticket| worker.end_message(&ticket, false));
            waited.into_iter().for_each(|end| worker.end_request(self.request.stream(), end));
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.handle(|request, worker| {
            worker.note_connection();
            // Reading all headers costs as much as reading two, and most requests here are events, which need all.
            let headers = host::request_headers();
            #[cfg(feature = "trap")]
            if headers.get("x-gatepost-trap").is_some() {
                std::process::abort();
            }
            request.handle_headers(&worker.config.request_rules(), &worker.budgets, headers, end_of_stream)
        })
    }

    /// Tells the request that more of its body is here: `size` bytes in all.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.handle(|request, worker| request.handle_data(&worker.config.request_rules(), size, end_of_stream))
    }

    /// Tells the request that its body has ended: before trailers, HTTP/2 marks no data as the last.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.handle(|request, worker| request.handle_trailers(&worker.config.request_rules(), host::request_trailers))
    }

    /// Ends a verified message by the status of the response, whether the application or the gateway made it.
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.request.wants_response()
            && let Some(worker) = &self.worker
            && let Some((ticket, is_taken)) =
                host::response_status().and_then(|status| self.request.handle_response(status))
        {
            worker.end_message(&ticket, is_taken);
        }
        Action::Continue
    }
}
