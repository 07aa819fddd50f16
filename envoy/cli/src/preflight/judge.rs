//! What the receiver's answers mean, and what to do about them.

use std::time::Duration;

use gatepost_core::signature::Scheme;
use gatepost_core::signature::standard::PRIVATE;

use super::forge::Forgery;
use super::probe::Outcome;
use crate::check::secrets::{decoded, kind};
use crate::checklist::{Check, Verdict};
use crate::signing;

/// The forgeries that are tried, and what the table calls them.
pub const FORGERIES: [(Forgery, &str); 8] = [
    (Forgery::Stale, "stale"),
    (Forgery::Future, "future"),
    (Forgery::Body, "tampered body"),
    (Forgery::Timestamp, "tampered timestamp"),
    (Forgery::Secret, "wrong secret"),
    (Forgery::Unsigned, "unsigned"),
    (Forgery::NoTimestamp, "no timestamp"),
    (Forgery::NoId, "no id"),
];

/// Is the secret long enough?
pub fn secret(scheme: Scheme, text: &str) -> Check {
    if scheme == Scheme::Standard && text.starts_with(PRIVATE) {
        return Check::new(Verdict::Pass, "secret", "a private key");
    }
    let bytes = if matches!(scheme, Scheme::Standard | Scheme::Preset("svix")) { decoded(text) } else { text.len() };
    let min = kind(&[signing::name(scheme)]).bytes_min;
    if bytes >= min {
        return Check::new(Verdict::Pass, "secret", format!("{bytes} bytes"));
    }
    let seen = format!("{bytes} bytes, fewer than {min}");
    Check::new(Verdict::Fail, "secret", seen).advising("make one with `gatepost secret`, for both sides")
}

/// Is the receiver well?
pub fn health(url: &str, outcome: &Outcome, is_given: bool) -> Check {
    match outcome {
        Outcome::Answered { status: status @ 200..=299, .. } => {
            Check::new(Verdict::Pass, "health", format!("{url}: {status}"))
        }
        Outcome::Answered { status, .. } if !is_given => {
            Check::new(Verdict::Warn, "health", format!("{url}: {status}"))
                .advising("say where it tells its health: --health-url")
        }
        Outcome::Answered { status, .. } => {
            Check::new(Verdict::Fail, "health", format!("{url}: {status}, expected 2xx"))
                .advising("the receiver says it is not well: look there first")
        }
        Outcome::NoAnswer { why } => Check::new(Verdict::Fail, "health", format!("{url}: {why}"))
            .advising("is it running, and reachable from here?"),
    }
}

/// Is a good request accepted, and in time?
pub fn ping(outcome: &Outcome, within: Duration) -> Check {
    let check = |verdict, seen: String| Check::new(verdict, "ping", seen);
    let Outcome::Answered { status, took, .. } = outcome else { return unanswered("ping", outcome) };
    let seen = format!("{status} in {} ms", took.as_millis());
    match status {
        200..=299 if *took <= within => check(Verdict::Pass, seen),
        200..=299 => check(Verdict::Fail, format!("{seen}, expected at most {} ms", within.as_millis()))
            .advising("acknowledge first, work afterwards: put it into a queue and answer"),
        300..=399 => check(Verdict::Fail, format!("{seen}: a redirect")).advising(REDIRECT),
        400 | 401 | 403 => check(Verdict::Fail, format!("{seen}: a good request is refused")).advising(
            "is its secret this one, does it sign the raw bytes, is its clock right? `gatepost verify` finds which",
        ),
        404 | 405 => {
            check(Verdict::Fail, format!("{seen}: it takes no POST there")).advising("is the path of --url right?")
        }
        410 => check(Verdict::Fail, seen).advising("a 410 disables the endpoint: the gateway would stop sending"),
        _ => check(Verdict::Fail, format!("{seen}, expected 2xx")).advising("its own log says why"),
    }
}

/// Does it send us elsewhere?
pub fn redirect(outcome: &Outcome) -> Check {
    match outcome {
        Outcome::Answered { status: status @ 300..=399, location, .. } => {
            let to = location.as_deref().unwrap_or("nowhere");
            Check::new(Verdict::Fail, "redirect", format!("{status} to {to}")).advising(REDIRECT)
        }
        Outcome::Answered { .. } => Check::new(Verdict::Pass, "redirect", "none"),
        Outcome::NoAnswer { .. } => Check::new(Verdict::Skip, "redirect", "the ping was not answered"),
    }
}

/// Is a forged request refused? It means little where a good one is too.
pub fn forged(forgery: Forgery, name: &str, outcome: &Outcome, good_is_accepted: bool) -> Check {
    let check = |verdict, seen: String| Check::new(verdict, name, seen);
    let Outcome::Answered { status, .. } = outcome else { return unanswered(name, outcome) };
    match status {
        200..=299 => {
            // Without an id it is a good request all the same, only one that cannot be told from its repetition.
            let verdict = if forgery == Forgery::NoId { Verdict::Warn } else { Verdict::Fail };
            check(verdict, format!("accepted: {status}")).advising(advice(forgery))
        }
        300..=399 => check(Verdict::Fail, format!("{status}: a redirect")).advising(REDIRECT),
        400..=499 if !good_is_accepted => check(Verdict::Skip, format!("refused: {status}, as the good ping was")),
        400 | 401 | 403 => check(Verdict::Pass, format!("refused: {status}")),
        400..=499 => check(Verdict::Warn, format!("refused: {status}"))
            .advising("answer 401 or 400: to the gateway 408 and 429 mean try again, and 410 disables the endpoint"),
        _ => check(Verdict::Fail, format!("{status}: it failed")).advising(
            "refuse it with 401: anybody can send this, and the gateway counts a 5xx as an outage and tries again",
        ),
    }
}

