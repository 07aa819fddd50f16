//! A client of the admin surface of gateways.

use std::error::Error;
use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use gatepost_core::admin::answers::{Redelivered, Status};
use gatepost_core::answer::Problem;
use gatepost_kit::http;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use ureq::http::{Method, Request};

/// A gateway, by its admin surface.
#[derive(Clone)]
pub struct Gateway {
    url: String,
    http: ureq::Agent,
    /// The value of the `authorization` header.
    authorization: String,
    /// Where the token came from, for messages: they never show it.
    token_source: String,
}

/// Why a gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The answer's status; `None`: there was no answer.
    pub status: Option<u16>,
    /// What happened, as a sentence without its full stop.
    pub sentence: String,
    /// What the answer says; of one that is no problem of the surface nothing.
    pub problem: Box<Problem>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Failure {
    /// A failure that is not an answer.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { status: None, sentence: sentence.into(), problem: Box::default() }
    }
}

/// What came of a request.
pub type Result<T> = std::result::Result<T, Failure>;

impl Gateway {
    /// The gateway with this surface, such as `http://127.0.0.1:10001/gatepost`.
    pub fn new(url: &str, token: &str, token_source: &str, timeout: Duration) -> Self {
        Self {
            url: url.to_owned(),
            http: http::client_within(timeout),
            authorization: format!("Bearer {token}"),
            token_source: token_source.to_owned(),
        }
    }

    /// The base URL of its surface.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it stands.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn status(&self) -> Result<Status> {
        self.get("status")
    }

    /// What is at a path of the surface.
    ///
    /// # Errors
    /// When it cannot be asked, refuses, or answers something else.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(Method::GET, path, None, None)
    }

    /// Sends a command.
    ///
    /// # Errors
    /// When it cannot be asked, or refuses.
    pub fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<()> {
        self.ask::<IgnoredAny>(method, path, body, None).map(drop)
    }

    /// Sends a command and waits longer for it than for others.
    ///
    /// # Errors
    /// When it cannot be asked, or refuses.
    pub fn command_within(&self, patience: Duration, method: Method, path: &str) -> Result<()> {
        self.ask::<IgnoredAny>(method, path, None, Some(patience)).map(drop)
    }

    /// Delivers dead letters again: those at this path of the surface.
    ///
    /// # Errors
    /// When it cannot be asked, refuses, or answers something else.
    pub fn redeliver(&self, path: &str) -> Result<Redelivered> {
        self.ask(Method::POST, path, None, None)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Option<Duration>,
    ) -> Result<T> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.map(Value::to_string).unwrap_or_default())
            .map_err(|error| Failure::new(format!("cannot be asked: {error}")))?;
        let mut configured = self.http.configure_request(request);
        if let Some(patience) = patience {
            configured = configured.timeout_global(Some(patience));
        }
        let mut response = self.http.run(configured.build()).map_err(|error| unreached(&error))?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| unreached(&error))?;
        if status == 200 {
            return serde_json::from_str(&text).map_err(|_| Failure {
                status: Some(status),
                sentence: format!("{}/{path} does not answer as a gateway does", self.url),
                problem: Box::default(),
            });
        }
        Err(self.refusal(status, &text))
    }

    /// What a refusal says. A problem of the surface (RFC 9457) has a `detail`; anything else is not the surface.
    fn refusal(&self, status: u16, text: &str) -> Failure {
        let problem: Box<Problem> = serde_json::from_str(text).unwrap_or_default();
        let sentence = match (status, problem.detail.as_str()) {
            (401, _) => format!("401: the token in {} is not one of this gateway's", self.token_source),
            (403, detail) if !detail.is_empty() => {
                format!("403: {detail} (the token in {}; its role must be operate)", self.token_source)
            }
            (_, detail) if !detail.is_empty() => format!("{status}: {detail}"),
            _ => format!("{status}, and not from a gateway: is {} its admin.path?", self.url),
        };
        Failure { status: Some(status), sentence, problem }
    }
}

