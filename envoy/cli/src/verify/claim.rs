//! What a request claims in its headers: signatures, the time, the id; and what is wrong with how it says so.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::capture::Captured;
use super::finding::{Code, Defect};
use super::scheme::{Names, Scheme, Tag, Unit};

/// What the headers say.
#[derive(Debug, Default)]
pub(super) struct Claim {
    pub(super) signatures: Vec<Signature>,
    /// As it stands in the header, which is how it is signed.
    pub(super) timestamp: Option<String>,
    /// What it means, in Unix milliseconds.
    pub(super) at: Option<i64>,
    pub(super) id: Option<String>,
}

/// A signature, decoded.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) header: String,
    pub(super) tag: Tag,
}

/// Which kinds of keys there are to check with.
#[derive(Clone, Copy)]
pub(super) struct Kinds {
    pub(super) shared: bool,
    pub(super) public: bool,
}

/// Reads the headers of a scheme. A fault in how a value is written does not end it: what was meant is read on, so that
/// the rest can still be checked.
pub(super) fn read(
    (scheme, names): (Scheme, &Names),
    kinds: Kinds,
    request: &Captured,
    findings: &mut Vec<Defect>,
) -> Claim {
    let mut claim = Claim::default();
    if let Some(value) = required(request, &names.signature, findings) {
        let (signatures, timestamp) = split(scheme, kinds, value, findings);
        for text in signatures {
            take(scheme, &names.signature, text, &mut claim.signatures, findings);
        }
        claim.timestamp = timestamp.map(str::to_owned);
    }
    if let Some(also) = &names.also {
        for text in request.all(also).iter().flat_map(|value| value.split(',')) {
            take(scheme, also, text.trim(), &mut claim.signatures, findings);
        }
    }
    if let Some(name) = &names.timestamp {
        claim.timestamp = required(request, name, findings).map(str::to_owned);
    }
    if scheme == Scheme::Standard
        && let Some(name) = &names.id
    {
        required(request, name, findings);
    }
    claim.id = names.id.as_ref().and_then(|name| request.first(name)).map(str::to_owned);
    claim.at = claim.timestamp.as_deref().and_then(|text| time(scheme, text, findings));
    claim
}

/// The value of a header that must be there once and not be empty.
fn required<'a>(request: &'a Captured, name: &str, findings: &mut Vec<Defect>) -> Option<&'a str> {
    let values = request.all(name);
    let first = values.first().copied();
    let problem = match (first, values.len()) {
        (None, _) => Defect::new(Code::HeaderMissing, format!("The header {name} is missing.")),
        (Some(""), 1) => Defect::new(Code::HeaderEmpty, format!("The header {name} is empty.")),
        (Some(_), 1) => return first,
        (Some(_), count) => Defect::new(
            Code::HeaderDoubled,
            format!("The header {name} is there {count} times; it must be there once. The first is checked below."),
        ),
    };
    findings.push(problem);
    first.filter(|value| !value.is_empty())
}

/// The signatures within the value of the header, and the timestamp where it stands beside them.
fn split<'a>(
    scheme: Scheme,
    kinds: Kinds,
    value: &'a str,
    findings: &mut Vec<Defect>,
) -> (Vec<&'a str>, Option<&'a str>) {
    match scheme {
        Scheme::Standard => (of_kinds(kinds, value, findings), None),
        Scheme::Stripe => {
            let parts = || value.split(',').map(str::trim);
            let timestamp = parts().find_map(|part| part.strip_prefix("t="));
            if timestamp.is_none() {
                let says = "The header stripe-signature has no t=<seconds>; expected t=…,v1=….";
                findings.push(Defect::new(Code::HeaderMissing, says));
            }
            let ours: Vec<&str> = parts().filter(|part| part.starts_with("v1=")).collect();
            let others = parts().filter(|part| !part.starts_with("t=") && !part.starts_with("v0="));
            (if ours.is_empty() { others.collect() } else { ours }, timestamp)
        }
        _ if value.contains(',') && !value.starts_with("v1,") => {
            let says = "The signature header holds several values joined by commas, as a proxy does with a header that \
                        came twice; it must hold one.";
            findings.push(Defect::new(Code::HeaderDoubled, says));
            (value.split(',').map(str::trim).collect(), None)
        }
        _ => (vec![value], None),
    }
}

/// The signatures of scheme standard that are of these kinds; all, where none is of a known one. Those of versions to come
/// are not ours to check.
fn of_kinds<'a>(kinds: Kinds, value: &'a str, findings: &mut Vec<Defect>) -> Vec<&'a str> {
    let all = || value.split(' ').filter(|part| !part.is_empty());
    let of = |is_wanted: bool, mark| all().filter(move |part| is_wanted && part.starts_with(mark));
    let ours: Vec<&str> = of(kinds.shared, "v1,").chain(of(kinds.public, V1A)).collect();
    let says = match (of(true, "v1,").next(), of(true, V1A).next()) {
        _ if !ours.is_empty() => return ours,
        (Some(_), _) => {
            "The request is signed with a shared secret (v1), and only a public key was given: give the secret, whsec_…."
        }
        (None, Some(_)) => {
            "The request is signed with a private key (v1a), and only a shared secret was given: give the public key, \
             whpk_…, which the sender has from `gatepost secret public`."
        }
        (None, None) => return all().collect(),
    };
    findings.push(Defect::new(Code::KeyKind, says));
    Vec::new()
}

/// Before a signature of Ed25519.
const V1A: &str = "v1a,";