fn advice(forgery: Forgery) -> &'static str {
    match forgery {
        Forgery::Stale => "refuse a timestamp older than 300 s: what was recorded once could be sent again for ever",
        Forgery::Future => "refuse a timestamp more than 30 s ahead: it could be sent again until then",
        Forgery::Body => "verify over the raw body, the bytes as they came, before anything is parsed",
        Forgery::Timestamp => {
            "verify over the timestamp with the body, as the scheme has it: one that is not signed proves nothing"
        }
        Forgery::Secret => "compare the signature with one made with your secret; today it takes anybody's",
        Forgery::Unsigned => "a request without a signature must not get in; today anybody's does",
        Forgery::NoTimestamp => "a request without a timestamp must not get in: without it nothing is ever too old",
        Forgery::NoId => "refuse a request without an id: it cannot be told from its repetition",
        Forgery::None => "",
    }
}

/// Is the same request acknowledged again? `None`: the first was not accepted.
pub fn replay(again: Option<&Outcome>, id: &str) -> Check {
    let check = |verdict, seen: String| Check::new(verdict, "replayed", seen);
    let Some(outcome) = again else {
        return check(Verdict::Skip, "there was no accepted ping to repeat".to_owned());
    };
    let Outcome::Answered { status, .. } = outcome else { return unanswered("replayed", outcome) };
    match status {
        200..=299 => check(
            Verdict::Pass,
            format!("acknowledged again: {status}; see in its log that it processed {id} once"),
        ),
        300..=399 => check(Verdict::Fail, format!("{status}: a redirect")).advising(REDIRECT),
        400..=499 => check(Verdict::Warn, format!("refused: {status}")).advising(
            "better acknowledge it: when your first answer is lost the gateway tries again, and a 4xx makes that a failure",
        ),
        _ => check(Verdict::Fail, format!("{status}: it failed"))
            .advising("remember ids and acknowledge one that is known: a delivery can arrive twice"),
    }
}

fn unanswered(name: &str, outcome: &Outcome) -> Check {
    let why = match outcome {
        Outcome::NoAnswer { why } => why.clone(),
        Outcome::Answered { status, .. } => status.to_string(),
    };
    Check::new(Verdict::Fail, name, why).advising("is it running, and reachable from here?")
}

const REDIRECT: &str = "the gateway follows no redirect: give the endpoint the URL it points to";

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, location: None, took: Duration::from_millis(50) }
    }

    fn verdict_of_forged(status: u16) -> Verdict {
        forged(Forgery::Stale, "stale", &answered(status), true).verdict
    }

    #[test]
    fn a_good_ping_is_2xx_and_in_time() {
        let within = Duration::from_secs(2);
        assert_eq!(ping(&answered(202), within).verdict, Verdict::Pass);
        let slow = ping(&answered(202), Duration::from_millis(20));
        assert_eq!((slow.verdict, slow.seen.as_str()), (Verdict::Fail, "202 in 50 ms, expected at most 20 ms"));
        for status in [301, 400, 401, 404, 410, 429, 500, 503] {
            let check = ping(&answered(status), within);
            assert!(check.verdict == Verdict::Fail && check.advice.is_some(), "{status}");
        }
    }

    #[test]
    fn a_forged_request_is_to_be_refused_with_401_400_or_403() {
        for (status, verdict) in [
            (200, Verdict::Fail),
            (302, Verdict::Fail),
            (400, Verdict::Pass),
            (401, Verdict::Pass),
            (403, Verdict::Pass),
            (410, Verdict::Warn),
            (429, Verdict::Warn),
            (500, Verdict::Fail),
        ] {
            assert_eq!(verdict_of_forged(status), verdict, "{status}");
        }
    }

    /// Where a good request is refused too a refusal proves nothing.
    #[test]
    fn refusals_prove_nothing_if_a_good_request_is_refused() {
        assert_eq!(forged(Forgery::Stale, "stale", &answered(401), false).verdict, Verdict::Skip);
        assert_eq!(forged(Forgery::Stale, "stale", &answered(200), false).verdict, Verdict::Fail);
    }

    #[test]
    fn the_same_request_again_is_to_be_acknowledged() {
        for (status, verdict) in
            [(200, Verdict::Pass), (409, Verdict::Warn), (500, Verdict::Fail), (302, Verdict::Fail)]
        {
            assert_eq!(replay(Some(&answered(status)), "1").verdict, verdict, "{status}");
        }
        assert!(replay(Some(&answered(200)), "0b7e").seen.contains("0b7e"), "the id to look for");
    }

    #[test]
    fn a_health_path_that_was_only_guessed_is_no_failure() {
        assert_eq!(health("http://a/health", &answered(404), false).verdict, Verdict::Warn);
        assert_eq!(health("http://a/health", &answered(404), true).verdict, Verdict::Fail);
        assert_eq!(health("http://a/health", &answered(204), false).verdict, Verdict::Pass);
    }

    #[test]
    fn a_secret_has_at_least_32_bytes_or_24_behind_base64() {
        let verdict = |scheme, text: &str| secret(scheme, text).verdict;
        assert_eq!(verdict(Scheme::Slack, &"a".repeat(31)), Verdict::Fail);
        assert_eq!(verdict(Scheme::Slack, &"a".repeat(32)), Verdict::Pass);
        assert_eq!(verdict(Scheme::Standard, &format!("whsec_{}", "a".repeat(28))), Verdict::Fail);
        assert_eq!(verdict(Scheme::Standard, &format!("whsec_{}", "a".repeat(32))), Verdict::Pass);
    }
}