/// Asks all of them at the same time; the answers are in the order of the gateways.
pub fn ask_all<T: Send>(gateways: &[Gateway], ask: impl Fn(&Gateway) -> Result<T> + Sync) -> Vec<Result<T>> {
    thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> = gateways.iter().map(|gateway| scope.spawn(move || ask(gateway))).collect();
        let failed = |_| Err(Failure::new("asking it panicked"));
        asked.into_iter().map(|asked| asked.join().unwrap_or_else(failed)).collect()
    })
}

/// A path with a query of those parameters that have a value.
pub(crate) fn query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?)))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Text as it stands in a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn unreached(error: &ureq::Error) -> Failure {
    let why = match error {
        ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no host of that name".to_owned(),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "the connection is refused: nothing listens there".to_owned()
        }
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::TlsRequired => {
            "it is https, which this gatepost is built without: ask by http, through a tunnel or on the machine"
                .to_owned()
        }
        other => other.source().map_or_else(|| other.to_string(), |source| format!("{other}: {source}")),
    };
    Failure::new(format!("cannot be reached: {why}"))
}

/// So long after the answer a change is in force on every worker, as the surface promises.
pub(crate) const IN_FORCE: Duration = Duration::from_secs(1);
/// All but what RFC 3986 reserves nothing for.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A thousand deliveries with ten attempts each are 1.5 MiB.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// A gateway that gives these answers, one after another, and what it was asked: `POST /gatepost/drain`, ….
    pub(crate) fn scripted(answers: Vec<(u16, Value)>) -> (Gateway, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/gatepost", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            answers.into_iter().map(|(status, body)| answer(&listener, status, &body.to_string())).collect()
        });
        (Gateway::new(&url, "s3cret", "$GATEPOST_ADMIN_TOKEN", Duration::from_secs(10)), asked)
    }

    fn answer(listener: &TcpListener, status: u16, body: &str) -> String {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_until(b'\n', &mut head).unwrap();
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        let head = String::from_utf8(head).unwrap();
        head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned()
    }

    fn gateway() -> Gateway {
        Gateway::new("http://127.0.0.1:1/gatepost", "s3cret", "$GATEPOST_ADMIN_TOKEN", Duration::from_secs(1))
    }

    #[test]
    fn a_refusal_of_the_surface_is_told_in_its_own_words() {
        let text = r#"{"title":"Conflict","status":409,"detail":"endpoint a: no phase follows","instance":"i"}"#;
        let failure = gateway().refusal(409, text);
        assert_eq!(failure.sentence, "409: endpoint a: no phase follows");
        assert_eq!(failure.problem.process.unwrap().instance, "i");
    }

    /// A refused token is named by where it came from and never shown.
    #[test]
    fn refused_token_is_named_by_source_and_never_shown() {
        let failure = gateway().refusal(401, r#"{"detail":"the admin surface wants a token"}"#);
        assert_eq!(failure.sentence, "401: the token in $GATEPOST_ADMIN_TOKEN is not one of this gateway's");
        let failure = gateway().refusal(403, r#"{"detail":"this token may look, but not change anything"}"#);
        assert!(failure.sentence.contains("its role must be operate"), "{failure}");
    }

    #[test]
    fn an_answer_that_is_no_gateways_says_so_and_asks_for_the_path() {
        let failure = gateway().refusal(404, "");
        assert_eq!(failure.sentence, "404, and not from a gateway: is http://127.0.0.1:1/gatepost its admin.path?");
    }

    /// A gateway where nothing listens is a sentence and the others are asked all the same.
    #[test]
    fn unreachable_gateway_is_reported_and_others_still_asked() {
        let answers = ask_all(&[gateway(), gateway()], Gateway::status);
        let sentence = "cannot be reached: the connection is refused: nothing listens there";
        let seen: Vec<String> = answers.into_iter().filter_map(Result::err).map(|failure| failure.sentence).collect();
        assert_eq!(seen, [sentence, sentence]);
    }
}
