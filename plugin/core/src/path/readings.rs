//! The paths that a server may take a request's path for.
//!
//! A rule that guards a path has to guard it in whatever spelling. So a path in its plain form is looked up as it is,
//! and any other path in every way in which a common server is known to read it:
//!
//! | reading | who reads so |
//! |---|---|
//! | letters in lower case | IIS, ASP.NET, Express, file systems of macOS and Windows |
//! | `%61` is `a`, decoded once before or after the path is split at `/` | nearly all: before, Go's `URL.Path`, WSGI, Rack; after, Jersey, Spring |
//! | `%2561` is `a`, decoded again | a proxy and an application that both decode; IIS, older Tomcat |
//! | `%u0061`, overlong UTF-8 (`%c0%af`), full-width letters | IIS and older Java |
//! | `\` is `/` | WHATWG URL (Node's `new URL`), IIS, .NET |
//! | `//x/…` and `scheme://x/…`: `x` is a host, and the path begins behind it | WHATWG URL, Python's `urlsplit`, the JDK's `HttpServer`, Go's `url.Parse` |
//! | empty segments and `.` are left out | nginx, Go's `ServeMux`, Express, Tomcat |
//! | `;parameters` are left out | Tomcat, Jetty, Spring, Rack |
//! | blanks, dots and control characters at the ends of a segment are left out | Windows, PHP's `trim`, Java's `String.trim` |
//! | tabs and line ends are left out anywhere | WHATWG URL, Python's `urlsplit` |
//! | NUL ends the path | whatever hands it to C |
//! | `%3f` and `%23` begin a query and a fragment | a proxy and an application that both decode |
//! | `.json` at the end is a format | Rails, Spring before 5.3 |
//!
//! `..` is not resolved: which segment it removes depends on what a server takes for a segment. A path with `..` is
//! [unreadable](Spelling::Unreadable), and so is a path that is not plain and is longer than [`LONGEST`] or can still be
//! decoded after three times.

use std::collections::BTreeSet;

use percent_encoding::percent_decode;

/// The longest path that is read in every way, in bytes: the ways are some forty, and anyone may send a path.
pub const LONGEST: usize = 2048;

/// How often a path is decoded.
const ROUNDS: usize = 3;

/// How a path is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// In its plain form: segments of letters, digits and punctuation that means nothing, `/` before each and perhaps
    /// behind the last. A byte that could not stand there by itself may be percent-encoded. All servers read it alike.
    /// This is the path, decoded, in lower case; a U+FFFD stands for each byte that is not ASCII.
    Plain(String),
    /// In another form: the paths that servers may take it for.
    Other(BTreeSet<String>),
    /// It holds a `..`, is too long or is encoded too often.
    Unreadable,
}

/// Reads a request's `:path`; the query is left out.
pub fn spelling(path: &[u8]) -> Spelling {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    if let Some(path) = plain(path) {
        return Spelling::Plain(path);
    }
    if path.len() > LONGEST {
        return Spelling::Unreadable;
    }
    all(path).map_or(Spelling::Unreadable, Spelling::Other)
}

/// A plain path without the extension of its last segment: `/hooks/pay` of `/hooks/pay.json`.
pub fn without_extension(path: &str) -> Option<&str> {
    let (stem, extension) = path.rsplit_once('.')?;
    (!extension.contains('/') && !stem.ends_with('/')).then_some(stem)
}

/// The path as a reading, if it is in its plain form.
fn plain(path: &[u8]) -> Option<String> {
    let behind = path.strip_prefix(b"/")?;
    if behind.is_empty() {
        return Some("/".to_owned());
    }
    let segments = behind.strip_suffix(b"/").unwrap_or(behind);
    let mut reading = String::with_capacity(path.len());
    for segment in segments.split(|byte| *byte == b'/') {
        reading.push('/');
        push(&mut reading, &plain_segment(segment).filter(|segment| !segment.is_empty())?);
    }
    Some(reading)
}

