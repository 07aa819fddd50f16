//! The least that a filter does which keeps an event before it delivers it, written plainly on the proxy-wasm SDK: it
//! buffers the body, keeps it and its state in shared data, answers 202, wakes its root, signs, sends, and frees what it
//! kept. The benchmark puts it beside Gatepost: what is above it is the price of retries, breakers, leases and metrics.
//!
//! It is no filter to use: what a worker keeps is lost with its VM, and a delivery that fails is dropped.

#![allow(missing_docs, reason = "the function that proxy_wasm::main! makes is the ABI's, not ours to describe")]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use sha2::Sha256;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The cluster and the secret of the benchmark's endpoint.
const CLUSTER: &str = "billing";
const SECRET: &[u8] = b"a-secret-of-the-usual-32-letters";
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the root and the streams of a worker share.
#[derive(Default)]
struct Worker {
    /// Begins the keys of this worker and the ids of its events.
    name: String,
    queue: u32,
    /// The root has been woken and has not come yet.
    woken: bool,
    /// How many events came so far.
    events: u64,
    /// Slots that were used and are free again; the next after them was never used.
    free: Vec<usize>,
    used: usize,
    /// Events that are kept and not sent yet: their slots and ids.
    waiting: VecDeque<(usize, String)>,
    /// The slots of calls under way, by their tokens.
    calls: HashMap<u32, usize>,
}

#[derive(Default)]
struct Root {
    worker: Rc<RefCell<Worker>>,
}

impl Root {
    fn send(&self, worker: &mut Worker, slot: usize, id: &str) {
        let (Some(body), _) = self.get_shared_data(&format!("{}/body/{slot}", worker.name)) else { return };
        let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET) else { return };
        mac.update(now.as_bytes());
        mac.update(b".");
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "receiver.test"),
            (":path", "/"),
            ("content-type", "application/json"),
            ("user-agent", "gatepost-floor"),
            ("x-webhook-id", id),
            ("x-webhook-event", "bench"),
            ("x-webhook-attempt", "1"),
            ("x-webhook-signature", &signature),
            ("x-webhook-timestamp", &now),
        ];
        match self.dispatch_http_call(CLUSTER, headers, Some(&body), vec![], TIMEOUT) {
            Ok(token) => drop(worker.calls.insert(token, slot)),
            Err(status) => log::error!("event {id} is lost: host status {status:?}"),
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _headers: usize, _body: usize, _trailers: usize) {
        let status = self.get_http_call_response_header(":status");
        if status.as_deref() != Some("200") {
            log::error!("a delivery failed: {status:?}");
        }
        let mut worker = self.worker.borrow_mut();
        if let Some(slot) = worker.calls.remove(&token) {
            let (body, state) = (format!("{}/body/{slot}", worker.name), format!("{}/state/{slot}", worker.name));
            if self.set_shared_data(&body, None, None).and(self.set_shared_data(&state, None, None)).is_ok() {
                worker.free.push(slot);
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{:x}", now.as_nanos());
        let queue = self.register_shared_queue(&name);
        *self.worker.borrow_mut() = Worker { name, queue, ..Worker::default() };
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        // One value for each wake-up; what is to be done stands in `waiting`.
        let _ = self.dequeue_shared_queue(queue);
        let mut worker = self.worker.borrow_mut();
        worker.woken = false;
        while let Some((slot, id)) = worker.waiting.pop_front() {
            self.send(&mut worker, slot, &id);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { worker: Rc::clone(&self.worker) }))
    }
}

struct Stream {
    worker: Rc<RefCell<Worker>>,
}

impl Stream {
    /// Keeps an event, and wakes the root for it; its id. `None`: it could not be kept.
    fn keep(&self, body: &[u8]) -> Option<String> {
        let mut worker = self.worker.borrow_mut();
        let slot = worker.free.pop().unwrap_or(worker.used);
        worker.used = worker.used.max(slot + 1);
        worker.events += 1;
        let id = format!("{}-{}", worker.name, worker.events);
        self.set_shared_data(&format!("{}/body/{slot}", worker.name), Some(body), None).ok()?;
        self.set_shared_data(&format!("{}/state/{slot}", worker.name), Some(id.as_bytes()), None).ok()?;
        worker.waiting.push_back((slot, id.clone()));
        if !worker.woken {
            worker.woken = self.enqueue_shared_queue(worker.queue, Some(b"1")).is_ok();
        }
        Some(id)
    }
}

impl Context for Stream {}
impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, end_of_stream: bool) -> Action {
        if end_of_stream { Action::Continue } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        let id = self.get_http_request_body(0, size).and_then(|body| self.keep(&body));
        match id {
            Some(id) => {
                let answer = format!(r#"{{"id":"{id}","status":"accepted"}}"#);
                self.send_http_response(202, vec![("content-type", "application/json")], Some(answer.as_bytes()));
            }
            None => self.send_http_response(503, vec![], None),
        }
        Action::Pause
    }
}
