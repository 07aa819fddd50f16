//! How a payload is read: as JSON, as a form, as text, or not at all. What cannot be read is refused, whatever the
//! guard's action: nobody can say that there is no personal data in it, and nothing of it can be redacted.
//!
//! A body says that it is JSON by its `content-type`, or by `{` or `[` behind blanks and byte order marks: many receivers
//! parse such a body whatever its type. It is then read as strict JSON (RFC 8259) or not at all: of what lenient parsers
//! take (comments, `NaN`, a comma too many, a second document), each takes something else.

use std::fmt;

use super::{NonJson, Outgoing, REDACTED};
use crate::json::{self, BodyFault};

/// Why the payload guard cannot read a payload. Printed, it is a part of a sentence that quotes nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The payload has a content coding.
    Coded,
    /// The payload is in a character set that does not extend ASCII, such as UTF-16.
    Charset,
    /// The payload is multipart.
    Multipart,
    /// The payload says that it is JSON, and is not, or is nested too deep.
    NotJson(BodyFault),
    /// The payload is neither JSON nor a form, and `non_json` is `reject`.
    NeitherJsonNorForm,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => f.write_str("it has a content coding; send it without content-encoding"),
            Self::Charset => f.write_str("its charset does not extend ASCII; send UTF-8"),
            Self::Multipart => f.write_str("it is multipart; send JSON or a form"),
            Self::NotJson(fault) => write!(f, "it should be strict JSON, but {fault}"),
            Self::NeitherJsonNorForm => {
                f.write_str("it is neither JSON nor a form, and payload_guard.non_json is not text")
            }
        }
    }
}

/// A payload, as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading<'a> {
    /// There is nothing to read.
    Nothing,
    /// JSON, without its byte order mark.
    Json(&'a str),
    /// A form (`application/x-www-form-urlencoded`).
    Form,
    /// Text, which is looked at as one string.
    Text,
}

/// Decides how a payload that is no envelope is read.
pub(super) fn reading<'a>(non_json: NonJson, outgoing: &Outgoing<'a>) -> Result<Reading<'a>, Unreadable> {
    let payload = outgoing.bytes;
    if outgoing.content_encoding.is_some() {
        return Err(Unreadable::Coded);
    }
    if payload.is_empty() {
        return Ok(Reading::Nothing);
    }
    let content_type = outgoing.content_type.unwrap_or_default().to_ascii_lowercase();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if media_type.starts_with(b"multipart/") {
        return Err(Unreadable::Multipart);
    }
    if charset(&content_type).is_some_and(|charset| !extends_ascii(charset)) {
        return Err(Unreadable::Charset);
    }
    let begin = begin(payload);
    // Text whose beginning was redacted begins with a bracket.
    let is_structure = matches!(begin, [b'{' | b'[', ..]) && !begin.starts_with(REDACTED.as_bytes());
    let says_json = is_structure || holds(media_type, b"json");
    if media_type == b"application/x-www-form-urlencoded" && !is_structure {
        return Ok(Reading::Form);
    }
    // A number alone may be anything, such as a phone number: without a word that it is JSON it is text.
    match json::check(payload) {
        Ok(json) if says_json || begin.starts_with(b"\"") => Ok(Reading::Json(json)),
        Err(fault) if says_json => Err(Unreadable::NotJson(fault)),
        _ if non_json == NonJson::Text => Ok(Reading::Text),
        _ => Err(Unreadable::NeitherJsonNorForm),
    }
}

/// The text behind blanks, control characters and byte order marks.
pub(super) fn begin(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let [0..=b' ', next @ ..] | [0xef, 0xbb, 0xbf, next @ ..] | [0xc2, 0xa0, next @ ..] = rest {
        rest = next;
    }
    rest
}

/// The value of the parameter `charset` of a content type in lower case.
fn charset(content_type: &[u8]) -> Option<&[u8]> {
    let parameters = content_type.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    let value = parameters.filter_map(|parameter| parameter.strip_prefix(b"charset=")).next()?;
    let is_quote = |byte: &u8| b"\"'".contains(byte);
    let start = value.iter().take_while(|byte| is_quote(byte)).count();
    let end = value.len() - value.iter().rev().take_while(|byte| is_quote(byte)).count();
    Some(value.get(start..end.max(start)).unwrap_or_default())
}

