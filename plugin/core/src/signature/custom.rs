//! The scheme `custom`: all that a scheme of HMACs is, as a table in the config. The [presets](super::presets) are such
//! tables.
//!
//! # What is signed
//! `signed` is a template of `{timestamp}`, `{id}`, `{body}` and text. The parts stand so that no other parts give the
//! same bytes: an id holds nothing of the text beside it, and there is some on the side of the body; a timestamp is
//! digits without a leading zero, and one with a digit more or less is never recent. The config takes care of the first,
//! `read` of the rest.
//!
//! A timestamp that is not signed proves nothing: anyone could change it. There is none in a table.

use base64ct::{Base64, Base64Unpadded, Encoding as _};

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, Tag, first_and_also, id_of, mac, secrets, single, some, timestamp};
use crate::headers::{CallHeaders, Headers};
use crate::json::Pointer;
use crate::secret::{Algorithm, Key, Secret};

/// A table: how a scheme signs. Header names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureTable {
    /// The header that carries the signature.
    pub header: String,
    /// The header with the signatures under the other live secrets, where `header` has room for one only.
    pub also: Option<String>,
    /// The text before each signature.
    pub prefix: String,
    /// How a signature is written.
    pub encoding: SignatureEncoding,
    /// The HMAC.
    pub algorithm: Algorithm,
    /// What is signed before the body.
    pub before: Vec<SignedPart>,
    /// What is signed behind the body.
    pub after: Vec<SignedPart>,
    /// Where the time is at which the request was signed; all of it is signed.
    pub timestamp: Option<SignedTime>,
    /// Where the id of the message is.
    pub id: Option<IdPlace>,
    /// How several signatures stand in `header`; `None`: there is one.
    pub entries: Option<Entries>,
    /// How the text of a secret gives its bytes.
    pub secret: SecretForm,
    /// What a good `header` looks like.
    pub shape: String,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// Hex: written in lower case, read in either.
    Hex,
    /// Base64: written with padding, read without it too.
    Base64,
}

/// How the text of a secret gives its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// The bytes of the text.
    Text,
    /// Hex.
    Hex,
    /// Base64, perhaps behind `whsec_`.
    Base64,
}

/// A part of what is signed, beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedPart {
    /// This text.
    Text(String),
    /// The timestamp, as it is written.
    Timestamp,
    /// The id.
    Id,
}

/// Where the time is at which a request was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTime {
    /// The place.
    pub place: TimePlace,
    /// The unit, in milliseconds.
    pub millis_each: u64,
}

/// The place of a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimePlace {
    /// A header of its own.
    Header(String),
    /// An entry with this key beside the signatures.
    Key(String),
    /// A number in the body, where the sender puts one. An endpoint does not: its body is the producer's.
    Body(Pointer),
}

/// The place of a message's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdPlace {
    /// A header.
    Header(String),
    /// A value in the body. An endpoint puts none there.
    Body(Pointer),
}

/// How several signatures stand in one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// The character between entries; there may be blanks around it.
    pub separator: char,
    /// The key of the entries that are signatures, before a `=`; `None`: they have none.
    pub key: Option<String>,
}

impl SignatureTable {
    /// The name of the header that carries the timestamp.
    pub fn timestamp_header(&self) -> Option<&str> {
        match self.timestamp.as_ref().map(|time| &time.place) {
            Some(TimePlace::Header(name)) => Some(name),
            Some(TimePlace::Key(_) | TimePlace::Body(_)) | None => None,
        }
    }

    /// The name of the header that carries the id.
    pub fn id_header(&self) -> Option<&str> {
        match &self.id {
            Some(IdPlace::Header(name)) => Some(name),
            Some(IdPlace::Body(_)) | None => None,
        }
    }

    /// Whether the id is signed by itself, outside of the body.
    pub fn signs_id(&self) -> bool {
        self.before.iter().chain(&self.after).any(|part| *part == SignedPart::Id)
    }

    /// The text that is signed beside the id, on the side of the body.
    pub fn beside_id(&self) -> Option<&str> {
        let next = next_to_id(self.before.iter()).or_else(|| next_to_id(self.after.iter().rev()));
        match next? {
            SignedPart::Text(text) => Some(text),
            SignedPart::Timestamp | SignedPart::Id => None,
        }
    }

