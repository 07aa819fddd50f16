//! What a body, a secret or a signed text may have been before something changed it on its way.

use std::str;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::capture::Captured;
use super::claim::{Claim, date, number};
use super::finding::{Code, Defect};
use super::reformat;
use super::scheme::{Scheme, Unit};

/// Something else than what was captured, and what it means if just that was signed.
pub(super) struct Variant<T> {
    pub(super) value: T,
    pub(super) finding: Defect,
}

fn variant<T>(value: T, code: Code, says: impl Into<String>) -> Variant<T> {
    Variant { value, finding: Defect::new(code, says) }
}

/// What the body may have been when it was signed. Long, for it is one table: a way to change a body each.
pub(super) fn bodies(request: &Captured) -> Vec<Variant<Vec<u8>>> {
    let body = request.body.as_slice();
    let mut found = Vec::new();
    let mut add = |value: Vec<u8>, code, says: &str| {
        if value != body {
            found.push(variant(value, code, says));
        }
    };
    for end in ["\r\n", "\n"] {
        let name = if end == "\n" { "newline" } else { "CRLF" };
        if let Some(shorter) = body.strip_suffix(end.as_bytes()) {
            let says = format!(
                "The body ends with a {name} that was not signed: something added it, such as an editor, `echo` or a \
                 log."
            );
            add(shorter.to_vec(), Code::BodyNewlineAdded, &says);
        }
        let says = format!(
            "The body lacks a {name} at its end that was signed: something took it off, such as `$(…)` in a shell, \
             trim() or curl -d @file (--data-binary keeps it)."
        );
        add([body, end.as_bytes()].concat(), Code::BodyNewlineMissing, &says);
    }
    let unix = replace(body, b"\r\n", b"\n");
    let says = "The body has LF where CRLF was signed: line ends were changed on the way.";
    add(replace(&unix, b"\n", b"\r\n"), Code::BodyLineEnds, says);
    add(unix, Code::BodyLineEnds, "The body has CRLF where LF was signed: line ends were changed on the way.");
    match body.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => add(rest.to_vec(), Code::BodyByteOrderMark, "A byte order mark was put before the body."),
        None => {
            let says = "The byte order mark before the body was taken off.";
            add([BYTE_ORDER_MARK, body].concat(), Code::BodyByteOrderMark, says);
        }
    }
    if let Some(decoded) = STANDARD.decode(body.trim_ascii()).ok().filter(|decoded| !decoded.is_empty()) {
        let says =
            "The body shown is base64 of the one that was signed (AWS Lambda: isBase64Encoded): decode it first.";
        add(decoded, Code::BodyEncoded, says);
    }
    // Each byte is the character of its number.
    let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes();
    match str::from_utf8(body) {
        Err(_) => add(latin(body), Code::BodyEncoded, "The body is Latin-1 where UTF-8 was signed."),
        Ok(text) => {
            if let Ok(once) = text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<Vec<u8>, _>>() {
                add(once, Code::BodyEncoded, "The body was encoded as UTF-8 twice: something took it for Latin-1.");
            }
        }
    }
    if let Some(whole) = unchunked(body) {
        let says = "The body is shown with the framing of transfer-encoding: chunked; what was signed is without it.";
        add(whole, Code::BodyEncoded, says);
    }
    if let Some(part) = request.content_length().and_then(|length| body.get(..length)) {
        let says = "What was signed is the body up to its content-length: what follows was added.";
        add(part.to_vec(), Code::BodyTooLong, says);
    }
    for (style, text) in str::from_utf8(body).map(reformat::styles).unwrap_or_default() {
        let says = format!(
            "The body was read as JSON and written again: what was signed is the same JSON {style}. Verify over the \
             raw bytes, before anything parses them."
        );
        add(text.into_bytes(), Code::BodyReformatted, &says);
    }
    let says = "The signature is over an empty body: the signer read the body too late or not at all.";
    add(Vec::new(), Code::BodyNotSigned, says);
    found
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = after;
        } else {
            replaced.push(first);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    replaced
}

/// The content of a chunked body (RFC 9112, 7.1), when this is one from its first byte to its last chunk.
fn unchunked(body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut rest = body;
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// What the sender's key may be when the secret is this one.
pub(super) fn keys(scheme: Scheme, name: &str, secret: &[u8]) -> Vec<Variant<Zeroizing<Vec<u8>>>> {
    let key = Zeroizing::new(scheme.key(secret));
    let mut found: Vec<Variant<Zeroizing<Vec<u8>>>> = Vec::new();
    let mut add = |value: Vec<u8>, code, says: String| {
        let value = Zeroizing::new(value);
        if value != key {
            found.push(variant(value, code, says));
        }
    };
    let bare = unquoted(secret.trim_ascii());
    let says = format!(
        "{name} has white space or quotes around it that the sender's has not: take them off where it is read (`printf \
         %s` writes no newline, `echo` does)."
    );
    add(scheme.key(bare), Code::SecretUntrimmed, says);
    for (end, what) in [("\n", "a newline"), ("\r\n", "a CRLF"), (" ", "a space")] {
        let says = format!(
            "The sender's secret has {what} at its end, {name} has not: it was stored with it, as `echo secret | \
             base64` does."
        );
        add(scheme.key(&[secret, end.as_bytes()].concat()), Code::SecretPadded, says);
    }
    let says = || format!("The sender's secret is {name} with quotes around it.");
    add([b"\"", secret, b"\""].concat(), Code::SecretPadded, says());
    add([b"'", secret, b"'"].concat(), Code::SecretPadded, says());
    if let Ok(decoded) = hex::decode(bare) {
        let says = format!(
            "The sender took {name} for hex and used the bytes it stands for; here the key is its text. (Or the other \
             way round: one side decodes, the other does not.)"
        );
        add(decoded, Code::SecretHexDecoded, says);
    }
    let text = bare.strip_prefix(b"whsec_").unwrap_or(bare);
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        if let Ok(decoded) = engine.decode(text) {
            let says = format!(
                "The sender took {name} for base64 and used the bytes it stands for; here the key is its text. (Or \
                 the other way round: one side decodes, the other does not.)"
            );
            add(decoded, Code::SecretBase64Decoded, says);
            break;
        }
    }
    add(text.to_vec(), Code::SecretNotDecoded, format!("The sender used the text of {name}, without `whsec_`."));
    add(bare.to_vec(), Code::SecretNotDecoded, format!("The sender used the text of {name} without decoding it."));
    for (value, what) in [(bare.to_ascii_lowercase(), "lower"), (bare.to_ascii_uppercase(), "upper")] {
        add(value, Code::SecretCase, format!("The sender's secret is {name} in {what} case."));
    }
    found
}

