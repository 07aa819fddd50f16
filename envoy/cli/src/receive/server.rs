//! The HTTP server around the inbox, on a thread of its own.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, Request as HttpRequest, State};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::inbox::{Inbox, Reply, Request};
use super::mode::Mode;
use super::record::Record;
use super::verify::{ReceiverCheck, Verifier};
use crate::clock::now;
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
    pub without: Vec<ReceiverCheck>,
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
    shared: Arc<ReceiverState>,
    /// Held for its end: its drop ends the server and what is under way.
    _runtime: Runtime,
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
        let shared = Arc::new(ReceiverState { path, inbox, tell: Box::new(tell) });
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _runtime: runtime })
    }

    /// Starts one that is well and tells nobody what it gets.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn quiet(listen: SocketAddr, secret: Secret) -> Result<Self> {
        Self::start(Setup { listen, ..Setup::new(secret) }, |_| {})
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

struct ReceiverState {
    path: Option<String>,
    inbox: Mutex<Inbox>,
    tell: Box<dyn Fn(&Record) + Send + Sync>,
}

impl ReceiverState {
    /// The books are whole between two calls, whoever panicked.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: StdListener, shared: Arc<ReceiverState>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let service = routes(shared).into_make_service_with_connect_info::<SocketAddr>();
    // It serves until it is dropped.
    let _ = axum::serve(listener, service).await;
}

fn routes(shared: Arc<ReceiverState>) -> Router {
    let not_so = || async { failed(StatusCode::METHOD_NOT_ALLOWED, "not with this method") };
    // On the listener of the webhooks, but only for this machine.
    let control = Router::new()
        .route("/mode", get(mode).put(set_mode).fallback(not_so))
        .route("/records", get(records).fallback(not_so))
        .fallback(|| async { failed(StatusCode::NOT_FOUND, "expected /-/mode or /-/records") })
        .layer(middleware::from_fn(from_this_machine));
    Router::new()
        .route(HEALTH, any(|| async { Json(json!({"status": "ok"})) }))
        .nest(CONTROL, control)
        .fallback(webhook)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared)
}

async fn webhook(
    State(shared): State<Arc<ReceiverState>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let request = |body| Request { method: method.as_str(), path: uri.path(), headers: &headers, body };
    let reply = match &body {
        Ok(body) => receive(&shared, &request(body)),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            refuse(&shared, &request(b""), 413, &format!("the body is over {BODY_MAX} bytes"))
        }
        Err(_) => refuse(&shared, &request(b""), 400, "the body broke off"),
    };
    tokio::time::sleep(reply.delay).await;
    reply.into_response()
}

fn receive(shared: &ReceiverState, request: &Request<'_>) -> Reply {
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

fn refuse(shared: &ReceiverState, request: &Request<'_>, status: u16, problem: &str) -> Reply {
    let (record, reply) = shared.inbox().refuse(request, now(), status, problem);
    (shared.tell)(&record);
    reply
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match self.problem {
            Some(problem) => failed(status, &problem),
            None => status.into_response(),
        };
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if status.is_redirection() {
            response.headers_mut().insert(LOCATION, ELSEWHERE);
        }
        response
    }
}

async fn from_this_machine(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: HttpRequest, next: Next) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        next.run(request).await
    } else {
        failed(StatusCode::FORBIDDEN, "the control paths are for this machine only")
    }
}

async fn mode(State(shared): State<Arc<ReceiverState>>) -> Json<Mode> {
    Json(shared.inbox().mode().clone())
}

/// Takes JSON whatever its content type: curl calls it a form.
async fn set_mode(State(shared): State<Arc<ReceiverState>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Mode>(&body) {
        Ok(mode) => {
            shared.inbox().set_mode(mode.clone());
            Json(mode).into_response()
        }
        Err(error) => failed(StatusCode::BAD_REQUEST, &format!("mode: {error}")),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Since {
    since: usize,
}

async fn records(State(shared): State<Arc<ReceiverState>>, query: Result<Query<Since>, QueryRejection>) -> Response {
    match query {
        Ok(Query(Since { since })) => Json(shared.inbox().records(since).collect::<Vec<_>>()).into_response(),
        Err(_) => failed(StatusCode::BAD_REQUEST, "since: expected a number"),
    }
}

fn failed(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

/// Where load balancers ask.
pub const HEALTH: &str = "/health";
/// What the paths of the control surface begin with.
const CONTROL: &str = "/-";
/// Where a redirect on demand points to.
const ELSEWHERE: HeaderValue = HeaderValue::from_static("/elsewhere");
/// Far above what a gateway sends by default, 256 KiB.
const BODY_MAX: usize = 16 * 1024 * 1024;
