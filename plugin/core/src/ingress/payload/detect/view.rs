//! Views of a text: the same text as different readers see it. A detector knows ASCII, and looks at each view.
//!
//! Every view is folded: blanks, dashes, dots and digits that Unicode has besides those of ASCII, and the full-width
//! forms, are what they look like; what has no width is gone. A text that holds `%40` is looked at without its
//! percent-encoding, and without that of what then stands there; one that holds a `+` between other characters also with
//! blanks for these, as a form writes them.

use std::borrow::Cow;
use std::ops::Range;

use super::{DataKind, DataKinds};

/// A view of a text.
pub(super) struct View<'a> {
    /// The bytes that the detectors look at.
    pub bytes: Cow<'a, [u8]>,
    /// Where each byte begins in the text, and where the last one ends; empty: each stands in its place.
    origins: Vec<u32>,
    /// The kinds that may be looked for in this view.
    pub kinds: DataKinds,
}

impl View<'_> {
    /// Where a stretch of the view stands in the text.
    pub fn origin(&self, place: Range<usize>) -> Range<usize> {
        let of = |at: usize| self.origins.get(at).map_or(at, |origin| *origin as usize);
        of(place.start)..of(place.end)
    }
}

/// How many times percent-encoding is undone.
const DECODINGS_MAX: usize = 2;

/// Hands each view of a text to `look`, the plainest first.
pub(super) fn views(text: &[u8], wanted: DataKinds, look: &mut dyn FnMut(&View<'_>)) {
    let plain = View { bytes: Cow::Borrowed(text), origins: Vec::new(), kinds: wanted };
    decoded(&plain, look);
    if let Some(spaced) = spaced(&plain) {
        decoded(&spaced, look);
    }
}

/// Hands the views of a text without its percent-encoding to `look`; of a text that has none, the text itself. With its
/// encoding a text is not looked at: in `%201.2.3.4` stands no address that begins with 201.
fn decoded(view: &View<'_>, look: &mut dyn FnMut(&View<'_>)) {
    if !has_code(&view.bytes) {
        return look(&fold(view));
    }
    let mut plain = decode(view);
    for left in (0..DECODINGS_MAX).rev() {
        look(&fold(&plain));
        if left == 0 || !has_code(&plain.bytes) {
            return;
        }
        plain = decode(&plain);
    }
}

/// The bytes of a key as they look.
pub(in super::super) fn folded(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let plain = View { bytes: Cow::Borrowed(text), origins: Vec::new(), kinds: DataKinds::NONE };
    Cow::Owned(fold(&plain).bytes.into_owned())
}

/// A view that is made of another one, byte by byte.
struct Builder<'v> {
    of: &'v View<'v>,
    bytes: Vec<u8>,
    origins: Vec<u32>,
}

impl<'v> Builder<'v> {
    fn new(of: &'v View<'_>) -> Self {
        let length = of.bytes.len();
        Self { of, bytes: Vec::with_capacity(length), origins: Vec::with_capacity(length + 1) }
    }

    /// Adds bytes that stand at this place of the other view and behind it.
    fn push(&mut self, at: usize, bytes: &[u8]) {
        for (number, byte) in bytes.iter().enumerate() {
            self.bytes.push(*byte);
            self.note(at + number);
        }
    }

    fn note(&mut self, at: usize) {
        self.origins.push(u32::try_from(self.of.origin(at..at).start).unwrap_or(u32::MAX));
    }

    fn build<'a>(mut self) -> View<'a> {
        self.note(self.of.bytes.len());
        View { bytes: Cow::Owned(self.bytes), origins: self.origins, kinds: self.of.kinds }
    }
}

fn has_code(text: &[u8]) -> bool {
    text.windows(3).any(|window| window.first() == Some(&b'%') && code(window).is_some())
}

/// The byte that a percent-encoded one at the beginning stands for.
fn code(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    match text.first() {
        Some(b'%') => u8::try_from(digit(1)? * 16 + digit(2)?).ok(),
        _ => None,
    }
}

/// The view without its percent-encoding.
fn decode<'a>(view: &View<'_>) -> View<'a> {
    let mut builder = Builder::new(view);
    let mut at = 0;
    while let Some(byte) = view.bytes.get(at) {
        let code = code(view.bytes.get(at..).unwrap_or_default());
        builder.push(at, &[code.unwrap_or(*byte)]);
        at += if code.is_some() { 3 } else { 1 };
    }
    builder.build()
}

/// The view with a blank for each `+` that stands between other characters; `None`: there is none. In a text that is no
/// form, `+` is more often a sign than a blank: there only what has blanks of its own is looked for.
fn spaced<'a>(view: &View<'a>) -> Option<View<'a>> {
    let text = &view.bytes;
    let is_blank = |window: &[u8]| match window {
        [before, b'+', after] => *before > b' ' && *after > b' ',
        _ => false,
    };
    if !text.windows(3).any(is_blank) {
        return None;
    }
    let mut bytes = text.to_vec();
    for (byte, window) in bytes.iter_mut().skip(1).zip(text.windows(3)) {
        if is_blank(window) {
            *byte = b' ';
        }
    }
    let is_form = text.contains(&b'=') && !text.iter().any(u8::is_ascii_whitespace);
    let kinds = [DataKind::Email, DataKind::Ipv4, DataKind::Ipv6].into_iter();
    let kinds = if is_form { view.kinds } else { kinds.fold(view.kinds, DataKinds::without) };
    Some(View { bytes: Cow::Owned(bytes), origins: view.origins.clone(), kinds })
}

