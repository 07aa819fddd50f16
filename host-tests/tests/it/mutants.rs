//! Signed requests with something changed: every way that a sender's bug or somebody in between may change one.

use fastrand::Rng;
use host_tests::Request;

use crate::sender::{Message, OTHER_SECRET, SCHEMES, SECRET, key_pair, path};

/// A signed request, taken apart.
#[derive(Clone, Debug)]
pub struct Draft {
    pub scheme: &'static str,
    /// The signature with its version, as text.
    pub tag: Vec<u8>,
    /// The timestamp and the id in the headers, where the scheme has them there.
    pub at: Option<Vec<u8>>,
    pub id: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

/// What a request is made of, to be changed once more.
type Headers = Vec<(&'static str, Vec<u8>)>;

impl Draft {
    /// A message, signed under [`SECRET`], or by the first key pair.
    pub fn new(message: &Message, is_ed25519: bool) -> Self {
        let headers = if is_ed25519 { message.headers_by(&key_pair(1).0) } else { message.headers_under(SECRET) };
        Self::of(message, &headers)
    }

    fn of(message: &Message, headers: &[(&'static str, String)]) -> Self {
        let value = |number: usize| headers.get(number).map(|(_, value)| value.clone().into_bytes());
        let (tag, at, id) = match message.scheme {
            "stripe" => {
                let (at, tag) = headers[0].1.split_once(',').expect("two fields");
                (Some(tag.as_bytes().to_vec()), Some(at.trim_start_matches("t=").as_bytes().to_vec()), None)
            }
            "github" => (value(0), None, value(1)),
            _ => (value(0), value(1), value(2)),
        };
        Self { scheme: message.scheme, tag: tag.expect("a signature"), at, id, body: message.body.clone() }
    }

    fn headers(&self) -> Headers {
        let (tag, at) = (self.tag.clone(), self.at.clone().unwrap_or_default());
        let signature = signature_header(self.scheme);
        let mut headers = match self.scheme {
            "stripe" => vec![(signature, [b"t=", &at[..], b",", &tag].concat())],
            "github" => vec![(signature, tag)],
            "timestamped" => vec![(signature, tag), ("x-webhook-timestamp", at)],
            "standard" => vec![(signature, tag), ("webhook-timestamp", at)],
            _ => vec![(signature, tag), ("x-slack-request-timestamp", at)],
        };
        let name = match self.scheme {
            "timestamped" => "x-webhook-id",
            "standard" => "webhook-id",
            _ => "x-github-delivery",
        };
        headers.extend(self.id.clone().map(|id| (name, id)));
        headers
    }
}

fn signature_header(scheme: &str) -> &'static str {
    match scheme {
        "timestamped" => "x-webhook-signature",
        "standard" => "webhook-signature",
        "github" => "x-hub-signature-256",
        "stripe" => "stripe-signature",
        _ => "x-slack-signature",
    }
}

/// The ways, by name. The first of each pair is changed with the second at hand, another message of the same scheme.
pub const KINDS: [&str; 38] = [
    "nothing",
    "the body in pieces",
    "a bit of the body",
    "the body cut short",
    "the body with a byte more",
    "no body",
    "the body of another message",
    "two bytes of the body exchanged",
    "a bit of the signature",
    "the signature cut short",
    "the signature with more behind it",
    "the signature of another message",
    "the signature of another secret",
    "the signature of another key pair",
    "the signature of another scheme's bytes",
    "the signature in upper case",
    "a space in the signature",
    "spaces around the signature",
    "another version of the signature",
    "two digits of the signature exchanged",
    "an empty signature",
    "a wrong signature before the right one",
    "the right signature after many",
    "a bit of the timestamp",
    "another fresh timestamp",
    "the timestamp spelt otherwise",
    "the timestamp of another message",
    "a bit of the id",
    "the id of another message",
    "the id with the timestamp in it",
    "a header left out",
    "a header twice",
    "a header twice, once another message's",
    "the values of two headers exchanged",
    "the headers of another scheme",
    "another scheme's headers beside a wrong signature",
    "the signature in the second header alone",
    "the path of another scheme",
];

/// Those that may leave the same message; what all others make of it is another one.
pub const MAY_BE_THE_SAME: [&str; 13] = [
    "the right signature after many",
    "nothing",
    "the body in pieces",
    // The case of a hex digit is a bit.
    "a bit of the signature",
    "the signature in upper case",
    "a space in the signature",
    "spaces around the signature",
    "a wrong signature before the right one",
    // Two digits that are alike.
    "two digits of the signature exchanged",
    "two bytes of the body exchanged",
    // Neither `timestamped` nor `github` sign it.
    "a bit of the id",
    "the id of another message",
    "a header twice",
];

/// Two messages of one scheme, one of which is changed.
pub struct Pair<'a> {
    pub message: &'a Message,
    pub draft: &'a Draft,
    pub other: &'a Draft,
}

/// The first message, changed in this way; `None`: it cannot be.
pub fn mutant(kind: &str, pair: &Pair<'_>, rng: &mut Rng) -> Option<Request> {
    let mut draft = pair.draft.clone();
    if kind == "the body in pieces" {
        let pieces: Vec<Vec<u8>> = draft.body.chunks(rng.usize(1..=draft.body.len())).map(<[u8]>::to_vec).collect();
        let request = request(draft.scheme, &draft.headers(), &[]).chunks(pieces);
        return Some(if rng.bool() { request.http2() } else { request });
    }
    if let Some(headers) = changed_headers(kind, pair, rng) {
        return headers.map(|headers| request(draft.scheme, &headers, &draft.body));
    }
    if kind == "the path of another scheme" {
        let others: Vec<&str> = SCHEMES.into_iter().filter(|scheme| *scheme != draft.scheme).collect();
        return Some(request(others[rng.usize(..others.len())], &draft.headers(), &draft.body));
    }
    let has_changed = if kind.contains("body") && !kind.contains("signature") {
        change_body(kind, &mut draft.body, &pair.other.body, rng)
    } else if kind.contains("signature") {
        change_tag(kind, pair, &mut draft.tag, rng)
    } else {
        change_value(kind, &mut draft, pair, rng)
    };
    has_changed.map(|()| request(draft.scheme, &draft.headers(), &draft.body))
}

fn request(scheme: &str, headers: &[(&'static str, Vec<u8>)], body: &[u8]) -> Request {
    headers.iter().fold(Request::post(&path(scheme)), |all, (name, value)| all.header(name, value)).body(body)
}

fn flip(bytes: &mut [u8], rng: &mut Rng) -> Option<()> {
    let at = rng.usize(..bytes.len().max(1));
    *bytes.get_mut(at)? ^= 1 << rng.u32(..8);
    Some(())
}

fn exchange(bytes: &mut [u8], rng: &mut Rng) -> Option<()> {
    if bytes.is_empty() {
        return None;
    }
    bytes.swap(rng.usize(..bytes.len()), rng.usize(..bytes.len()));
    Some(())
}

fn change_body(kind: &str, body: &mut Vec<u8>, other: &[u8], rng: &mut Rng) -> Option<()> {
    match kind {
        "a bit of the body" => return flip(body, rng),
        "the body cut short" if rng.bool() => body.truncate(rng.usize(..body.len())),
        "the body cut short" => drop(body.drain(..rng.usize(1..=body.len()))),
        "the body with a byte more" => body.insert(rng.usize(..=body.len()), rng.u8(..)),
        "no body" => body.clear(),
        "the body of another message" => *body = other.to_vec(),
        "two bytes of the body exchanged" => return exchange(body, rng),
        // Of `nothing`.
        _ => {}
    }
    Some(())
}

fn change_tag(kind: &str, pair: &Pair<'_>, tag: &mut Vec<u8>, rng: &mut Rng) -> Option<()> {
    let Pair { message, draft, other } = pair;
    let is_standard = draft.scheme == "standard";
    let signed_otherwise = |headers: &[(&'static str, String)]| Draft::of(message, headers).tag;
    let separator: &[u8] = if is_standard { b" " } else { b"," };
    match kind {
        "a bit of the signature" => return flip(tag, rng),
        "the signature cut short" => tag.truncate(rng.usize(..tag.len())),
        "the signature with more behind it" => tag.extend((0..rng.usize(1..5)).map(|_| rng.alphanumeric() as u8)),
        "the signature of another message" => tag.clone_from(&other.tag),
        "the signature of another secret" => *tag = signed_otherwise(&message.headers_under(OTHER_SECRET)),
        "the signature of another key pair" if is_standard => {
            *tag = signed_otherwise(&message.headers_by(&key_pair(2).0))
        }
        "the signature of another scheme's bytes" => {
            let scheme = SCHEMES[rng.usize(..SCHEMES.len())];
            let as_other = Message { scheme, ..(*message).clone() };
            if as_other.signed() == message.signed() {
                return None;
            }
            let mac = hmac_sha256::HMAC::mac(as_other.signed(), SECRET);
            *tag = signed_otherwise(&message.headers(&mac));
        }
        "the signature in upper case" => tag.make_ascii_uppercase(),
        "a space in the signature" => tag.insert(rng.usize(..=tag.len()), b' '),
        "spaces around the signature" => *tag = [b" ", &tag[..], b" "].concat(),
        "another version of the signature" => {
            let digit = tag.iter().position(u8::is_ascii_digit).filter(|_| draft.scheme != "timestamped")?;
            tag[digit] = if tag[digit] == b'9' { b'8' } else { tag[digit] + 1 };
        }
        "two digits of the signature exchanged" => {
            let from = if draft.scheme == "timestamped" { 0 } else { tag.len() / 4 };
            return exchange(&mut tag[from..], rng);
        }
        "an empty signature" => tag.clear(),
        // Where one header has several, each with its version.
        "a wrong signature before the right one" if is_standard || draft.scheme == "stripe" => {
            *tag = [&other.tag[..], separator, tag].concat();
        }
        "the right signature after many" if is_standard || draft.scheme == "stripe" => {
            *tag = [[&other.tag[..], separator].concat().repeat(rng.usize(16..40)), tag.clone()].concat();
        }
        _ => return None,
    }
    Some(())
}

fn change_value(kind: &str, draft: &mut Draft, pair: &Pair<'_>, rng: &mut Rng) -> Option<()> {
    match kind {
        "a bit of the timestamp" => return flip(draft.at.as_mut()?, rng),
        "another fresh timestamp" => {
            let unit = if draft.scheme == "timestamped" { 1 } else { 1000 };
            draft.at.as_ref()?;
            let away = rng.u64(1..20_000 / unit);
            let number = pair.message.millis / unit;
            draft.at = Some(if rng.bool() { number + away } else { number - away }.to_string().into_bytes());
        }
        "the timestamp spelt otherwise" => {
            let text = String::from_utf8(draft.at.take()?).expect("digits");
            let forms = [
                format!("0{text}"),
                format!("+{text}"),
                format!(" {text}"),
                format!("{text}\t{text}"),
                format!("{text}.0"),
                format!("-{text}"),
                format!("{text}000"),
                format!("0x{text}"),
                format!("{text}e0"),
                String::new(),
                format!("{text}\u{a0}"),
                "99999999999999999999".to_owned(),
            ];
            draft.at = Some(forms[rng.usize(..forms.len())].clone().into_bytes());
        }
        "the timestamp of another message" => {
            draft.at.as_ref()?;
            draft.at.clone_from(&pair.other.at);
        }
        "a bit of the id" => return flip(draft.id.as_mut()?, rng),
        "the id of another message" => {
            draft.id.as_ref()?;
            draft.id.clone_from(&pair.other.id);
        }
        "the id with the timestamp in it" if draft.scheme == "standard" => {
            // The same bytes would be signed, were the body to begin with a timestamp.
            draft.id = Some([draft.id.as_deref()?, b".", draft.at.as_deref()?].concat());
            let end = draft.body.iter().position(|byte| *byte == b'.').unwrap_or(draft.body.len());
            draft.at = Some(draft.body[..end].to_vec());
            draft.body.drain(..(end + 1).min(draft.body.len()));
        }
        "nothing" => {}
        _ => return None,
    }
    Some(())
}

/// The headers changed as such; the outer `None`: that is not this kind.
fn changed_headers(kind: &str, pair: &Pair<'_>, rng: &mut Rng) -> Option<Option<Headers>> {
    let Pair { message, draft, other } = pair;
    let mut headers = draft.headers();
    let at = rng.usize(..headers.len());
    match kind {
        "a header left out" if draft.scheme == "github" || draft.scheme == "timestamped" => {
            // The id is not signed, and may be missing.
            headers.remove(rng.usize(..headers.len() - 1));
        }
        "a header left out" => drop(headers.remove(at)),
        "a header twice" => headers.push(headers[at].clone()),
        "a header twice, once another message's" => {
            let at = if draft.id.is_some() && draft.scheme != "standard" { 0 } else { at };
            headers.insert(rng.usize(..=headers.len()), other.headers()[at].clone());
        }
        "the values of two headers exchanged" => {
            let to = (at + 1) % headers.len();
            if headers[at].1 == headers[to].1 {
                return Some(None);
            }
            let value = std::mem::take(&mut headers[at].1);
            headers[at].1 = std::mem::replace(&mut headers[to].1, value);
        }
        "the headers of another scheme" | "another scheme's headers beside a wrong signature" => {
            let scheme = SCHEMES[rng.usize(..SCHEMES.len())];
            if scheme == draft.scheme {
                return Some(None);
            }
            let theirs = Draft::new(&Message { scheme, ..(*message).clone() }, false).headers();
            if kind == "the headers of another scheme" {
                return Some(Some(theirs));
            }
            headers[0].1 = other.headers()[0].1.clone();
            headers.extend(theirs);
        }
        "the signature in the second header alone" => {
            headers[0].0 = match draft.scheme {
                "timestamped" => "x-webhook-signature-also",
                "github" => "x-hub-signature-256-also",
                "slack" => "x-slack-signature-also",
                _ => return Some(None),
            };
        }
        _ => return None,
    }
    Some(Some(headers))
}
