//! The verification of requests before the application sees them: who signed a request, when, and whether it was seen
//! before.
//!
//! | request | answer | `result` |
//! |---|---|---|
//! | signed, and new | the application's | `verified` |
//! | the same message again, once the application has taken it | 200, or 409 where the rule says so | `duplicate` |
//! | the same message, while it is with the application | 409 + `retry-after` | `in_progress` |
//! | no signature · none that fits · no secret is valid | 401 | `unsigned` · `signature` · `no_secret` |
//! | signed too long ago · too far ahead | 401 | `stale` · `early` |
//! | a header of the scheme cannot be read | 400 | `malformed` |
//! | another method | 405 + `allow` | `method` |
//! | over `limits.body` | 413 | `too_large` |
//! | no room to remember it | 503 + `retry-after`, or the application's if the rule says so | `full` · `unremembered` |
//! | a sender's challenge, in good order · not | 200 · 403 or 400, see [`challenge`] | `challenge` · `challenge_refused` |
//! | shared data cannot be read or written, the message not be claimed in the fleet, or the body not be read | 503 + `retry-after` | `unavailable` |
//! | the bodies of too many others are waited for | 503 + `retry-after` | `overloaded` |
//!
//! The verification fails closed: a request that is not known to be verified does not go on. `enabled` and the switches
//! of operators are about deliveries, and open nothing here.

use std::ops::Deref;

use crate::answer::Answer;
use crate::headers::{HeaderValue, Headers};
use crate::ids::RuleId;
use crate::index::insert_ascending;
use crate::path::readings::{Spelling, spelling, without_extension};
use crate::path::{PathPattern, Router};
use crate::signature::{Fault, Marks, Signature, Tolerance};
use crate::store::keys::Keys;
use crate::store::{SharedStore, StoreError};
use crate::template::{Source, Template};
use crate::time::{Now, WallTime};
use challenge::{Challenge, ChallengeAnswer, VerifiedRequest};
use replay::{Duplicate, MessageClaim, ReplayTable, Seen, WhenFull};

pub mod challenge;
pub mod replay;

/// A rule that says which requests are verified before the application sees them, and how.
#[derive(Debug)]
pub struct Rule {
    /// The name of the rule: its label in metrics, the name of its replay table, and what the application is told.
    pub name: String,
    /// The methods that may be used on the rule's path, upper case.
    pub methods: Vec<String>,
    /// How a request may be signed: in one scheme, or in two while its sender moves from one to the other.
    pub signatures: Vec<Signature>,
    /// How old or early a signature may be.
    pub tolerance: Tolerance,
    /// What happens to a message that comes again.
    pub replay: replay::Policy,
    /// The template of a message's id, of what is signed; `None`, or where a message does not fill it: the id is the
    /// scheme's.
    pub replay_id: Option<Template>,
    /// The challenge that is answered here, before the first event.
    pub challenge: Option<Challenge>,
    /// The header that tells the application which rule has verified a request, lower case; it is removed from what
    /// clients send.
    pub header: String,
    /// The value of that header, a secret that proves it; `None`: the rule's name.
    pub header_value: Option<HeaderValue>,
}

/// The rules of a configuration.
#[derive(Debug, Default)]
pub struct Rules {
    /// The rules, in the order of the config.
    list: Vec<Rule>,
    /// The headers of all rules, each once.
    headers: Vec<String>,
    /// The router, which finds the rule for a path, see [`readings`](crate::path::readings).
    router: Router,
}

impl Rule {
    /// The verdict on a request that is not signed, and needs not be: a challenge. `None`: it is none.
    pub fn unsigned_challenge(&self, method: &str, path: &str) -> Option<Verdict> {
        self.challenge.as_ref()?.unsigned(method, path).map(Verdict::from)
    }
}

/// Gives all rules, in the order of the config.
impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.list
    }
}

impl Rules {
    /// The rules, each with the pattern of its path.
    pub fn new(rules: Vec<(Rule, PathPattern)>) -> Self {
        let router = Router::build(rules.iter().map(|(_, pattern)| (pattern, [].as_slice())));
        let list: Vec<Rule> = rules.into_iter().map(|(rule, _)| rule).collect();
        let mut headers = Vec::new();
        list.iter().for_each(|rule| insert_ascending(&mut headers, rule.header.clone()));
        Self { list, headers, router }
    }

    /// All rules, without the router.
    pub fn into_vec(self) -> Vec<Rule> {
        self.list
    }

    /// The headers by which the application is told that a request was verified, each once.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The names among these headers or trailers by which a client says that it was verified, in any spelling.
    pub fn claims(&self, headers: &Headers) -> Vec<String> {
        self.headers.iter().flat_map(|name| headers.spellings_of(name)).map(str::to_owned).collect()
    }