/// Whether the bytes of ASCII characters are themselves in this character set, and nothing else is.
fn extends_ascii(charset: &[u8]) -> bool {
    let families = [&b"iso-8859-"[..], b"iso_8859-", b"windows-125", b"latin", b"koi8-"];
    [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"].contains(&charset)
        || families.iter().any(|family| charset.starts_with(family))
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(content_type: &'a str, body: &'a [u8]) -> Result<Reading<'a>, Unreadable> {
        let content_type = (!content_type.is_empty()).then_some(content_type.as_bytes());
        reading(NonJson::Text, &Outgoing { bytes: body, content_type, content_encoding: None, is_envelope: false })
    }

    /// Whatever says that it is JSON is strict JSON, or is not read.
    #[test]
    fn what_says_json_and_is_none_is_unreadable() {
        let bodies: [&[u8]; 26] = [
            b"{\"a\": NaN}",
            b"{\"a\": Infinity}",
            b"{\"a\": undefined}",
            b"{\"a\": 1,}",
            b"[1,]",
            b"{\"a\": 1 // no\n}",
            b"{\"a\": 1 /* no */}",
            b"{'a': 1}",
            b"{a: 1}",
            b"{\"a\": \"x\ny\"}",
            b"{\"a\": \"x\ty\"}",
            b"{\"a\": \"\x00\"}",
            b"{\"a\": 1}\x00",
            b"{\"a\": 1} {\"b\": 2}",
            b"{\"a\": 1}\n{\"b\": 2}\n",
            b"{\"a\": 01}",
            b"{\"a\": +1}",
            b"{\"a\": 0x1}",
            b"{\"a\": \"\\x41\"}",
            b"{\"a\": \"caf\xe9\"}",
            b"{\"a\": 1",
            b"[",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b" \xef\xbb\xbf{}",
            b"\x0c{}",
            b"\x00{}",
        ];
        for body in bodies {
            for content_type in ["application/json", "", "text/plain", "application/x-www-form-urlencoded"] {
                let shown = String::from_utf8_lossy(body);
                let read = read(content_type, body);
                assert!(matches!(read, Err(Unreadable::NotJson(_))), "{content_type}: {shown}: {read:?}");
            }
        }
        let types = "text/json, application/problem+json; charset=utf-8, Application/JSON, application/x-ndjson, \
                     application/json5, application/vnd.api+json, text/x-json";
        for content_type in types.split(", ") {
            for body in ["email=x", "NaN", "1 2", "nul", " ", "\u{feff}", "bob"] {
                assert!(matches!(read(content_type, body.as_bytes()), Err(Unreadable::NotJson(_))), "{content_type}");
            }
            assert_eq!(read(content_type, b"1.5"), Ok(Reading::Json("1.5")), "{content_type}");
        }
    }

    #[test]
    fn what_is_strict_json_is_read_whatever_it_says() {
        for content_type in ["", "application/json", "text/plain", "application/x-www-form-urlencoded", "x"] {
            for body in ["{}", " [1, 2]\r\n", "\u{feff}{\"a\": \"\\u00e9\"}"] {
                let expected = body.strip_prefix('\u{feff}').unwrap_or(body);
                assert_eq!(read(content_type, body.as_bytes()), Ok(Reading::Json(expected)), "{content_type}");
            }
        }
        assert_eq!(read("text/plain", b"\"x\""), Ok(Reading::Json("\"x\"")));
        assert_eq!(read("application/json", b""), Ok(Reading::Nothing));
        assert_eq!(read("text/plain", b"4111111111111111"), Ok(Reading::Text));
    }

    #[test]
    fn deep_json_cannot_be_read() {
        let deep = "[".repeat(128) + &"]".repeat(128);
        let fault = Unreadable::NotJson(BodyFault::TooDeep { at: 127 });
        assert_eq!(read("", deep.as_bytes()), Err(fault.clone()));
        let told = "it should be strict JSON, but the body is nested more than 127 deep at byte 127";
        assert_eq!(fault.to_string(), told);
    }

    #[test]
    fn forms_are_read_and_multipart_is_not() {
        for content_type in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=UTF-8"] {
            assert_eq!(read(content_type, b"a=1&b"), Ok(Reading::Form));
        }
        for content_type in ["multipart/form-data; boundary=x", "Multipart/Mixed", "multipart/related;boundary=\"a\""] {
            for body in ["--x\r\n", "{}", "a"] {
                assert_eq!(read(content_type, body.as_bytes()), Err(Unreadable::Multipart));
            }
        }
    }

    #[test]
    fn a_charset_that_hides_ascii_cannot_be_read() {
        for charset in ["utf-16", "UTF-16LE", "\"utf-32\"", "utf-7", "ibm037", "shift_jis", "x"] {
            for media_type in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
                let content_type = format!("{media_type}; charset={charset}");
                assert_eq!(read(&content_type, b"{}"), Err(Unreadable::Charset), "{content_type}");
            }
        }
        for charset in ["utf-8", "\"UTF-8\"", "us-ascii", "ISO-8859-1", "windows-1252"] {
            assert_eq!(read(&format!("text/plain;charset={charset}"), b"x"), Ok(Reading::Text), "{charset}");
        }
    }

    #[test]
    fn a_coding_is_not_undone() {
        let coded = |bytes| Outgoing { bytes, content_type: None, content_encoding: Some(b"gzip"), is_envelope: false };
        assert_eq!(reading(NonJson::Text, &coded(b"{}")), Err(Unreadable::Coded));
        assert_eq!(reading(NonJson::Text, &coded(b"")), Err(Unreadable::Coded));
    }

    #[test]
    fn the_rest_is_text_only_if_the_config_says_so() {
        for body in [&b"hello"[..], b"4111111111111111", b"null", b"<xml/>", b"\xff\x00"] {
            let outgoing = Outgoing { bytes: body, content_type: None, content_encoding: None, is_envelope: false };
            assert_eq!(reading(NonJson::Reject, &outgoing), Err(Unreadable::NeitherJsonNorForm));
            assert_eq!(reading(NonJson::Text, &outgoing), Ok(Reading::Text));
        }
    }
}