/// Decodes a signature, and says what is wrong with how it is written. Long, for it is one table: a scheme an arm.
fn take(scheme: Scheme, header: &str, text: &str, into: &mut Vec<Signature>, findings: &mut Vec<Defect>) {
    let mut wrong = |code, says: String| findings.push(Defect::new(code, format!("{header}: {says}")));
    if let Some(text) = text.strip_prefix(V1A).filter(|_| scheme == Scheme::Standard) {
        match STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()) {
            Some(tag) => into.push(Signature { header: header.to_owned(), tag: Tag::Ed25519(Box::new(tag)) }),
            None => {
                let says = format!(
                    "the signature is not base64 of 64 bytes ({} characters); expected `{V1A}` and base64.",
                    text.len()
                );
                wrong(Code::SignatureLength, says);
            }
        }
        return;
    }
    let mark = scheme.mark();
    let mut rest = text.strip_prefix(mark).unwrap_or_else(|| {
        wrong(Code::SignaturePrefix, format!("the signature lacks its prefix `{mark}`."));
        text
    });
    if let Some(foreign) = MARKS.into_iter().find(|foreign| rest.starts_with(foreign)) {
        let says = format!("the signature begins with `{foreign}`; this scheme has {}.", expected(scheme));
        wrong(Code::SignaturePrefix, says);
        rest = rest.get(foreign.len()..).unwrap_or_default();
    }
    let hex = hex::decode(rest).ok();
    let base64 = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    let base64 = base64.into_iter().find_map(|engine| engine.decode(rest).ok().filter(|mac| mac.len() == 32));
    let wants_hex = scheme != Scheme::Standard;
    let mac = match (hex, base64) {
        (Some(mac), _) if mac.len() == 32 => {
            if !wants_hex {
                wrong(Code::SignatureHex, "the signature is in hex; this scheme writes base64.".into());
            } else if rest.bytes().any(|byte| byte.is_ascii_uppercase()) {
                let says = "the signature has upper-case letters; it is written in lower-case hex, and is compared as \
                            text by many receivers.";
                wrong(Code::SignatureUpperCase, says.into());
            }
            mac
        }
        (_, Some(mac)) => {
            if wants_hex {
                wrong(Code::SignatureBase64, "the signature is in base64; this scheme writes lower-case hex.".into());
            }
            mac
        }
        _ if rest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let guess = match rest.len() {
                32 => ", the length of MD5",
                40 => ", the length of SHA-1",
                96 => ", the length of SHA-384",
                128 => ", the length of SHA-512",
                _ => "",
            };
            let says = format!("the signature has {} hex digits{guess}; HMAC-SHA256 has 64.", rest.len());
            return wrong(Code::SignatureLength, says);
        }
        _ => {
            let says = format!("the signature is not hex ({} characters); expected {}.", rest.len(), expected(scheme));
            let says = if wants_hex { says } else { says.replace("not hex", "not base64 of 32 bytes") };
            return wrong(if wants_hex { Code::SignatureNotHex } else { Code::SignatureLength }, says);
        }
    };
    into.push(Signature { header: header.to_owned(), tag: Tag::Mac(mac) });
}

/// How a signature of the scheme looks.
fn expected(scheme: Scheme) -> String {
    match (scheme, scheme.mark()) {
        (Scheme::Standard, mark) => format!("`{mark}` and base64"),
        (_, "") => "64 lower-case hex digits and no prefix".to_owned(),
        (_, mark) => format!("`{mark}` and 64 lower-case hex digits"),
    }
}

/// When this is, in Unix milliseconds, and what is wrong with how it says so.
fn time(scheme: Scheme, text: &str, findings: &mut Vec<Defect>) -> Option<i64> {
    let mut wrong = |code, says: String| findings.push(Defect::new(code, says));
    let due = match scheme.unit() {
        Unit::Seconds => "Unix seconds (10 digits)",
        Unit::Milliseconds => "Unix milliseconds (13 digits)",
    };
    let Some((unit, at)) = number(text) else {
        let date = date(text);
        let what = if date.is_some() { "a date" } else { "not a number" };
        wrong(Code::TimestampNotNumber, format!("The timestamp is {what}; expected {due}."));
        return date;
    };
    match (unit, scheme.unit()) {
        ("seconds", Unit::Seconds) | ("milliseconds", Unit::Milliseconds) => {}
        ("seconds", _) => wrong(Code::TimestampInSeconds, format!("The timestamp is in seconds; expected {due}.")),
        ("milliseconds", _) => {
            wrong(Code::TimestampInMilliseconds, format!("The timestamp is in milliseconds; expected {due}."));
        }
        (unit, _) => wrong(Code::TimestampUnit, format!("The timestamp is in {unit}; expected {due}.")),
    }
    Some(at)
}

/// A Unix time whose unit its size tells: seconds end in the year 5138 where milliseconds begin in 1973, and so on.
pub(super) fn number(text: &str) -> Option<(&'static str, i64)> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    Some(match number {
        ..100_000_000_000 => ("seconds", number.saturating_mul(1000)),
        100_000_000_000..100_000_000_000_000 => ("milliseconds", number),
        100_000_000_000_000..100_000_000_000_000_000 => ("microseconds", number / 1000),
        _ => ("nanoseconds", number / 1_000_000),
    })
}

/// A date as RFC 3339 or HTTP writes it, in Unix milliseconds.
pub(super) fn date(text: &str) -> Option<i64> {
    let date = text.parse::<Timestamp>().ok();
    date.or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())).map(Timestamp::as_millisecond)
}

/// What other schemes write before a signature.
const MARKS: [&str; 6] = ["sha256=", "sha1=", "sha512=", "v1=", "v0=", "v1,"];