    /// Finds the rule for a request's `:path`, in whatever spelling the path comes.
    pub fn path(&self, path: &[u8]) -> Path {
        match spelling(path) {
            Spelling::Plain(path) => match self.router.find(&path) {
                Some(number) => Path::Of(RuleId(number)),
                None if without_extension(&path).is_some_and(|path| self.router.find(path).is_some()) => Path::Unclear,
                None => Path::Free,
            },
            Spelling::Other(readings) if readings.iter().all(|path| self.router.find(path).is_none()) => Path::Free,
            Spelling::Other(_) | Spelling::Unreadable => Path::Unclear,
        }
    }
}

/// The result of a search for the rule of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// No rule has the path.
    Free,
    /// This rule has the path.
    Of(RuleId),
    /// The path is not in its plain form, and some server may take it for a rule's: see
    /// [`readings`](crate::path::readings).
    Unclear,
}

/// The result of a request on an inbound path; the label `result` of `gatepost_inbound_total`. See [`crate::inbound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InboundResult {
    /// The request went on to the application, for the first time.
    Verified,
    /// The request went on, and may come again: there was no room to remember it.
    Unremembered,
    /// The application has taken the message before.
    Duplicate,
    /// The message is with the application.
    InProgress,
    /// The request has no signature.
    Unsigned,
    /// The signature fits no valid secret.
    Signature,
    /// The request was signed too long ago.
    Stale,
    /// The request was signed too far ahead.
    Early,
    /// No secret is valid now.
    NoSecret,
    /// A header of the scheme cannot be read.
    Malformed,
    /// The method is not one of the rule's.
    Method,
    /// The body is over `limits.body`.
    TooLarge,
    /// There was no room to remember the message.
    Full,
    /// The request could not be verified now.
    Unavailable,
    /// Too many other requests were waited for.
    Overloaded,
    /// The request was a challenge of the sender's, and was answered.
    Challenge,
    /// The request was a challenge, by none who has the token, or none that may be echoed.
    ChallengeRefused,
}

impl InboundResult {
    /// All results, with the label's values.
    pub const ALL: [(Self, &'static str); 17] = [
        (Self::Verified, "verified"),
        (Self::Unremembered, "unremembered"),
        (Self::Duplicate, "duplicate"),
        (Self::InProgress, "in_progress"),
        (Self::Unsigned, "unsigned"),
        (Self::Signature, "signature"),
        (Self::Stale, "stale"),
        (Self::Early, "early"),
        (Self::NoSecret, "no_secret"),
        (Self::Malformed, "malformed"),
        (Self::Method, "method"),
        (Self::TooLarge, "too_large"),
        (Self::Full, "full"),
        (Self::Unavailable, "unavailable"),
        (Self::Overloaded, "overloaded"),
        (Self::Challenge, "challenge"),
        (Self::ChallengeRefused, "challenge_refused"),
    ];

    /// The label's value.
    pub fn label(self) -> &'static str {
        Self::ALL.iter().find(|(result, _)| *result == self).map_or("", |(_, label)| label)
    }
}

/// The verifier: the replay tables of the rules, in the order of the config.
#[derive(Debug)]
pub struct Verifier {
    tables: Vec<ReplayTable>,
}

/// The verdict on a request.
#[derive(Debug)]
pub struct Verdict {
    /// The result that is counted.
    pub result: InboundResult,
    /// The request goes on, with the ticket of its message, which ends with the application's answer; or it is
    /// answered. There is no ticket for a message that is not remembered.
    pub pass: Result<Option<Ticket>, Box<Answer>>,
}

/// The ticket of a message that is with the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    rule: RuleId,
    claim: MessageClaim,
    /// The number of the message's claim in the fleet; `None`: only the process knows it.
    pub in_fleet: Option<u64>,
}

impl Ticket {
    /// The rule of the message.
    pub fn rule(&self) -> RuleId {
        self.rule
    }

    /// The marks of the message.
    pub fn marks(&self) -> &[u64] {
        self.claim.marks()
    }
}

impl Verifier {
    /// The verifier of a configuration's rules.
    pub fn new(rules: &Rules, keys: &Keys) -> Self {
        let table = |rule: &Rule| {
            let marks = rule.signatures.iter().map(|signature| signature.marks_max()).sum();
            ReplayTable::new(keys, &rule.name, rule.replay, marks)
        };
        Self { tables: rules.list.iter().map(table).collect() }
    }

    /// Verifies a request, all of which is here, and claims its message.
    pub fn verify(
        &self,
        rules: &Rules,
        store: &mut dyn SharedStore,
        now: Now,
        id: RuleId,
        headers: &Headers,
        body: &[u8],
    ) -> Verdict {
        let Some((rule, table)) = rules.get(id.0).zip(self.tables.get(id.0)) else {
            return Verdict::unavailable();
        };
        let marks = match marks(rule, headers, body, now.wall) {
            Ok(marks) => marks,
            Err(fault) => return fault.into(),
        };
        let request =
            VerifiedRequest { signatures: &rule.signatures, tolerance: rule.tolerance, headers, body, now: now.wall };
        if let Some(answer) = rule.challenge.as_ref().and_then(|challenge| challenge.signed(&request)) {
            return answer.into();
        }
        match table.claim(store, now.mono, &marks) {
            Ok(standing) => seen(rule, id, standing),
            Err(_) => Verdict::unavailable(),
        }
    }

