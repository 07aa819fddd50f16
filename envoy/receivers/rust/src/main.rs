//! A receiver of Gatepost's webhooks, complete, with axum.
//!
//! ```sh
//! WEBHOOK_SECRET=... PORT=8080 cargo run --release
//! ```
//!
//! It takes POSTs at `/webhooks` and answers `/health`. Make it yours in `work`, at the end of this file.
//!
//! A 2xx is a promise, for the sender forgets the event then. So an event is on disk before the answer leaves, and is
//! worked on after it: the answer is quick however long the work takes, and a crash loses nothing. See `inbox.rs`; where
//! you have a database, a table with the id as its primary key does the same, for many instances of this at once.
//!
//! Environment: `WEBHOOK_SECRET`; `WEBHOOK_SECRET_NEXT`, accepted too, while the secret is changed; `HOST` and `PORT`
//! (127.0.0.1 and 8080; port 0 is any free one); `INBOX`, the directory (./inbox), for one process alone.

mod inbox;
mod verify;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::inbox::{Inbox, Keep};
use crate::verify::verify;

/// What is answered instead of 200, and why: enough for the sender to find its mistake.
struct Refused {
    status: StatusCode,
    reason: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

struct Receiver {
    secrets: Vec<Vec<u8>>,
    inbox: Arc<Inbox>,
}

async fn answer(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let begun = Instant::now();
    // Never more than a word of ours in the log.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "OTHER",
    };
    let (status, text, note, header) = match receiver.dispatch(request).await {
        Ok((text, note)) => (StatusCode::OK, text.to_owned(), note, None),
        Err(refused) => (refused.status, refused.reason, String::new(), refused.header),
    };
    log(&format!("{method} {} '{text}'{note} {}ms", status.as_u16(), begun.elapsed().as_millis()));
    let mut response = (status, format!("{text}\n")).into_response();
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

impl Receiver {
    async fn dispatch(&self, request: Request) -> Result<(&'static str, String), Refused> {
        let (head, body) = request.into_parts();
        // The body comes off the connection first, wanted or not: it stands before the next request.
        let body = read(body).await?;
        let wrong_method = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
        match (head.uri.path(), head.method) {
            ("/health", Method::GET | Method::HEAD) => return Ok(("ok", String::new())),
            ("/health", _) => return Err(wrong_method.with(header::ALLOW, "GET, HEAD")),
            ("/webhooks", Method::POST) => {}
            ("/webhooks", _) => return Err(wrong_method.with(header::ALLOW, "POST")),
            _ => return Err(Refused::new(StatusCode::NOT_FOUND, "not here: POST /webhooks")),
        }
        let event = verify(&self.secrets, &head.headers, &body, SystemTime::now())?;
        let id = event.id.to_owned();
        let inbox = Arc::clone(&self.inbox);
        let (name, kind) = (id.clone(), event.kind.to_owned());
        match spawn_blocking(move || inbox.keep(&name, &kind, &body)).await {
            Ok(Ok(Keep::Kept)) => Ok(("kept", format!(" id={id}"))),
            Ok(Ok(Keep::Before)) => Ok(("kept before", format!(" id={id}"))),
            // Not 409: a 4xx is final to the sender, and the other request may still fail.
            Ok(Ok(Keep::Busy)) => {
                let busy = Refused::new(StatusCode::TOO_MANY_REQUESTS, "this id is being taken right now");
                Err(busy.with(header::RETRY_AFTER, "1"))
            }
            Ok(Ok(Keep::Full)) => {
                let full = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many events wait here");
                Err(full.with(header::RETRY_AFTER, "10"))
            }
            // The sender tries again: nothing was promised.
            Ok(Err(problem)) => {
                log(&format!("cannot keep id={id} problem={:?}", problem.kind()));
                Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "cannot keep it now").with(header::RETRY_AFTER, "5"))
            }
            Err(_panicked) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of this receiver")),
        }
    }
}

/// The raw bytes, as they were signed: nothing has parsed them, and nothing does before `work`.
async fn read(mut body: Body) -> Result<Vec<u8>, Refused> {
    let late = || Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive");
    let all = async {
        let (mut bytes, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| late())?;
            let piece = frame.data_ref().map_or(&[][..], |data| data);
            length += piece.len();
            // What is too large is read and dropped: who is still writing does not see the answer.
            if length <= BODY_MAX {
                bytes.extend_from_slice(piece);
            }
        }
        if length > BODY_MAX {
            let large = Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {BODY_MAX} bytes"));
            return Err(large.with(header::CONNECTION, "close"));
        }
        Ok(bytes)
    };
    timeout(READ_TIME, all).await.unwrap_or_else(|_elapsed| Err(late().with(header::CONNECTION, "close")))
}

fn log(line: &str) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    eprintln!("{}.{:03} {line}", now.as_secs(), now.subsec_millis());
}

fn read_secrets() -> Result<Vec<Vec<u8>>, String> {
    let mut secrets = Vec::new();
    for name in ["WEBHOOK_SECRET", "WEBHOOK_SECRET_NEXT"] {
        let secret = env::var(name).unwrap_or_default();
        if secret.trim() != secret {
            let why = "white space around it, often the newline of a file; the sender signs without";
            return Err(format!("{name}: {why}"));
        }
        if !secret.is_empty() {
            secrets.push(secret.into_bytes());
        } else if name == "WEBHOOK_SECRET" {
            return Err(format!("{name}: expected the secret that is shared with the sender"));
        }
    }
    Ok(secrets)
}

async fn serve(receiver: Receiver) -> Result<(), Box<dyn Error>> {
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned()).parse()?;
    let listener = TcpListener::bind((host, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let inbox = Arc::clone(&receiver.inbox);
    let worker = spawn_blocking(move || inbox.run());
    let inbox = Arc::clone(&receiver.inbox);
    let application = Router::new().fallback(answer).with_state(Arc::new(receiver));
    // No new connection; what is being answered is answered; the event in work is finished. The rest is on disk.
    let asked_to_stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    axum::serve(listener, application).with_graceful_shutdown(asked_to_stop).await?;
    inbox.stop();
    Ok(worker.await?)
}

fn main() -> ExitCode {
    let served = read_secrets().map_err(Box::from).and_then(|secrets| {
        let inbox = Inbox::open(env::var("INBOX").unwrap_or_else(|_| "inbox".to_owned()).as_ref())?;
        Runtime::new()?.block_on(serve(Receiver { secrets, inbox: Arc::new(inbox) }))
    });
    served.map_or_else(
        |problem: Box<dyn Error>| {
            eprintln!("{problem}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

const BODY_MAX: usize = 1024 * 1024;
const READ_TIME: Duration = Duration::from_secs(10);

/// Yours. Here the body may be parsed, with `serde_json::from_slice`.
///
/// It runs after the answer, one event at a time, and again after a failure (an error) or a crash: make it idempotent,
/// with the id as the key. It must not fail for what will never succeed: log that and return `Ok`.
fn work(id: &str, event: &str, _body: &[u8]) -> Result<(), Box<dyn Error>> {
    println!("processed {id} {event}");
    Ok(())
}