/// The bytes of a segment, if it can be read in one way only.
fn plain_segment(segment: &[u8]) -> Option<Vec<u8>> {
    let is_literal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(byte) || !byte.is_ascii();
    // What is encoded has to be: another byte means itself, and these mean something else to somebody.
    let is_encoded =
        |byte: &u8| !byte.is_ascii_alphanumeric() && !byte.is_ascii_control() && !b"-._~/\\%;?#".contains(byte);
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((first, behind)) = rest.split_first() {
        rest = if *first == b'%' {
            let (digits, behind) = behind.split_first_chunk::<2>()?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.push(*byte.first().filter(|byte| is_encoded(byte))?);
            behind
        } else {
            bytes.push(*Some(first).filter(|byte| is_literal(byte))?);
            behind
        };
    }
    let text = str::from_utf8(&bytes).ok()?;
    let is_trimmed = text.trim_matches(is_blank) == text && !text.ends_with('.');
    (is_trimmed && !text.chars().any(is_look_alike)).then_some(bytes)
}

/// All that servers may take a path for; `None` where that cannot be told.
fn all(path: &[u8]) -> Option<BTreeSet<String>> {
    let mut forms = vec![path.to_vec()];
    for round in 0..=ROUNDS {
        let decoded = forms.last().map(|last| decode(last)).unwrap_or_default();
        if forms.last() == Some(&decoded) {
            break;
        }
        if round == ROUNDS {
            return None;
        }
        forms.push(decoded);
    }
    let is_parent = |segment: &[u8]| trimmed(bare(segment)) == b".." || segment == b"..";
    let decoded = forms.last().map(Vec::as_slice).unwrap_or_default();
    if decoded.split(|byte| b"/\\?#\0".contains(byte)).any(is_parent) {
        return None;
    }
    let mut paths = BTreeSet::new();
    for form in &forms {
        let without_controls: Vec<u8> = form.iter().copied().filter(|byte| !b"\t\r\n".contains(byte)).collect();
        for form in [form, &without_controls] {
            for ends in [b"".as_slice(), b"#", b"?#", b"\0", b"?#\0"] {
                let path = form.split(|byte| ends.contains(byte)).next().unwrap_or_default();
                paths.extend([Some(path), behind_host(path)].into_iter().flatten().map(<[u8]>::to_vec));
            }
        }
    }
    let mut found = BTreeSet::from([String::from_utf8_lossy(path).to_ascii_lowercase()]);
    for path in &paths {
        read(path, b"/", &mut found);
        read(path, b"/\\", &mut found);
    }
    Some(found)
}

/// The reading that a guarded path's pattern is compared by; `None` for a pattern that is not in its plain form. Empty
/// segments are left out.
pub fn of_pattern(pattern: &str) -> Option<String> {
    let segments = pattern.split('/').filter(|segment| !segment.is_empty());
    let plain = segments.map(|segment| match segment.as_bytes() {
        capture @ [b'{', .., b'}'] => Some(capture.to_vec()),
        literal => plain_segment(literal),
    });
    let segments: Vec<Vec<u8>> = plain.collect::<Option<_>>()?;
    Some(joined(segments.iter().map(Vec::as_slice)))
}

/// What a server keeps of a segment.
type Way = fn(&[u8]) -> &[u8];

/// Adds the readings of a path that is split at these separators.
fn read(path: &[u8], separators: &[u8], found: &mut BTreeSet<String>) {
    let segments: Vec<Vec<u8>> = path.split(|byte| separators.contains(byte)).map(decode_all).collect();
    let ways: [Way; 4] = [
        |segment| segment,
        bare,
        |segment| trimmed(bare(segment)),
        // A segment of parameters or blanks alone is a segment all the same to a server that leaves neither out.
        |segment| Some(trimmed(bare(segment))).filter(|left| !left.is_empty()).unwrap_or(segment),
    ];
    for way in ways {
        let kept = || segments.iter().map(|segment| way(segment));
        found.insert(joined(kept().filter(|segment| !matches!(*segment, b"" | b"."))));
        found.insert(joined(kept().skip_while(|segment| segment.is_empty())));
    }
}

