//! What a forger would try, in each scheme.

use gatepost_core::signature::custom::TimePlace;
use gatepost_core::signature::{Scheme, Signature, github, standard};

use crate::checklist::{Check, Verdict};
use crate::signing;

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
pub fn untried(signature: &Signature, forgery: Forgery, name: &str) -> Option<Check> {
    let check = |verdict, why: &str| Check::new(verdict, name, format!("not tried: {why}"));
    let untimed = || format!("scheme {} signs no time", signing::name(signature.scheme));
    let of_time = matches!(forgery, Forgery::Future | Forgery::Timestamp | Forgery::NoTimestamp);
    match (time(signature), forgery) {
        (SignedTimePlace::Nowhere, Forgery::Stale) => {
            let id = if signature.scheme == Scheme::Github { "X-GitHub-Delivery" } else { "the id of what came" };
            let advice = format!("remember {id} and the body: whatever was recorded once could be sent again for ever");
            return Some(check(Verdict::Warn, &untimed()).advising(advice));
        }
        (SignedTimePlace::Nowhere, _) if of_time => return Some(check(Verdict::Warn, &untimed())),
        (SignedTimePlace::Body, Forgery::Stale) => return Some(check(Verdict::Warn, "the timestamp is in the body")),
        (SignedTimePlace::Body, _) if of_time => return Some(check(Verdict::Warn, "the timestamp is in the body")),
        _ => {}
    }
    let has_no_id = match &signature.table {
        Some(table) => table.id_header().is_none(),
        None => matches!(signature.scheme, Scheme::Stripe | Scheme::Slack),
    };
    let is_in_body = has_no_id && forgery == Forgery::NoId;
    is_in_body.then(|| check(Verdict::Pass, "the id is a part of the body in this scheme"))
}

/// Where a scheme has its timestamp.
enum SignedTimePlace<'a> {
    /// In a header of its own.
    Header,
    /// Beside the signatures, under this key.
    Key(&'a str),
    /// In the body.
    Body,
    /// It signs none.
    Nowhere,
}

fn time(signature: &Signature) -> SignedTimePlace<'_> {
    match (&signature.table, signature.scheme) {
        (Some(table), _) => match table.timestamp.as_ref().map(|time| &time.place) {
            Some(TimePlace::Header(_)) => SignedTimePlace::Header,
            Some(TimePlace::Key(key)) => SignedTimePlace::Key(key),
            Some(TimePlace::Body(_)) => SignedTimePlace::Body,
            None => SignedTimePlace::Nowhere,
        },
        (None, Scheme::Github) => SignedTimePlace::Nowhere,
        (None, Scheme::Stripe) => SignedTimePlace::Key("t"),
        (None, _) => SignedTimePlace::Header,
    }
}

/// What stands between the entries of the signature's header.
fn separator(signature: &Signature) -> char {
    let entries = signature.table.as_ref().and_then(|table| table.entries.as_ref());
    entries.map_or(',', |entries| entries.separator)
}

/// Takes something out of the headers of a good request, or puts something else in.
pub fn forge(signature: &Signature, forgery: Forgery, headers: &mut Vec<(String, String)>) {
    match forgery {
        Forgery::None | Forgery::Stale | Forgery::Future | Forgery::Body | Forgery::Secret => {}
        Forgery::Timestamp => headers.iter_mut().for_each(|header| postpone(signature, header)),
        Forgery::Unsigned => {
            let also = format!("{}-also", signature.header());
            headers.retain(|(name, _)| name != signature.header() && *name != also);
        }
        Forgery::NoTimestamp => {
            headers.retain(|(name, _)| Some(name.as_str()) != signature.timestamp_header());
            if let SignedTimePlace::Key(_) = time(signature) {
                for (_, value) in headers.iter_mut().filter(|(name, _)| name == signature.header()) {
                    let rest = value.split_once(separator(signature)).map(|(_, signatures)| signatures.to_owned());
                    *value = rest.unwrap_or_default();
                }
            }
        }
        Forgery::NoId => {
            let of_table = signature.table.as_ref().and_then(|table| table.id_header()).unwrap_or_default();
            let ids = [&*signature.names.id, standard::ID, github::ID, of_table];
            headers.retain(|(name, _)| !ids.contains(&name.as_str()));
        }
    }
}

/// A second later is recent all the same: nothing but the signature tells.
fn postpone(signature: &Signature, (name, value): &mut (String, String)) {
    let millis_each = match (&signature.table, signature.scheme) {
        (Some(table), _) => table.timestamp.as_ref().map_or(1, |time| time.millis_each),
        (None, Scheme::Timestamped) => 1,
        (None, _) => 1000,
    };
    let second = 1000 / millis_each.max(1);
    let later = |digits: &str| digits.parse::<u64>().map_or_else(|_| digits.to_owned(), |at| (at + second).to_string());
    if Some(name.as_str()) == signature.timestamp_header() {
        *value = later(value);
    } else if name == signature.header()
        && let SignedTimePlace::Key(key) = time(signature)
        && let Some((digits, signatures)) = value
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix('='))
            .and_then(|rest| rest.split_once(separator(signature)))
    {
        *value = format!("{key}={}{}{signatures}", later(digits), separator(signature));
    }
}