/// The view as it looks.
fn fold<'a>(view: &'a View<'_>) -> View<'a> {
    if view.bytes.is_ascii() {
        return View { bytes: Cow::Borrowed(&view.bytes), origins: view.origins.clone(), kinds: view.kinds };
    }
    let mut builder = Builder::new(view);
    let mut at = 0;
    for chunk in view.bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match look_of(letter) {
                Look::Itself => builder.push(at, letter.encode_utf8(&mut [0; 4]).as_bytes()),
                Look::Of(byte) => builder.push(at, &[byte]),
                Look::Nothing => {}
            }
            at += letter.len_utf8();
        }
        builder.push(at, chunk.invalid());
        at += chunk.invalid().len();
    }
    builder.build()
}

/// How a character looks.
enum Look {
    Itself,
    Of(u8),
    Nothing,
}

fn look_of(letter: char) -> Look {
    let code = u32::from(letter);
    let digit = DIGITS.iter().find_map(|zero| code.checked_sub(*zero).filter(|digit| *digit < 10));
    if let Some(digit) = digit.and_then(|digit| u8::try_from(digit).ok()) {
        return Look::Of(b'0' + digit);
    }
    match code {
        0..=0x7f => Look::Itself,
        // No width: soft hyphen, joiners, marks of direction, the byte order mark, selectors of variants.
        0xad
        | 0x34f
        | 0x61c
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2069
        | 0xfe00..=0xfe0f
        | 0xfeff => Look::Nothing,
        // Blanks: no-break, narrow, figure and the others of general category Zs.
        0xa0 | 0x1680 | 0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000 => Look::Of(b' '),
        // Dashes: hyphen, no-break hyphen, figure dash, en and em dash, bar, minus, small and full-width ones.
        0x2010..=0x2015 | 0x2043 | 0x2212 | 0xfe58 | 0xfe63 | 0x30fc | 0xff70 => Look::Of(b'-'),
        // Dots: leader, ideographic, small and half-width ones.
        0x2024 | 0x3002 | 0xfe52 | 0xff61 => Look::Of(b'.'),
        0x2044 | 0x2215 => Look::Of(b'/'),
        0xfe55 | 0x2236 => Look::Of(b':'),
        0xfe59 => Look::Of(b'('),
        0xfe5a => Look::Of(b')'),
        0xfe62 => Look::Of(b'+'),
        0xfe6b => Look::Of(b'@'),
        // The full-width forms stand in the order of ASCII.
        0xff01..=0xff5e => u8::try_from(code - 0xff01 + 0x21).map_or(Look::Itself, Look::Of),
        _ => Look::Itself,
    }
}

/// The zeros of the decimal digits of Unicode (general category Nd) that are in use with numbers: Arabic, Persian,
/// Devanagari and its neighbours, Thai, Lao, Tibetan, Myanmar, Khmer, Mongolian, and the mathematical ones.
const DIGITS: [u32; 25] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x17e0, 0x1810, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The views of a text, with the place in it of what stands between angle brackets.
    fn seen(text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        views(text.as_bytes(), DataKinds::NONE, &mut |view| {
            seen.push(String::from_utf8_lossy(&view.bytes).into_owned())
        });
        seen
    }

    #[test]
    fn a_plain_text_has_one_view() {
        for text in ["", "a b", "100%", "a%zz", "+1 415", "a +", "é"] {
            assert_eq!(seen(text), [text]);
        }
    }

    #[test]
    fn what_only_looks_different_is_folded() {
        assert_eq!(seen("４１５\u{a0}５５５\u{2011}２６７１"), ["415 555-2671"]);
        assert_eq!(seen("b\u{200b}ob＠example．com"), ["bob@example.com"]);
        assert_eq!(seen("+٤٤\u{202f}۲۰\u{2007}\u{966}\u{2013}x\u{202c}"), ["+44 20 0-x"]);
    }

    #[test]
    fn percent_encoding_is_undone_twice() {
        assert_eq!(seen("a%40b%2Ec"), ["a@b.c"]);
        assert_eq!(seen("a%2540b"), ["a%40b", "a@b"]);
        assert_eq!(seen("a%252540b"), ["a%2540b", "a%40b"]);
        assert_eq!(seen("a%C2%A0b"), ["a b"]);
    }

    #[test]
    fn a_plus_may_be_a_blank() {
        assert_eq!(seen("a+b"), ["a+b", "a b"]);
        assert_eq!(seen("=%2B1+4"), ["=+1+4", "=+1 4"]);
    }

    #[test]
    fn a_place_in_a_view_is_one_in_the_text() {
        let text = "é%2Bx\u{a0}%C2%A0y+z";
        views(text.as_bytes(), DataKinds::NONE, &mut |view| {
            for (at, byte) in view.bytes.iter().enumerate().filter(|(_, byte)| b"xyz".contains(byte)) {
                assert_eq!(&text.as_bytes()[view.origin(at..at + 1)], &[*byte]);
            }
            assert_eq!(view.origin(view.bytes.len()..view.bytes.len()).start, text.len());
        });
    }
}
