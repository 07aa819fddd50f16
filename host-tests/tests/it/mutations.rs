//! Changed requests of all schemes, in every way a name stands for: none reaches the application, unless it is the same
//! message. The core changes a hundred thousand (`plugin/core/src/inbound/tests/mutations.rs`).
//!
//! **The same message** is one whose parts that are signed, as they stand in the request that reached the application,
//! are those of one message that a sender signed: the body, byte for byte; the timestamp, digit for digit, in every
//! scheme but `github`; and the id in `standard`. What is not signed may differ: the ids of `timestamped` and `github`,
//! whether hex is in upper case, spaces around a signature, how many other signatures stand beside it, and how the body
//! came. And a message that the application has taken does not reach it again, the same or not.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Application, Forwarded, Process, Reply};
use serde_json::json;

use crate::mutants::{Draft, KINDS, MAY_BE_THE_SAME, Pair, mutant};
use crate::sender::{Message, SCHEMES, SECRET, key_pair, passes, rule, send, verifying};
use crate::support::{gateway, with};

const MUTANTS: usize = 2_000;
/// Of each scheme in each process: some that the application has taken, and as many that it always answers 500.
const MESSAGES: usize = 6;

/// What became of the mutants of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    refused: usize,
    acknowledged: usize,
    the_same: usize,
}

/// The signed parts of a message: id, timestamp, body.
type Signed = (Vec<u8>, Vec<u8>, Vec<u8>);

fn signed(message: &Message) -> Signed {
    let at = match message.scheme {
        "github" => String::new(),
        "timestamped" => message.millis.to_string(),
        _ => (message.millis / 1000).to_string(),
    };
    let id = if message.scheme == "standard" { message.id.clone() } else { String::new() };
    (id.into_bytes(), at.into_bytes(), message.body.clone())
}

/// The signed parts of what reached the application, whose headers stand there once; `None`: they do not.
fn signed_of(scheme: &str, gone: &Forwarded) -> Option<Signed> {
    let once = |name: &str| {
        let mut values = gone.headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.to_vec());
        values.next().filter(|_| values.next().is_none())
    };
    let field = |value: Vec<u8>| {
        value.split(|byte| *byte == b',').find_map(|field| field.trim_ascii().strip_prefix(b"t=").map(<[u8]>::to_vec))
    };
    let (id, at) = match scheme {
        "timestamped" => (Vec::new(), once("x-webhook-timestamp")?),
        "standard" => (once("webhook-id")?, once("webhook-timestamp")?),
        "stripe" => (Vec::new(), once("stripe-signature").and_then(field)?),
        "slack" => (Vec::new(), once("x-slack-request-timestamp")?),
        _ => (Vec::new(), Vec::new()),
    };
    Some((id, at, gone.body.clone()))
}

/// A receiver with messages of which it has taken the first half.
struct Receiver {
    process: Process,
    messages: Vec<(Message, Draft)>,
    /// What may reach the application again, with its scheme.
    open: HashSet<(&'static str, Signed)>,
}

impl Receiver {
    fn start(rng: &mut Rng) -> Self {
        let status = Rc::new(Cell::new(200));
        let answers = Rc::clone(&status);
        let application = Application::by(move |_| Reply::status(answers.get()).after(Duration::ZERO));
        let keys = json!({"secrets": [{"value": SECRET}, {"value": key_pair(1).1}]});
        let rules =
            SCHEMES.map(|scheme| if scheme == "standard" { with(rule(scheme), keys.clone()) } else { rule(scheme) });
        let mut process = gateway(&verifying(rules)).application(application).start().expect("it starts");
        let mut receiver = (Vec::new(), HashSet::new());
        for scheme in SCHEMES {
            for number in 0..MESSAGES {
                let message = Message::new(&process, scheme, &format!("evt_{number}"));
                // No two at the same second, all of them fresh.
                let message = message.later(20_000 - 30_000 * number as i64 - rng.i64(0..29_000));
                // Bodies that begin as a timestamp does, to be read as one.
                let before = if rng.u8(..4) == 0 { format!("{}.", message.millis / 1000) } else { String::new() };
                let body = [before.as_bytes(), &message.body].concat();
                let message = message.body(body);
                let is_ed25519 = number % 3 == 0 && scheme == "standard";
                let draft = Draft::new(&message, is_ed25519);
                if number < MESSAGES / 2 {
                    // Under the other secret it would be another sender's.
                    let headers =
                        if is_ed25519 { message.headers_by(&key_pair(1).0) } else { message.headers_under(SECRET) };
                    passes(&mut process, message.with(&headers));
                } else {
                    receiver.1.insert((scheme, signed(&message)));
                }
                receiver.0.push((message, draft));
            }
        }
        status.set(500);
        Self { process, messages: receiver.0, open: receiver.1 }
    }

    /// Sends a mutant of this kind and says what became of it.
    fn try_out(&mut self, kind: &'static str, rng: &mut Rng, count: &mut Count) -> bool {
        let of = rng.usize(..SCHEMES.len()) * MESSAGES;
        let [one, other] = [rng.usize(..MESSAGES), rng.usize(..MESSAGES)];
        if one == other {
            return false;
        }
        let ((message, draft), (_, other)) = (&self.messages[of + one], &self.messages[of + other]);
        let Some(request) = mutant(kind, &Pair { message, draft, other }, rng) else { return false };
        let scheme = message.scheme;
        let shown = format!("{kind}: {request:?}");
        let stream = send(&mut self.process, rng.usize(..2), request);
        match self.process.forwarded(stream) {
            Some(gone) => {
                assert_eq!(gone.header("x-gatepost-verified"), format!("from-{scheme}"), "{shown}");
                let parts = signed_of(scheme, gone).map(|parts| (scheme, parts));
                assert!(parts.is_some_and(|parts| self.open.contains(&parts)), "{shown}");
                assert!(MAY_BE_THE_SAME.contains(&kind), "{shown}");
                count.the_same += 1;
            }
            None => match self.process.answer(stream).map(host_tests::Answer::status) {
                Some(200) => count.acknowledged += 1,
                Some(400 | 401) => count.refused += 1,
                other => panic!("{other:?} to {shown}"),
            },
        }
        true
    }
}

/// Of changed requests none reaches the application unless it is the same message.
#[test]
fn mutated_request_is_refused_unless_equivalent() {
    let mut rng = Rng::with_seed(0);
    let mut receiver = Receiver::start(&mut rng);
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for number in 0..MUTANTS {
        let kind = KINDS[number % KINDS.len()];
        while !receiver.try_out(kind, &mut rng, counts.entry(kind).or_default()) {}
    }
    // These two change nothing: what is refused of the others is not refused for something else.
    for unchanged in ["nothing", "the body in pieces"] {
        assert!(counts[unchanged].the_same > 0, "{counts:?}");
    }
}
