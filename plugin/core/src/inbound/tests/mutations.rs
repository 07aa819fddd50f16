//! A hundred thousand changed requests: none goes on unless it is the same message.
//!
//! **The same message** is one whose signed parts are those of a message that a sender signed and the application has
//! not taken: the body, byte for byte; the timestamp, digit for digit, in every scheme but `github`; and the id in
//! `standard`. `host-tests/tests/it/mutations.rs` sends some through the built filter.

use std::borrow::Cow;
use std::collections::HashSet;

use fastrand::Rng;
use serde_json::{Value, json};

use super::*;
use crate::egress::attempt::attempt_headers;
use crate::ids::EventId;
use crate::signature::Attempt;
use crate::store::keys::Keys;

const MUTANTS: usize = 100_000;
/// All schemes, and what else changes how a message is signed.
const SCHEMES: [&str; 6] = ["timestamped", "standard", "github", "stripe", "slack", ASYMMETRIC];
/// Scheme `standard` under a key pair.
const ASYMMETRIC: &str = "asymmetric";
const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
/// The number of messages of each scheme: the application has taken half of them, and not the others.
const MESSAGES: usize = 6;

/// The signed parts of a message: the rule, then id, timestamp and body, as far as they are signed.
type Signed = (usize, Vec<u8>, Vec<u8>, Vec<u8>);

#[derive(Clone, Debug)]
struct Request {
    rule: usize,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// The value of a header that is there once.
    fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        values.next().filter(|_| values.next().is_none()).map(|(_, value)| value.as_slice())
    }

    fn signed(&self) -> Option<Signed> {
        let field = |value: &[u8]| {
            value
                .split(|byte| *byte == b',')
                .find_map(|field| field.trim_ascii().strip_prefix(b"t=").map(<[u8]>::to_vec))
        };
        let owned = |name: &str| self.only(name).map(<[u8]>::to_vec);
        let (id, at) = match SCHEMES[self.rule] {
            "timestamped" => (Vec::new(), owned("x-webhook-timestamp")?),
            "standard" | ASYMMETRIC => (owned("webhook-id")?, owned("webhook-timestamp")?),
            "stripe" => (Vec::new(), self.only("stripe-signature").and_then(field)?),
            "slack" => (Vec::new(), owned("x-slack-request-timestamp")?),
            _ => Default::default(),
        };
        Some((self.rule, id, at, self.body.clone()))
    }
}

fn config() -> Config {
    let of = |scheme: &str| json!({"scheme": if scheme == ASYMMETRIC { "standard" } else { scheme }});
    let secret = |scheme: &str, pair| json!([{"value": if scheme == ASYMMETRIC { pair } else { SHARED }}]);
    let endpoint = |scheme: &&str| {
        json!({
            "name": scheme, "cluster": "c", "url": "http://h", "secrets": secret(scheme, PRIVATE),
            "signature": of(scheme),
        })
    };
    let rule = |scheme: &&str| {
        json!({
            "name": scheme, "match": {"path": format!("/{scheme}")}, "secrets": secret(scheme, PUBLIC),
            "signature": of(scheme),
        })
    };
    let config = json!({
        "routes": [{"name": "r", "match": {"path": "/e"}, "event": "paid"}],
        "endpoints": SCHEMES.iter().map(endpoint).collect::<Vec<Value>>(),
        "inbound": SCHEMES.iter().map(rule).collect::<Vec<Value>>(),
    });
    config::parse(config.to_string().as_bytes(), &|_| None).unwrap()
}

/// Signed requests, by rule; no two requests of a rule were signed at the same second.
fn requests(config: &Config) -> Vec<Vec<Request>> {
    let signed = |rule: usize, number: usize| {
        let body = json!({"id": format!("evt_{number}"), "amount": 42}).to_string().into_bytes();
        let at = WallTime::from_millis(AT.as_millis() - 20_000 + 3_007 * number as u64);
        let attempt = Attempt {
            id: EventId::from_random([number as u8; 16]),
            number: 1,
            at,
            event_type: "paid",
            content_type: None,
            content_encoding: None,
            traceparent: None,
            tracestate: None,
            body: &body,
        };
        let headers = attempt_headers(&config.endpoints[rule], "agent", &attempt);
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), Cow::into_owned(value)));
        // Only the headers that a scheme reads: a change of any other changes nothing.
        let of_scheme = |(name, _): &(String, Vec<u8>)| {
            ["signature", "timestamp", "delivery", "webhook-id"].iter().any(|part| name.contains(part))
        };
        Request { rule, headers: headers.filter(of_scheme).collect(), body }
    };
    (0..SCHEMES.len()).map(|rule| (0..MESSAGES).map(|number| signed(rule, number)).collect()).collect()
}