fn unquoted(bytes: &[u8]) -> &[u8] {
    let within = |quote: &[u8]| bytes.strip_prefix(quote)?.strip_suffix(quote);
    within(b"\"").or_else(|| within(b"'")).unwrap_or(bytes)
}

/// Keys that are no secrets: what a sender signs with when its own did not arrive.
pub(super) fn placeholders(names: &[String]) -> Vec<Variant<Zeroizing<Vec<u8>>>> {
    let empty = "The sender signed with an empty secret: its variable or file is not set.";
    let mut found = vec![variant(Zeroizing::new(Vec::new()), Code::SecretEmpty, empty)];
    let demo = ["demo-billing", "demo-audit"].into_iter().map(|demo| (demo.to_owned(), "the one of the example"));
    let templates = names.iter().flat_map(|name| [name.clone(), format!("${name}"), format!("${{{name}}}")]);
    let templates = templates.map(|name| (name, "the name of the variable, not its value"));
    let usual = ["secret", "my-secret", "changeme", "undefined", "null", "None"];
    let usual = usual.into_iter().map(|usual| (usual.to_owned(), "a placeholder"));
    for (key, what) in demo.chain(templates).chain(usual) {
        let says = format!("The sender's secret is `{key}`: {what}.");
        found.push(variant(Zeroizing::new(key.into_bytes()), Code::SecretPlaceholder, says));
    }
    found
}

/// What may have been signed before the body.
pub(super) fn layouts(scheme: Scheme, claim: &Claim, request: &Captured) -> Vec<Variant<String>> {
    let timestamp = claim.timestamp.as_deref();
    let due = scheme.before_body(claim.id.as_deref(), timestamp);
    let mut found: Vec<Variant<String>> = Vec::new();
    let mut add = |value: Option<String>, code, says: String| {
        if let Some(value) = value.filter(|value| Some(value) != due.as_ref()) {
            found.push(variant(value, code, says));
        }
    };
    let with = |timestamp: String| scheme.before_body(claim.id.as_deref(), Some(&timestamp));
    if scheme != Scheme::Github {
        let says = "The signature is over the body alone; the timestamp before it was left out.";
        add(Some(String::new()), Code::SignedBodyOnly, says.into());
    }
    if let Some(at) = claim.at {
        let header = timestamp.and_then(number).map(|(unit, _)| unit);
        let says =
            |signed: &str| format!("What was signed has the timestamp in {signed}, the header has it otherwise.");
        if header != Some("seconds") {
            add(with((at / 1000).to_string()), Code::SignedSeconds, says("seconds"));
        }
        add(with(at.to_string()), Code::SignedMilliseconds, says("milliseconds"));
    }
    for (name, value) in request.headers().filter(|(name, _)| name.contains("time") || name.contains("date")) {
        let says = || format!("What was signed is the time in the header {name}, not that of the timestamp header.");
        add(with(value.to_owned()), Code::SignedOtherTimestamp, says());
        if let Some(at) = date(value).or_else(|| number(value).map(|(_, at)| at)) {
            let due = if scheme.unit() == Unit::Seconds { at / 1000 } else { at };
            add(with(due.to_string()), Code::SignedOtherTimestamp, says());
            add(with((at / 1000).to_string()), Code::SignedOtherTimestamp, says());
        }
    }
    let Some(timestamp) = timestamp else { return found };
    let joined =
        |value: String, as_is: &str| (value, format!("What was signed is {as_is}; expected {}.", layout(scheme)));
    let mut others = vec![
        joined(timestamp.to_owned(), "timestamp and body without a dot between them"),
        joined(format!("{timestamp}:"), "timestamp + \":\" + body"),
        joined(format!("{timestamp}\n"), "timestamp + newline + body"),
        joined(format!("v0:{timestamp}:"), "v0:timestamp:body, as Slack does"),
        joined(format!("{timestamp}."), "timestamp + \".\" + body"),
    ];
    if let Some(id) = &claim.id {
        others.push(joined(format!("{id}.{timestamp}."), "id.timestamp.body, as Standard Webhooks does"));
    }
    for (value, says) in others {
        add(Some(value), Code::SignedOtherLayout, says);
    }
    found
}

/// What a scheme signs, for a person.
pub(super) fn layout(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Timestamped | Scheme::Stripe => "timestamp + \".\" + body",
        Scheme::Standard => "id + \".\" + timestamp + \".\" + body",
        Scheme::Github => "the body",
        Scheme::Slack => "\"v0:\" + timestamp + \":\" + body",
    }
}
