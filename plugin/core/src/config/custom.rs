//! The table of a signature scheme: the keys of scheme `custom`, and the presets, which are written as a config has them.

use base64ct::{Base64Unpadded, Encoding as _};
use zeroize::Zeroizing;

use super::error::shown;
use super::reader::{Node, Object, Reader};
use super::tree::Value;
use super::values::{choice, header_name};
use crate::headers;
use crate::json::Pointer;
use crate::secret::Algorithm;
use crate::signature::custom::{
    Entries, IdPlace, SecretForm, SignatureEncoding, SignatureTable, SignedPart, SignedTime, TimePlace, is_id_byte,
};
use crate::signature::presets::PRESETS;
use crate::signature::standard::SHARED;
use crate::signature::timestamped::Timestamped;

/// The keys of a table, beside those that every entry of `signature` may have.
pub(super) const KEYS: [&str; 9] =
    ["header", "prefix", "encoding", "algorithm", "signed", "timestamp", "id", "entries", "secret"];

/// The longest prefix of a signature, text that is signed, and key of an entry.
const TEXT_MAX: usize = 64;

/// Reads the table of a preset.
pub(super) fn preset(node: &Node<'_>, name: &str) -> Option<SignatureTable> {
    let read = |text: &str| {
        let tree: Value = serde_json::from_str(text).ok()?;
        let reader = Reader::new("preset", &|_| None);
        let table = reader.root(&tree).object(&KEYS, &[]).and_then(|object| table(&object));
        reader.finish(table).ok()
    };
    let text = PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    text.and_then(read).or_else(|| node.problem("has no table", "another scheme"))
}

/// Reads a table.
pub(super) fn table(object: &Object<'_>) -> Option<SignatureTable> {
    let header =
        object.required("header", "the header that carries the signature, such as X-Acme-Signature", own_header);
    let entries = object.optional("entries", entries);
    let prefix = object.or("prefix", String::new(), prefix);
    let encoding = object.or("encoding", SignatureEncoding::Hex, |node| {
        choice(node, &[("hex", SignatureEncoding::Hex), ("base64", SignatureEncoding::Base64)], &[])
    });
    let algorithm = object.or("algorithm", Algorithm::Sha256, |node| {
        choice(node, &[("hmac-sha256", Algorithm::Sha256), ("hmac-sha512", Algorithm::Sha512)], &[])
    });
    let secret = object.or("secret", SecretForm::Text, |node| {
        let forms = [("text", SecretForm::Text), ("hex", SecretForm::Hex), ("base64", SecretForm::Base64)];
        choice(node, &forms, &[])
    });
    let timestamp = object.optional("timestamp", timestamp);
    let id = object.optional("id", id);
    let parts = object.or("signed", (Vec::new(), Vec::new()), signed);
    let (header, (before, after), entries) = (header?, parts?, entries?);
    let mut table = SignatureTable {
        also: entries.is_none().then(|| format!("{header}-also")),
        header,
        prefix: prefix?,
        encoding: encoding?,
        algorithm: algorithm?,
        before,
        after,
        timestamp: timestamp?,
        id: id?,
        entries,
        secret: secret?,
        shape: String::new(),
    };
    [whole_time(object, &table), whole_id(object, &table), apart(object, &table), distinct(object, &table)]
        .into_iter()
        .collect::<Option<Vec<()>>>()?;
    table.shape = shape(&table);
    Some(table)
}

/// What a good value of the header looks like, for its sender.
fn shape(table: &SignatureTable) -> String {
    let text = match (table.encoding, table.algorithm) {
        (SignatureEncoding::Hex, Algorithm::Sha256) => "<64 hex digits>",
        (SignatureEncoding::Hex, Algorithm::Sha512) => "<128 hex digits>",
        (SignatureEncoding::Base64, Algorithm::Sha256) => "<base64 of 32 bytes>",
        (SignatureEncoding::Base64, Algorithm::Sha512) => "<base64 of 64 bytes>",
    };
    let key = table.entries.as_ref().and_then(|entries| entries.key.as_ref()).map(|key| format!("{key}="));
    let signature = [key.as_deref().unwrap_or_default(), &table.prefix, text].concat();
    match (&table.timestamp, &table.entries) {
        (Some(SignedTime { place: TimePlace::Key(key), .. }), Some(entries)) => {
            format!("{key}=<timestamp>{}{signature}", entries.separator)
        }
        _ => signature,
    }
}