    /// The names of the headers that the table sets.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let more = [self.also.as_deref(), self.timestamp_header(), self.id_header()];
        std::iter::once(self.header.as_str()).chain(more.into_iter().flatten())
    }

    /// Makes a secret of its bytes; `None` for an empty one.
    pub fn secret(&self, bytes: Vec<u8>) -> Option<Secret> {
        Secret::of(self.algorithm, bytes)
    }

    fn written(&self, tag: &[u8]) -> String {
        let text = match self.encoding {
            SignatureEncoding::Hex => hex::encode(tag),
            SignatureEncoding::Base64 => Base64::encode_string(tag),
        };
        let key = self.entries.as_ref().and_then(|entries| entries.key.as_deref());
        [key.unwrap_or_default(), if key.is_some() { "=" } else { "" }, &self.prefix, &text].concat()
    }

    /// Parses an entry; `None` for one that is no signature.
    fn tag(&self, entry: &[u8]) -> Option<Tag> {
        let entry = match self.entries.as_ref().and_then(|entries| entries.key.as_deref()) {
            Some(key) => entry.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?,
            None => entry,
        };
        let text = entry.strip_prefix(self.prefix.as_bytes())?;
        let mut bytes = [0; 64];
        let bytes = match self.encoding {
            SignatureEncoding::Hex => {
                let room = bytes.get_mut(..text.len() / 2)?;
                hex::decode_to_slice(text, room).ok()?;
                &*room
            }
            SignatureEncoding::Base64 => {
                let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
                Base64Unpadded::decode(text, &mut bytes).ok()?
            }
        };
        match self.algorithm {
            Algorithm::Sha256 => bytes.try_into().ok().map(Tag::Mac),
            Algorithm::Sha512 => bytes.try_into().ok().map(Tag::Mac512),
        }
    }
}

fn next_to_id<'a>(mut parts: impl Iterator<Item = &'a SignedPart>) -> Option<&'a SignedPart> {
    parts.find(|part| **part == SignedPart::Id)?;
    parts.next()
}

/// The bytes of these parts.
fn filled(parts: &[SignedPart], digits: &[u8], id: &[u8]) -> Vec<u8> {
    let bytes = parts.iter().map(|part| match part {
        SignedPart::Text(text) => text.as_bytes(),
        SignedPart::Timestamp => digits,
        SignedPart::Id => id,
    });
    bytes.collect::<Vec<_>>().concat()
}

/// Appends the headers of the table; `known` is the header that tells of the event's id in every scheme, and is set
/// elsewhere.
pub(super) fn headers<'a>(
    (table, known): (&'a SignatureTable, &str),
    keys: impl Iterator<Item = &'a Key>,
    attempt: &Attempt<'a>,
    headers: &mut CallHeaders<'a>,
) {
    let unit = table.timestamp.as_ref().map_or(1, |time| time.millis_each.max(1));
    let digits = itoa::Buffer::new().format(attempt.at.as_millis() / unit).to_owned();
    let id = attempt.id.to_string();
    let of = |parts| filled(parts, digits.as_bytes(), id.as_bytes());
    let (before, after) = (of(&table.before), of(&table.after));
    let signatures = secrets(keys).map(|secret| table.written(mac(secret, &[&before, attempt.body, &after]).bytes()));
    match (&table.entries, &table.also) {
        (Some(entries), _) => {
            let time = match table.timestamp.as_ref().map(|time| &time.place) {
                Some(TimePlace::Key(key)) => Some(format!("{key}={digits}")),
                Some(TimePlace::Header(_) | TimePlace::Body(_)) | None => None,
            };
            let value = time.into_iter().chain(signatures).collect::<Vec<_>>().join(&entries.separator.to_string());
            headers.push((&table.header, value.into_bytes().into()));
        }
        (None, Some(also)) => first_and_also(headers, (&table.header, also), signatures),
        (None, None) => {}
    }
    headers.extend(table.timestamp_header().map(|name| (name, digits.into_bytes().into())));
    headers.extend(table.id_header().filter(|name| *name != known).map(|name| (name, id.into_bytes().into())));
}