    /// Ends the ticket of a message: the application has answered, or never will. `taken`: it has answered 2xx.
    ///
    /// # Errors
    /// The store's; the message then counts as one in progress until its claim ends.
    pub fn end(&self, store: &mut dyn SharedStore, ticket: &Ticket, taken: bool) -> Result<(), StoreError> {
        match self.tables.get(ticket.rule.0) {
            Some(table) if taken => table.commit(store, &ticket.claim),
            Some(table) => table.release(store, &ticket.claim),
            None => Ok(()),
        }
    }
}

impl Verdict {
    fn pass(result: InboundResult, ticket: Option<Ticket>) -> Self {
        Self { result, pass: Ok(ticket) }
    }

    /// The verdict that answers a request, and counts it as this.
    pub fn answer(result: InboundResult, answer: Answer) -> Self {
        Self { result, pass: Err(Box::new(answer)) }
    }

    /// The verdict on a request that cannot be verified now: 503.
    pub fn unavailable() -> Self {
        Self::answer(InboundResult::Unavailable, unavailable())
    }
}

/// The answer to a request that cannot be verified now: 503.
pub fn unavailable() -> Answer {
    Answer::unavailable(1, "the request cannot be verified now")
}

impl From<ChallengeAnswer> for Verdict {
    fn from(challenge: ChallengeAnswer) -> Self {
        let result = if challenge.is_given { InboundResult::Challenge } else { InboundResult::ChallengeRefused };
        Self::answer(result, challenge.answer)
    }
}

impl From<Fault<'_>> for Verdict {
    fn from(fault: Fault<'_>) -> Self {
        let result = match fault {
            Fault::Malformed { .. } | Fault::BodyTime { .. } => {
                return Self::answer(InboundResult::Malformed, Answer::bad_request(&fault.to_string()));
            }
            Fault::Unsigned { .. } => InboundResult::Unsigned,
            Fault::Stale { .. } => InboundResult::Stale,
            Fault::Early { .. } => InboundResult::Early,
            Fault::Mismatch => InboundResult::Signature,
            Fault::NoSecret => InboundResult::NoSecret,
        };
        let answer = Answer::problem(401, "Unauthorized", &fault.to_string());
        Self::answer(result, answer.with("www-authenticate", "Signature"))
    }
}

/// The marks that a message is known by. Every scheme in which the message claims to be signed has to hold, and the
/// marks of all are remembered: the same message must not come again with the headers of one scheme alone.
fn marks<'a>(rule: &'a Rule, headers: &Headers, body: &[u8], now: WallTime) -> Result<Marks, Fault<'a>> {
    let source = Source { captures: &[], headers, body };
    let named = rule.replay_id.as_ref().and_then(|id| id.render(&source).ok()).filter(|id| !id.is_empty());
    let named = named.as_ref().map(String::as_bytes);
    let (mut marks, mut unsigned) = (Marks::new(), None);
    for signature in &rule.signatures {
        match signature.verify_named(headers, body, now, rule.tolerance, named) {
            Ok(found) => marks.extend(found),
            Err(fault @ Fault::Unsigned { .. }) => unsigned = unsigned.or(Some(fault)),
            Err(fault) => return Err(fault),
        }
    }
    match unsigned {
        Some(fault) if marks.is_empty() => Err(fault),
        _ => Ok(marks),
    }
}

/// The verdict on a message of this rule that is verified and stands so.
pub fn seen(rule: &Rule, id: RuleId, standing: Seen) -> Verdict {
    match standing {
        Seen::Never(claim) => {
            let ticket = Ticket { rule: id, claim, in_fleet: None };
            Verdict::pass(InboundResult::Verified, Some(ticket))
        }
        Seen::InProgress => {
            let answer = Answer::problem(409, "Conflict", "this message is being processed");
            Verdict::answer(InboundResult::InProgress, answer.with("retry-after", "1"))
        }
        Seen::Done => Verdict::answer(InboundResult::Duplicate, duplicate(rule.replay.duplicate)),
        Seen::Full => match rule.replay.when_full {
            WhenFull::Allow => Verdict::pass(InboundResult::Unremembered, None),
            WhenFull::Refuse => {
                let answer = Answer::unavailable(1, "too many messages are remembered to take another one");
                Verdict::answer(InboundResult::Full, answer)
            }
        },
    }
}

fn duplicate(policy: Duplicate) -> Answer {
    match policy {
        Duplicate::Acknowledge => Answer {
            status: 200,
            headers: vec![("content-type", "application/json".into())],
            body: br#"{"status":"duplicate"}"#.to_vec(),
        },
        Duplicate::Reject => Answer::problem(409, "Conflict", "this message was seen before"),
    }
}

#[cfg(test)]
mod tests;