/// Changes one thing of a request, for which parts of another request, of any scheme, may be used.
fn change(request: &mut Request, other: &Request, rng: &mut Rng) {
    let taken = rng.usize(..other.headers.len());
    let (name, value) = other.headers[taken].clone();
    let at = rng.usize(..request.headers.len());
    match rng.u8(..8) {
        0 => drop(request.headers.remove(at)),
        1 => request.headers.push(request.headers[at].clone()),
        2 => request.headers.insert(rng.usize(..=request.headers.len()), (name, value)),
        3 => request.headers[at].1 = value,
        4 => {
            let to = rng.usize(..request.headers.len());
            let moved = request.headers[to].0.clone();
            request.headers[to].0 = std::mem::replace(&mut request.headers[at].0, moved);
        }
        5 => request.rule = rng.usize(..SCHEMES.len()),
        6 => edit(&mut request.body, &other.body, rng),
        _ => edit(&mut request.headers[at].1, &value, rng),
    }
}

/// Changes some bytes, for which other bytes may be used.
fn edit(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let separator: &[u8] = if rng.bool() { b"," } else { b" " };
    match rng.u8(..9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(..at)),
        3 => bytes.insert(at, if rng.bool() { rng.u8(..) } else { *rng.choice(b" ,=.v1\t0").unwrap() }),
        4 if at < bytes.len() => bytes.swap(at, rng.usize(..at + 1)),
        5 => *bytes = other.to_vec(),
        6 => bytes.make_ascii_uppercase(),
        7 => *bytes = [other, separator, bytes].concat(),
        _ => *bytes = [bytes, separator, other].concat(),
    }
}

/// Of a hundred thousand changed requests none goes on unless it is the same message.
#[test]
fn changed_request_passes_only_as_the_same_message() {
    let config = config();
    let requests = requests(&config);
    let (gate, mut store) = (Verifier::new(&config.inbound, &Keys::new("g")), MemoryStore::default());
    let now = Now { mono: Instant::from_nanos(1).plus(CLAIM_MAX), wall: AT };
    let mut verify = |request: &Request, taken: bool| {
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let rule = RuleId(request.rule);
        let verdict = gate.verify(&config.inbound, &mut store, now, rule, &Headers::new(&headers), &request.body);
        let ticket = verdict.pass.as_ref().ok().cloned().flatten();
        ticket.iter().for_each(|ticket| gate.end(&mut store, ticket, taken).unwrap());
        (verdict.result, ticket.is_some())
    };
    let mut open = HashSet::new();
    for (number, request) in requests.iter().flat_map(|of_rule| of_rule.iter().enumerate()) {
        let is_taken = number < MESSAGES / 2;
        assert_eq!(verify(request, is_taken), (InboundResult::Verified, true), "{request:?}");
        open.extend((!is_taken).then(|| request.signed().unwrap()));
    }
    let mut rng = Rng::with_seed(15);
    let (mut the_same, mut duplicates) = (0, 0);
    for _ in 0..MUTANTS {
        // The last scheme, whose signatures cost most, is tried least.
        let rule = if rng.u8(..20) == 0 { SCHEMES.len() - 1 } else { rng.usize(..SCHEMES.len() - 1) };
        let others = if rng.bool() { rule } else { rng.usize(..SCHEMES.len()) };
        let other = rng.choice(&requests[others]).unwrap();
        let mut request = rng.choice(&requests[rule]).unwrap().clone();
        for _ in 0..rng.usize(1..=2) {
            if !request.headers.is_empty() {
                change(&mut request, other, &mut rng);
            }
        }
        let (result, goes_on) = verify(&request, false);
        duplicates += usize::from(result == InboundResult::Duplicate);
        the_same += usize::from(goes_on);
        assert!(!goes_on || request.signed().is_some_and(|signed| open.contains(&signed)), "{request:?}");
    }
    // Otherwise the test would show little: some changes leave the message what it was.
    assert!(the_same > MUTANTS / 100 && duplicates > MUTANTS / 100, "{the_same}, {duplicates}");
}
