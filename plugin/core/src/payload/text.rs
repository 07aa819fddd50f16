//! The bytes of a JSON string as text, and text that is no JSON.

use std::borrow::Cow;

use super::REDACTED;
use super::detect::{Kinds, find, kinds};

/// What the inside of a valid JSON string stands for. A lone surrogate, which no text has, becomes U+FFFD.
pub(super) fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else { break };
        rest = after;
        text.push(match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let first = unit(&mut rest);
                let code = match (first, rest.strip_prefix(b"\\u")) {
                    (0xd800..=0xdbff, Some(mut low)) => match unit(&mut low) {
                        second @ 0xdc00..=0xdfff => {
                            rest = low;
                            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                        }
                        _ => first,
                    },
                    _ => first,
                };
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            same => *same,
        });
    }
    Cow::Owned(text)
}

/// Four hexadecimal digits.
fn unit(rest: &mut &[u8]) -> u32 {
    let (digits, after) = rest.split_at_checked(4).unwrap_or((b"", b""));
    *rest = after;
    digits.iter().fold(0, |unit, digit| unit << 4 | char::from(*digit).to_digit(16).unwrap_or_default())
}

/// Text in which every finding is replaced. What stood beside one may be found only then; that a third pass finds
/// something takes text that was made for it, and all of that goes.
pub(super) fn redacted(text: &[u8], wanted: Kinds) -> Vec<u8> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..3 {
        let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
        while let Some((_, place)) = find(&text, from, wanted) {
            out.extend_from_slice(text.get(from..place.start).unwrap_or_default());
            out.extend_from_slice(REDACTED.as_bytes());
            from = place.end;
        }
        if from == 0 {
            return text.into_owned();
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
        text = Cow::Owned(out);
    }
    if kinds(&text, wanted) == Kinds::NONE { text.into_owned() } else { REDACTED.as_bytes().to_vec() }
}