/// A header that the scheme may have for itself.
fn own_header(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a header that nothing else sets, such as X-Acme-Signature";
    let name = header_name(node)?;
    let of_event = Timestamped::default();
    let of_event = [&of_event.event, &of_event.attempt, &of_event.endpoint, &of_event.dead_letter];
    if headers::belongs_to_the_gateway(&name) || headers::is_envoys(&name) || of_event.contains(&&name) {
        return node.problem("is a header with a meaning of its own", EXPECTED);
    }
    Some(name)
}

fn prefix(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the text before each signature, such as \"sha256=\", of at most 64 characters";
    let text = node.text(EXPECTED)?;
    let is_text = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && text.trim_start() == text;
    if is_text && text.len() <= TEXT_MAX { Some(text.to_owned()) } else { node.unfit(EXPECTED) }
}

fn entries(node: &Node<'_>) -> Option<Entries> {
    let object = node.object(&["separator", "key"], &[])?;
    let separator = object.or("separator", ',', |node| {
        const EXPECTED: &str = "one character that is no part of a signature: comma, semicolon, bar, & or space";
        let text = node.text(EXPECTED)?;
        let one = text.chars().next().filter(|first| text.len() == 1 && ",;|& ".contains(*first));
        one.or_else(|| node.unfit(EXPECTED))
    });
    let key = object.optional("key", key);
    Some(Entries { separator: separator?, key: key? })
}

fn key(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the key of an entry, such as v1: letters, digits, '-' and '_'";
    let text = node.text(EXPECTED)?;
    let fits = (1..=TEXT_MAX).contains(&text.len()) && text.bytes().all(is_id_byte);
    if fits { Some(text.to_owned()) } else { node.unfit(EXPECTED) }
}

fn pointer(node: &Node<'_>) -> Option<Pointer> {
    const EXPECTED: &str = "a JSON pointer such as \"/id\"";
    let text = node.text(EXPECTED)?;
    match Pointer::parse(text) {
        Ok(pointer) if !text.is_empty() => Some(pointer),
        Ok(_) => node.problem("is the whole body", EXPECTED),
        Err(reason) => node.problem(&format!("is {}, but {reason}", shown(text)), EXPECTED),
    }
}

/// The one of several places that is there.
fn place<T>(node: &Node<'_>, places: [Option<Option<T>>; 3], expected: &str) -> Option<T> {
    let [first, second, third] = places;
    let mut there = [first?, second?, third?].into_iter().flatten();
    match (there.next(), there.next()) {
        (Some(place), None) => Some(place),
        (None, _) => node.problem("has no place", expected),
        (Some(_), Some(_)) => node.problem("has more than one place", expected),
    }
}

fn timestamp(node: &Node<'_>) -> Option<SignedTime> {
    let object = node.object(&["header", "key", "body", "unit"], &[])?;
    let millis_each = object.or("unit", 1000, |node| choice(node, &[("s", 1000), ("ms", 1)], &[]));
    let places = [
        object.optional("header", |node| own_header(node).map(TimePlace::Header)),
        object.optional("key", |node| key(node).map(TimePlace::Key)),
        object.optional("body", |node| pointer(node).map(TimePlace::Body)),
    ];
    let place = place(node, places, "one of header, key and body");
    Some(SignedTime { place: place?, millis_each: millis_each? })
}

fn id(node: &Node<'_>) -> Option<IdPlace> {
    let object = node.object(&["header", "body"], &[])?;
    let places = [
        object.optional("header", |node| own_header(node).map(IdPlace::Header)),
        object.optional("body", |node| pointer(node).map(IdPlace::Body)),
        Some(None),
    ];
    place(node, places, "one of header and body")
}

const SIGNED: &str = "text with {body}, and perhaps {timestamp} and {id}, each once, such as \"{timestamp}.{body}\"";

