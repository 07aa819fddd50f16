//! The HTTP around the books: a thread of its own with one small runtime.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Builder as RuntimeBuilder;
use tokio::sync::oneshot;

use super::inbox::{Inbox, Reply, Request};
use super::mode::Mode;
use super::record::Record;
use super::verify::{Check, Verifier};
use crate::now;
use gatepost_core::secret::Secret;
use gatepost_core::signature::Signature;
use gatepost_core::signature::timestamped::Timestamped;

/// What a receiver is started with.
pub struct Setup {
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// The secrets that are good.
    pub secrets: Vec<Secret>,
    /// Another scheme than `timestamped`, with its keys: those count then.
    pub other: Option<Signature>,
    /// What the names of the headers begin with.
    pub header_prefix: String,
    /// The only path that takes webhooks; `None`: all do.
    pub path: Option<String>,
    /// How it answers at first.
    pub mode: Mode,
    /// An id that was taken before is answered 409 instead of 200.
    pub rejects_replays: bool,
    /// The checks that are left out.
    pub without: Vec<Check>,
}

impl Setup {
    /// A receiver that is well, on loopback, at any free port, with this secret.
    pub fn new(secret: Secret) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secrets: vec![secret],
            other: None,
            header_prefix: gatepost_core::signature::timestamped::DEFAULT_PREFIX.to_owned(),
            path: None,
            mode: Mode::default(),
            rejects_replays: false,
            without: Vec::new(),
        }
    }
}

/// A running receiver; it ends when this is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts it; `tell` is called with every request.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(setup: Setup, tell: impl Fn(&Record) + Send + Sync + 'static) -> Result<Self> {
        let listener = StdListener::bind(setup.listen).with_context(|| format!("cannot listen on {}", setup.listen))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let Setup { secrets, other, header_prefix, path, mode, rejects_replays, without, .. } = setup;
        let verifier = Verifier { scheme: Timestamped::new(&header_prefix), secrets, other, without };
        let inbox = Mutex::new(Inbox::new(verifier, rejects_replays, mode));
        let shared = Arc::new(Shared { path, inbox, tell: Box::new(tell) });
        let runtime = RuntimeBuilder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(serve(listener, serving));
                // Dropped, or told: both mean stop, and what is under way ends with the runtime.
                let _ = stopped.await;
            });
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, oldest first, without the first `since`; those to the control paths are not among them.
    pub fn records(&self, since: usize) -> Vec<Record> {
        self.shared.inbox().records(since).cloned().collect()
    }

    /// How many requests there were so far: what [`Receiver::records`] is to leave out, to see only what comes.
    pub fn received(&self) -> usize {
        self.shared.inbox().received()
    }

    /// Lets it answer otherwise from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.inbox().set_mode(mode);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Shared {
    path: Option<String>,
    inbox: Mutex<Inbox>,
    tell: Box<dyn Fn(&Record) + Send + Sync>,
}

impl Shared {
    /// The books are whole between two calls, whoever panicked.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: StdListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of files, most likely: some connection will end.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), peer, request));
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            // How a connection ends is the other side's business.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(shared: Arc<Shared>, peer: SocketAddr, request: HttpRequest<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_MAX).collect().await.map(|body| body.to_bytes());
    let path = head.uri.path();
    if path == HEALTH {
        return Ok(respond(StatusCode::OK, &json!({"status": "ok"}).to_string()));
    }
    if path.starts_with(CONTROL) {
        return Ok(control(&shared, peer, &head.method, head.uri.path(), head.uri.query(), &body.unwrap_or_default()));
    }
    let (method, headers) = (head.method.as_str(), &head.headers);
    let reply = match &body {
        Ok(body) => receive(&shared, &Request { method, path, headers, body }),
        Err(error) if error.is::<LengthLimitError>() => {
            let problem = format!("the body is over {BODY_MAX} bytes");
            refuse(&shared, &Request { method, path, headers, body: b"" }, 413, &problem)
        }
        Err(_) => refuse(&shared, &Request { method, path, headers, body: b"" }, 400, "the body broke off"),
    };
    tokio::time::sleep(reply.delay).await;
    Ok(write(&reply))
}

fn receive(shared: &Shared, request: &Request<'_>) -> Reply {
    match &shared.path {
        Some(path) if path != request.path => {
            return refuse(shared, request, 404, &format!("no webhooks at {}, only at {path}", request.path));
        }
        _ if request.method != "POST" => return refuse(shared, request, 405, "a webhook is a POST"),
        _ => {}
    }
    let (record, reply) = shared.inbox().take(request, now());
    (shared.tell)(&record);
    reply
}

fn refuse(shared: &Shared, request: &Request<'_>, status: u16, problem: &str) -> Reply {
    let (record, reply) = shared.inbox().refuse(request, now(), status, problem);
    (shared.tell)(&record);
    reply
}

fn write(reply: &Reply) -> Answer {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = reply.problem.as_ref().map(|problem| json!({"error": problem}).to_string());
    let mut response = respond(status, body.as_deref().unwrap_or_default());
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status.is_redirection() {
        response.headers_mut().insert(LOCATION, ELSEWHERE);
    }
    response
}

/// The control surface: on the listener of the webhooks, but only for this machine.
fn control(shared: &Shared, peer: SocketAddr, method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> Answer {
    if !peer.ip().to_canonical().is_loopback() {
        return failed(StatusCode::FORBIDDEN, "the control paths are for this machine only");
    }
    match (method.as_str(), path) {
        ("GET", "/-/mode") => {}
        ("PUT", "/-/mode") => match serde_json::from_slice(body) {
            Ok(mode) => shared.inbox().set_mode(mode),
            Err(error) => return failed(StatusCode::BAD_REQUEST, &format!("mode: {error}")),
        },
        ("GET", "/-/records") => {
            let Ok(since) = since(query) else { return failed(StatusCode::BAD_REQUEST, "since: expected a number") };
            let inbox = shared.inbox();
            let records: Vec<&Record> = inbox.records(since).collect();
            return respond(StatusCode::OK, &json!(records).to_string());
        }
        (_, "/-/mode" | "/-/records") => return failed(StatusCode::METHOD_NOT_ALLOWED, "not with this method"),
        _ => return failed(StatusCode::NOT_FOUND, "expected /-/mode or /-/records"),
    }
    respond(StatusCode::OK, &json!(shared.inbox().mode()).to_string())
}

fn since(query: Option<&str>) -> Result<usize> {
    match query {
        None => Ok(0),
        Some(query) => query.strip_prefix("since=").ok_or_else(|| anyhow!("only since"))?.parse().context("since"),
    }
}

fn failed(status: StatusCode, error: &str) -> Answer {
    respond(status, &json!({"error": error}).to_string())
}

fn respond(status: StatusCode, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    }
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

/// Where load balancers ask.
pub const HEALTH: &str = "/health";
/// What the paths of the control surface begin with.
const CONTROL: &str = "/-/";
/// Where a redirect on demand points to.
const ELSEWHERE: hyper::header::HeaderValue = hyper::header::HeaderValue::from_static("/elsewhere");
/// Far above what a gateway sends by default, 256 KiB.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Short beside what a sender waits.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