/// The path behind a host: of `//host/path`, and of `scheme://host/path`.
fn behind_host(path: &[u8]) -> Option<&[u8]> {
    let is_slash = |byte: &u8| b"/\\".contains(byte);
    let scheme = path.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    let path = path.get(scheme..).and_then(|rest| rest.strip_prefix(b":")).filter(|_| scheme > 0).unwrap_or(path);
    let slashes = path.iter().take_while(|byte| is_slash(byte)).count();
    let host = path.get(slashes..).filter(|_| slashes >= 2)?;
    Some(host.iter().position(is_slash).and_then(|end| host.get(end..)).unwrap_or_default())
}

/// Decodes `%61`, `%u0061`, overlong UTF-8 of ASCII, and full-width forms of ASCII.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let decoded: Vec<u8> = percent_decode(&without_u_escapes(bytes)).collect();
    let mut plain = Vec::with_capacity(decoded.len());
    let mut rest = decoded.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        rest = match rest {
            [lead @ 0xc0..=0xc1, next @ 0x80..=0xbf, behind @ ..] => {
                plain.push((lead & 1) << 6 | next & 0x3f);
                behind
            }
            [0xe0, lead @ 0x80..=0x81, next @ 0x80..=0xbf, behind @ ..] => {
                plain.push((lead & 1) << 6 | next & 0x3f);
                behind
            }
            // U+FF01 to U+FF5E are `!` to `~`.
            [0xef, lead @ 0xbc..=0xbd, next @ 0x80..=0xbf, behind @ ..] if is_wide(*lead, *next) => {
                plain.push(((lead & 1) << 6 | next & 0x3f) + 0x20);
                behind
            }
            _ => {
                plain.push(*first);
                behind
            }
        };
    }
    plain
}

fn is_wide(lead: u8, next: u8) -> bool {
    (0x01..=0x5e).contains(&((lead & 1) << 6 | next & 0x3f))
}

/// Decodes as often as it changes something, [`ROUNDS`] times at most.
fn decode_all(bytes: &[u8]) -> Vec<u8> {
    (0..ROUNDS).fold(bytes.to_vec(), |bytes, _| decode(&bytes))
}

/// Writes each `%uXXXX` as the bytes of UTF-8 that it stands for.
fn without_u_escapes(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        rest = match rest {
            [b'%', b'u' | b'U', a, b, c, d, behind @ ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                let digits = [*a, *b, *c, *d];
                let code = str::from_utf8(&digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let letter = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                behind
            }
            _ => {
                plain.push(*first);
                behind
            }
        };
    }
    plain
}

/// A segment without its `;parameters`.
fn bare(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}

/// A segment without blanks and control characters at its ends, and without dots behind it.
fn trimmed(segment: &[u8]) -> &[u8] {
    let Ok(text) = str::from_utf8(segment) else {
        return segment.trim_ascii();
    };
    let text = text.trim_matches(is_blank);
    // A segment of dots alone is a directory.
    if text.bytes().all(|byte| byte == b'.') {
        text.as_bytes()
    } else {
        text.trim_end_matches(|c| c == '.' || is_blank(c)).as_bytes()
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Says whether some server takes a letter for one of ASCII, or for none at all.
fn is_look_alike(c: char) -> bool {
    is_blank(c) && c != ' '
        || matches!(c, '\u{ff01}'..='\u{ff5e}' | '\u{2024}'..='\u{2026}' | '\u{2044}' | '\u{2215}' | '\u{29f5}' | '\u{fe68}')
}

/// The path of these segments.
fn joined<'a>(segments: impl Iterator<Item = &'a [u8]>) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        push(&mut path, segment);
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

/// Adds the bytes of a segment. A separator within it is a byte like any other.
fn push(text: &mut String, segment: &[u8]) {
    let letter = |byte: &u8| match byte {
        b'/' | 0x80.. => '\u{fffd}',
        byte => char::from(byte.to_ascii_lowercase()),
    };
    text.extend(segment.iter().map(letter));
}

#[cfg(test)]
mod tests;
