//! Challenges: what some senders ask before the first event, to see that a receiver knows of them.
//!
//! | sender | asks | is answered |
//! |---|---|---|
//! | [Slack](https://docs.slack.dev/reference/events/url_verification) | a signed `url_verification` | its `challenge` |
//! | [Zoom](https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint) | a signed `endpoint.url_validation` | its `plainToken`, and that signed |
//! | [Meta](https://developers.facebook.com/docs/graph-api/webhooks/getting-started) | a GET with the verify token | its `hub.challenge` |
//!
//! A challenge is no message: it does not reach the application, and is not remembered, since the answer to one that comes
//! again tells nothing new. What is echoed is short, of harmless characters, and plain text. The HMAC of
//! a `plainToken` is never the signature of a message: what Zoom signs begins with `v0:`, and no token that is answered
//! holds a `:`.

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use crate::answer::Answer;
use crate::headers::Headers;
use crate::json::{self, Pointer};
use crate::signature::{Signature, Tolerance};
use crate::time::WallTime;

/// The challenges that a rule answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Slack's.
    Slack,
    /// Zoom's.
    Zoom,
    /// Meta's: of WhatsApp, Instagram, Messenger and others.
    Meta(VerifyToken),
}

/// The token by which Meta shows that it is Meta. The token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyToken([u8; 32]);

impl std::fmt::Debug for VerifyToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl VerifyToken {
    /// Keeps a digest of this token.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the token, in a time that does not tell how far it agrees.
    fn is(&self, token: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.0.iter().zip(digest).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

/// What is answered to a challenge.
#[derive(Debug)]
pub struct ChallengeAnswer {
    /// The answer.
    pub answer: Answer,
    /// Whether the sender hears what it asked for.
    pub is_given: bool,
}

/// A request that was verified, and how.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedRequest<'a> {
    /// The signatures of its rule.
    pub signatures: &'a [Signature],
    /// How old or early a signature may be.
    pub tolerance: Tolerance,
    /// The headers of the request.
    pub headers: &'a Headers,
    /// The body of the request.
    pub body: &'a [u8],
    /// When the request was verified.
    pub now: WallTime,
}

/// The longest text that is echoed, in bytes: Slack's have 52, Zoom's 22, Meta's 10.
const ECHO_MAX: usize = 256;

impl Challenge {
    /// The answer to a request that was verified, if it is a challenge; `None`: it is a message.
    pub fn signed(&self, request: &VerifiedRequest<'_>) -> Option<ChallengeAnswer> {
        let is = |key: &str, kind: &str| json::top_level(request.body, key).as_deref() == Some(kind);
        match self {
            Self::Slack if is("type", "url_verification") => {
                let challenge = json::top_level(request.body, "challenge").unwrap_or_default();
                Some(echo(challenge.as_bytes(), "the body's challenge"))
            }
            Self::Zoom if is("event", "endpoint.url_validation") => Some(zoom(request)),
            Self::Slack | Self::Zoom | Self::Meta(_) => None,
        }
    }

    /// The answer to a request that is Meta's challenge; `None`: it is none.
    pub fn unsigned(&self, method: &str, path: &str) -> Option<ChallengeAnswer> {
        let Self::Meta(token) = self else { return None };
        let (_, query) = path.split_once('?').filter(|_| method == "GET")?;
        let values = |name: &str| {
            let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let named = pairs.filter(|(key, _)| decoded(key) == name.as_bytes());
            named.map(|(_, value)| decoded(value)).collect::<Vec<_>>()
        };
        let modes = values("hub.mode");
        if modes.is_empty() {
            return None;
        }
        let is_subscription = matches!(modes.as_slice(), [mode] if mode == b"subscribe");
        let is_token = matches!(values("hub.verify_token").as_slice(), [theirs] if token.is(theirs));
        if !(is_subscription && is_token) {
            let detail = "this is no subscription with the verify token that is expected here";
            return Some(ChallengeAnswer { answer: Answer::problem(403, "Forbidden", detail), is_given: false });
        }
        match values("hub.challenge").as_slice() {
            [challenge] => Some(echo(challenge, "hub.challenge")),
            _ => Some(refused("hub.challenge")),
        }
    }
}

fn zoom(request: &VerifiedRequest<'_>) -> ChallengeAnswer {
    let VerifiedRequest { signatures, tolerance, headers, body, now } = *request;
    let token = Pointer::parse("/payload/plainToken").ok().and_then(|pointer| pointer.scalar(body)).unwrap_or_default();
    let signer = signatures.iter().find_map(|signature| signature.signer(headers, body, now, tolerance));
    // One has signed it: the request was verified.
    let Some(secret) = signer.filter(|_| may_be_echoed(token.as_bytes())) else {
        return refused("the body's payload.plainToken");
    };
    let encrypted = hex::encode(secret.mac(&[token.as_bytes()]).bytes());
    // No character of either needs escaping.
    let answer = format!(r#"{{"plainToken":"{token}","encryptedToken":"{encrypted}"}}"#);
    given("application/json", answer.into_bytes())
}

/// Decodes a part of a query as of a form.
fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

fn may_be_echoed(text: &[u8]) -> bool {
    let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(byte);
    (1..=ECHO_MAX).contains(&text.len()) && text.iter().all(is_harmless)
}

fn echo(text: &[u8], place: &str) -> ChallengeAnswer {
    if may_be_echoed(text) { given("text/plain; charset=utf-8", text.to_vec()) } else { refused(place) }
}

fn given(content_type: &str, body: Vec<u8>) -> ChallengeAnswer {
    let answer = Answer { status: 200, headers: vec![("content-type", content_type.to_owned())], body };
    let answer = answer.with("x-content-type-options", "nosniff").with("cache-control", "no-store");
    ChallengeAnswer { answer, is_given: true }
}

fn refused(place: &str) -> ChallengeAnswer {
    let detail = format!("{place} is not 1 to {ECHO_MAX} characters of A-Z a-z 0-9 - _ . ~ + / =");
    ChallengeAnswer { answer: Answer::bad_request(&detail), is_given: false }
}

#[cfg(test)]
mod tests;