/// Reads what is signed: the parts before the body, and those behind it.
fn signed(node: &Node<'_>) -> Option<(Vec<SignedPart>, Vec<SignedPart>)> {
    let (mut rest, mut parts, mut before) = (node.text(SIGNED)?, Vec::new(), None);
    while !rest.is_empty() {
        let (text, tail) = rest.find(['{', '}']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        if text.len() > TEXT_MAX {
            return node.problem("has text of more than 64 bytes", SIGNED);
        }
        if !text.is_empty() {
            parts.push(SignedPart::Text(text.to_owned()));
        }
        if tail.is_empty() {
            break;
        }
        let Some((name, behind)) = tail.strip_prefix('{').and_then(|tail| tail.split_once('}')) else {
            return node.problem("has a brace without its other half", SIGNED);
        };
        let part = match name {
            "body" if before.is_none() => {
                before = Some(std::mem::take(&mut parts));
                rest = behind;
                continue;
            }
            "timestamp" => SignedPart::Timestamp,
            "id" => SignedPart::Id,
            "body" => return node.problem("has {body} twice", SIGNED),
            other => {
                let what = format!("has {}, which is no part of a message", shown(&format!("{{{other}}}")));
                return node.problem(&what, SIGNED);
            }
        };
        if parts.contains(&part) || before.as_ref().is_some_and(|before| before.contains(&part)) {
            return node.problem(&format!("has {{{name}}} twice"), SIGNED);
        }
        parts.push(part);
        rest = behind;
    }
    match before {
        Some(before) => Some((before, parts)),
        None => node.problem("leaves out the body: anyone could change it", SIGNED),
    }
}

fn has(table: &SignatureTable, part: &SignedPart) -> bool {
    table.before.contains(part) || table.after.contains(part)
}

/// Checks that the timestamp is signed, and is where it can be.
fn whole_time(object: &Object<'_>, table: &SignatureTable) -> Option<()> {
    let at = |key| object.get(key).unwrap_or_else(|| *object.node());
    let is_in_body = matches!(&table.timestamp, Some(SignedTime { place: TimePlace::Body(_), .. }));
    match (&table.timestamp, has(table, &SignedPart::Timestamp)) {
        (None, true) => at("signed").problem("has {timestamp}, and nothing says where it is", "timestamp beside it"),
        (Some(_), true) if is_in_body => {
            at("signed").problem("has {timestamp}, which is in the body and signed with it", "it to be left out")
        }
        (Some(_), false) if !is_in_body => {
            at("timestamp").problem("is not signed: anyone could change it", "{timestamp} in signed, or no timestamp")
        }
        (Some(SignedTime { place: TimePlace::Key(key), .. }), _) => {
            let Some(entries) = &table.entries else {
                return at("timestamp").problem("is an entry, and there are none", "entries beside it");
            };
            let begins = format!("{key}=");
            if entries.key.as_ref() == Some(key) || table.prefix.starts_with(&begins) {
                return at("timestamp").problem("has the key of the signatures", "a key of its own");
            }
            Some(())
        }
        _ => Some(()),
    }
}

/// Checks that an id that is signed is a header, and kept apart from what is beside it.
fn whole_id(object: &Object<'_>, table: &SignatureTable) -> Option<()> {
    if !table.signs_id() {
        return Some(());
    }
    let node = object.get("signed").unwrap_or_else(|| *object.node());
    if table.id_header().is_none() {
        return node.problem("has {id}, and nothing says which header it is", "id: {header: NAME} beside it");
    }
    if table.beside_id().is_some_and(|text| text.bytes().any(|byte| !is_id_byte(byte))) {
        return Some(());
    }
    node.problem(
        "lets an id run into what is signed beside it: other parts would give the same bytes",
        "a character that no id has between {id} and what is next to it, such as \"{id}.{body}\"",
    )
}

/// Checks that a prefix and the entries can be told apart.
fn apart(object: &Object<'_>, table: &SignatureTable) -> Option<()> {
    match (&table.entries, object.get("prefix")) {
        (Some(entries), Some(node)) if table.prefix.contains(entries.separator) => {
            node.problem("holds the separator of the entries", "text without it")
        }
        _ => Some(()),
    }
}

/// Checks that each header has one meaning.
fn distinct(object: &Object<'_>, table: &SignatureTable) -> Option<()> {
    let mut names: Vec<&str> = table.header_names().collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    let id_of_event = Timestamped::default().id;
    let is_other = |name: Option<&str>| name != Some(&id_of_event);
    if names.len() < all {
        return object
            .node()
            .problem("has one header for two things", "header, timestamp and id in headers of their own");
    }
    if is_other(Some(&table.header)) && is_other(table.timestamp_header()) {
        return Some(());
    }
    object.node().problem("has something else than the id in x-webhook-id", "another header name")
}

/// The bytes of a secret; `None` where the text is not of the form.
pub(super) fn secret_bytes(form: SecretForm, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    Some(Zeroizing::new(match form {
        SecretForm::Text => text.as_bytes().to_vec(),
        SecretForm::Hex => hex::decode(text).ok()?,
        SecretForm::Base64 => {
            let text = text.strip_prefix(SHARED).unwrap_or(text);
            let text = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
            Base64Unpadded::decode_vec(text).ok()?
        }
    }))
}