pub(super) fn read<'n>(table: &'n SignatureTable, headers: &Headers, body: &[u8]) -> Result<Presented, Fault<'n>> {
    let malformed = Fault::Malformed { header: &table.header, expected: &table.shape };
    let value = single(headers, &table.header)?;
    let (mut beside, mut tags) = (None, Vec::new());
    let time_key = match table.timestamp.as_ref().map(|time| &time.place) {
        Some(TimePlace::Key(key)) => Some(key.as_bytes()),
        Some(TimePlace::Header(_) | TimePlace::Body(_)) | None => None,
    };
    let others = table.also.as_ref().and_then(|also| headers.get(also)).unwrap_or_default();
    let (within, behind) = match &table.entries {
        Some(entries) => (Some(entries.separator), None),
        None => (None, Some(&*others)),
    };
    let first = value.split(|byte| within.is_some_and(|separator| u32::from(*byte) == u32::from(separator)));
    for entry in first.chain(behind.into_iter().flat_map(|others| others.split(|byte| *byte == b','))) {
        let entry = entry.trim_ascii();
        let time = time_key.and_then(|key| entry.strip_prefix(key)?.strip_prefix(b"="));
        match time {
            Some(digits) if beside.replace(digits).is_some() => return Err(malformed),
            Some(_) => {}
            // Entries that are none are passed over.
            None => tags.extend(table.tag(entry)),
        }
    }
    let tags = some(tags, malformed)?;
    let (digits, at) = match &table.timestamp {
        None => (Vec::new(), None),
        Some(SignedTime { place: TimePlace::Body(pointer), millis_each }) => {
            let digits = pointer.scalar(body).unwrap_or_default();
            let at = timestamp(digits.as_bytes(), *millis_each, "").map_err(|fault| match fault {
                Fault::Malformed { expected, .. } => Fault::BodyTime { expected },
                fault => fault,
            })?;
            (Vec::new(), Some(at))
        }
        Some(SignedTime { place, millis_each }) => {
            let (digits, name) = match place {
                TimePlace::Header(name) => (single(headers, name)?, name),
                TimePlace::Key(_) | TimePlace::Body(_) => (beside.ok_or(malformed)?, &table.header),
            };
            let at = timestamp(digits, *millis_each, name)?;
            if digits.len() > 1 && digits.starts_with(b"0") {
                return Err(Fault::Malformed { header: name, expected: "a number without a zero before it" });
            }
            (digits.to_vec(), Some(at))
        }
    };
    let (id, is_id_signed) = identified(table, headers, body)?;
    // Where a time is signed, the same body has another signature each time.
    let id = id.or_else(|| if at.is_some() { id_of(body) } else { None });
    let of = |parts| filled(parts, &digits, id.as_deref().unwrap_or_default());
    let (prefix, suffix) = (of(&table.before), of(&table.after));
    Ok(Presented { prefix, suffix, at, id, is_id_signed, tags })
}

/// The id of a message where the table names one, and whether that is signed: in the body, or beside it. Where the table
/// names none, a message is known by its body, which is signed.
fn identified<'n>(
    table: &'n SignatureTable,
    headers: &Headers,
    body: &[u8],
) -> Result<(Option<Vec<u8>>, bool), Fault<'n>> {
    let name = match &table.id {
        None => return Ok((None, true)),
        Some(IdPlace::Body(pointer)) => return Ok((pointer.scalar(body).map(String::into_bytes), true)),
        Some(IdPlace::Header(name)) => name,
    };
    if !table.signs_id() {
        return Ok((headers.single(name).filter(|id| !id.is_empty()).map(<[u8]>::to_vec), false));
    }
    let id = single(headers, name)?;
    let beside = table.beside_id().unwrap_or_default();
    if id.is_empty() || id.iter().any(|byte| !is_id_byte(*byte) && beside.as_bytes().contains(byte)) {
        // The same bytes would be signed for another id, another time and another body.
        return Err(Fault::Malformed {
            header: name,
            expected: "an id without the characters that are signed beside it",
        });
    }
    Ok((Some(id.to_vec()), true))
}

/// Whether ids are made of this byte: it keeps nothing apart from an id.
pub fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}
