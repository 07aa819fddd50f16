//! Printable text: a terminal, a log viewer or an editor shows each character of it as itself, and acts on none.
//!
//! Text that somebody else wrote may hold what they do act on: escape sequences, line ends, marks that turn the order of
//! what follows around, and characters of no width, which let two texts look alike.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Whether a character is shown as itself: it is neither a control character (C0, DEL, C1) nor one of the format
/// characters and separators in `UNSEEN`.
pub fn is_printable(character: char) -> bool {
    !character.is_control() && !UNSEEN.iter().any(|range| range.contains(&character))
}

/// Text in which each character that is not printable stands as its escape, `\u{202e}`. A line end is one of them, so
/// the text is one line.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |out, character| out.extend(character.escape_unicode()))
}

/// JSON in which each character of a string that is not printable stands as JSON's own escape, `\u202e`: a parser reads
/// the same value. The white space between values stays.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |out, character| match character {
        '\n' | '\r' | '\t' => out.push(character),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_printable(character) { out.push(character) } else { escape(&mut out, character) }
    }
    Cow::Owned(out)
}

/// The format characters (Unicode's category Cf) that a text in any script can do without, and the line and paragraph
/// separators: soft hyphen, joiners and other characters of no width, marks and overrides of direction, annotations,
/// tags. Of a word in Persian or an emoji of several people, the joiners stand as escapes.
const UNSEEN: [RangeInclusive<char>; 10] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{e0000}'..='\u{e007f}',
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character, and nothing that a terminal acts on is left.
    #[test]
    fn no_character_that_is_acted_on_is_left() {
        let acted_on = |character: char| {
            let code = u32::from(character);
            code < 0x20
                || (0x7f..=0x9f).contains(&code)
                || (0x202a..=0x202e).contains(&code)
                || (0x2066..=0x2069).contains(&code)
                || [0x61c, 0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff].contains(&code)
        };
        let all: String = ('\0'..=char::MAX).collect();
        assert!(!printable(&all).chars().any(acted_on));
        let json = serde_json::to_string(&all).unwrap();
        let shown = printable_json(&json);
        assert!(!shown.chars().any(acted_on));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), all, "a parser reads the same");
    }

    #[test]
    fn what_is_printable_stays_as_it_is() {
        for text in ["", "a \"b\" \\ c", "größer ≥ 95 %", "日本語 العربية עברית 😀", "e\u{301}"] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{202e}"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}");
        assert_eq!(printable_json("{\n  \"a\": \"\u{9b}\u{e0041}\"\n}"), "{\n  \"a\": \"\\u009b\\udb40\\udc41\"\n}");
    }
}
