//! What a forger would try, in each scheme.

use gatepost_core::signature::{Scheme, Signature, github, standard, stripe};

use crate::checklist::{Check, Verdict};

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// Nothing.
    None,
    /// Signed ten minutes ago.
    Stale,
    /// Signed ten minutes ahead.
    Future,
    /// Another body than was signed.
    Body,
    /// Another timestamp than was signed, a recent one.
    Timestamp,
    /// Signed under another secret.
    Secret,
    /// Without a signature.
    Unsigned,
    /// Without a timestamp.
    NoTimestamp,
    /// Without an id.
    NoId,
}

/// What to say of a forgery that is none in a scheme; `None`: it is one.
pub fn untried(scheme: Scheme, forgery: Forgery, name: &str) -> Option<Check> {
    let check = |verdict, why: &str| Check::new(verdict, name, format!("not tried: {why}"));
    match (scheme, forgery) {
        (Scheme::Github, Forgery::Stale) => Some(check(Verdict::Warn, UNTIMED).advising(
            "remember X-GitHub-Delivery and the body: whatever was recorded once could be sent again for ever",
        )),
        (Scheme::Github, Forgery::Future | Forgery::Timestamp | Forgery::NoTimestamp) => {
            Some(check(Verdict::Warn, UNTIMED))
        }
        (Scheme::Stripe | Scheme::Slack, Forgery::NoId) => {
            Some(check(Verdict::Pass, "the id is a part of the body in this scheme"))
        }
        _ => None,
    }
}

const UNTIMED: &str = "scheme github signs no time";

/// Takes something out of the headers of a good request, or puts something else in.
pub fn forge(signature: &Signature, forgery: Forgery, headers: &mut Vec<(String, String)>) {
    match forgery {
        Forgery::None | Forgery::Stale | Forgery::Future | Forgery::Body | Forgery::Secret => {}
        Forgery::Timestamp => headers.iter_mut().for_each(|header| postpone(signature, header)),
        Forgery::Unsigned => {
            let names = signature.header_names();
            headers.retain(|(name, _)| !(name.contains("signature") && names.contains(&name.as_str())));
        }
        Forgery::NoTimestamp => {
            headers.retain(|(name, _)| Some(name.as_str()) != signature.timestamp_header());
            for (_, value) in headers.iter_mut().filter(|(name, _)| name == stripe::SIGNATURE) {
                *value = value.split_once(',').map_or_else(String::new, |(_, signatures)| signatures.to_owned());
            }
        }
        Forgery::NoId => {
            headers.retain(|(name, _)| ![&*signature.names.id, standard::ID, github::ID].contains(&name.as_str()));
        }
    }
}

/// A second later is recent all the same: nothing but the signature tells.
fn postpone(signature: &Signature, (name, value): &mut (String, String)) {
    let second: u64 = if signature.scheme == Scheme::Timestamped { 1000 } else { 1 };
    let later = |digits: &str| digits.parse::<u64>().map_or_else(|_| digits.to_owned(), |at| (at + second).to_string());
    if Some(name.as_str()) == signature.timestamp_header() {
        *value = later(value);
    } else if name == stripe::SIGNATURE
        && let Some((digits, signatures)) = value.strip_prefix("t=").and_then(|rest| rest.split_once(','))
    {
        *value = format!("t={},{signatures}", later(digits));
    }
}
