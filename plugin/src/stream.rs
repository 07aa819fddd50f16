//! One HTTP request: its callbacks become calls of [`Request`], and the steps that follow become host calls.

use std::rc::Rc;

use gatepost_core::answer::Answer;
use gatepost_core::ingress::request::{Request, Step};
use gatepost_core::time::Now;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host;
use crate::worker::Worker;

/// A request.
pub struct Stream {
    worker: Option<Rc<Worker>>,
    request: Request,
}

impl Stream {
    /// A request that nothing is known of. Without a worker the filter is not configured: it lets nothing by, for what it
    /// cannot know is whether it should be verified.
    pub fn new(id: u32, worker: Option<Rc<Worker>>) -> Self {
        Self { worker, request: Request::new(id) }
    }

    /// Hands something to the request, and takes the steps that follow.
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
                Step::ReadBody(size) => {
                    self.request.handle_body(&worker.config.request_rules(), host::request_body(size))
                }
                Step::Change(changes) => self.request.handle_changed(host::change_request(&changes)),
                Step::Work(work) => worker.work(&mut self.request, work),
            }
        }
    }
}

impl Context for Stream {
    /// It is over, answered or left by its client.
    fn on_done(&mut self) -> bool {
        let (message, waited) = self.request.handle_end();
        if let Some(worker) = &self.worker {
            message.into_iter().for_each(|(ticket, is_taken)| worker.end_message(&ticket, is_taken));
            let stream = self.request.stream();
            waited
                .iter()
                .for_each(|end| worker.engine(Now::default(), |engine, _| engine.handle_request_end(stream, end)));
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.handle(|request, worker| {
            worker.note_connection();
            // The whole map costs two calls for one header, and most requests here are events, which need it.
            let headers = host::request_headers();
            #[cfg(feature = "trap")]
            if headers.get("x-gatepost-trap").is_some() {
                std::process::abort();
            }
            request.handle_headers(&worker.config.request_rules(), headers, end_of_stream)
        })
    }

    /// More of the body is here: `size` bytes in all.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.handle(|request, worker| request.handle_data(&worker.config.request_rules(), size, end_of_stream))
    }

    /// HTTP/2 with trailers never marks the end of the body.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.handle(|request, _| request.handle_trailers())
    }

    /// The headers of the response are here, whoever made it.
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
