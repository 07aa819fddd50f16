//! A JSON text as other programs would write it again: the same values, other bytes.

use std::fmt;
use std::fmt::Write;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The JSON text in the styles that are usual, each with the name of what writes it so. None when it is not JSON.
pub(super) fn styles(json: &str) -> Vec<(&'static str, String)> {
    let Some(tree) = Json::read(json, 0) else { return Vec::new() };
    STYLES
        .into_iter()
        .map(|(name, style)| {
            let mut text = String::with_capacity(json.len());
            style.write(&tree, 0, &mut text);
            (name, text)
        })
        .collect()
}

/// How a program writes JSON.
#[derive(Clone, Copy)]
struct Style {
    /// Between items, where they stand in one line.
    item: &'static str,
    key: &'static str,
    indent: &'static str,
    sorted: bool,
    strings: Strings,
    /// Numbers as JavaScript writes them: 1.0 is 1.
    short_numbers: bool,
}

/// How strings are escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strings {
    /// As they are in the text.
    Kept,
    /// Only what must be.
    Least,
    /// All but ASCII, as Python does.
    Ascii,
    /// As `Ascii`, and slashes, as PHP does.
    Slashes,
    /// `<`, `>` and `&`, as Go does.
    Html,
}

const COMPACT: Style =
    Style { item: ",", key: ":", indent: "", sorted: false, strings: Strings::Kept, short_numbers: false };
const SPACED: Style = Style { item: ", ", key: ": ", ..COMPACT };

const STYLES: [(&str, Style); 16] = [
    ("compact, without spaces", COMPACT),
    ("compact, as JSON.stringify does", Style { strings: Strings::Least, short_numbers: true, ..COMPACT }),
    ("with spaces, as Python's json.dumps does", Style { strings: Strings::Ascii, ..SPACED }),
    ("with spaces", SPACED),
    ("with spaces and unescaped", Style { strings: Strings::Least, ..SPACED }),
    ("compact, with non-ASCII escaped", Style { strings: Strings::Ascii, ..COMPACT }),
    ("compact, with slashes escaped, as PHP's json_encode does", Style { strings: Strings::Slashes, ..COMPACT }),
    ("compact, with keys sorted, as Go's json.Marshal does", Style { strings: Strings::Html, sorted: true, ..COMPACT }),
    ("compact, with keys sorted", Style { sorted: true, ..COMPACT }),
    ("compact, with keys sorted and unescaped", Style { strings: Strings::Least, sorted: true, ..COMPACT }),
    ("with spaces and keys sorted", Style { sorted: true, ..SPACED }),
    ("with spaces and keys sorted, escaped", Style { sorted: true, strings: Strings::Ascii, ..SPACED }),
    ("indented by two spaces", Style { indent: "  ", key: ": ", ..COMPACT }),
    ("indented by four spaces", Style { indent: "    ", key: ": ", ..COMPACT }),
    ("indented by a tab", Style { indent: "\t", key: ": ", ..COMPACT }),
    ("indented by two spaces, with keys sorted", Style { indent: "  ", key: ": ", sorted: true, ..COMPACT }),
];

impl Style {
    fn write(self, node: &Json<'_>, depth: usize, out: &mut String) {
        match node {
            Json::Number(text) => out.push_str(&self.number(text)),
            Json::Word(text) => out.push_str(text),
            Json::String(text) => self.string(text, out),
            Json::Array(items) => self.list('[', ']', items, depth, out, |item, out| self.write(item, depth + 1, out)),
            Json::Object(members) => {
                let mut members: Vec<&(&str, Json<'_>)> = members.iter().collect();
                if self.sorted {
                    members.sort_by_cached_key(|(key, _)| serde_json::from_str::<String>(key).unwrap_or_default());
                }
                self.list('{', '}', &members, depth, out, |(key, value), out| {
                    self.string(key, out);
                    out.push_str(self.key);
                    self.write(value, depth + 1, out);
                });
            }
        }
    }

    fn list<T>(
        self,
        open: char,
        close: char,
        items: &[T],
        depth: usize,
        out: &mut String,
        one: impl Fn(&T, &mut String),
    ) {
        let line = |depth: usize, out: &mut String| {
            if !self.indent.is_empty() && !items.is_empty() {
                out.push('\n');
                out.push_str(&self.indent.repeat(depth));
            }
        };
        out.push(open);
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                out.push_str(self.item);
            }
            line(depth + 1, out);
            one(item, out);
        }
        line(depth, out);
        out.push(close);
    }

    fn number(self, text: &str) -> String {
        let whole = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
        match whole {
            Some(number) if self.short_numbers => format!("{number:.0}"),
            _ => text.to_owned(),
        }
    }

    /// Writes a string that is given as a JSON token.
    fn string(self, token: &str, out: &mut String) {
        let Ok(text) = serde_json::from_str::<String>(token) else { return out.push_str(token) };
        if self.strings == Strings::Kept {
            return out.push_str(token);
        }
        let token = serde_json::to_string(&text).unwrap_or_default();
        for character in token.chars() {
            let escaped = match self.strings {
                Strings::Ascii => !character.is_ascii(),
                Strings::Slashes => {
                    if character == '/' {
                        out.push('\\');
                    }
                    !character.is_ascii()
                }
                Strings::Html => matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
                Strings::Kept | Strings::Least => false,
            };
            if !escaped {
                out.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A String takes everything.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

/// A JSON value whose scalars are as they are in the text, and whose members are in their order.
enum Json<'a> {
    Number(&'a str),
    /// true, false, null.
    Word(&'a str),
    String(&'a str),
    Array(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    fn read(text: &'a str, depth: usize) -> Option<Self> {
        if depth > DEEPEST {
            return None;
        }
        let text = serde_json::from_str::<&RawValue>(text).ok()?.get();
        let below = |raw: &'a RawValue| Self::read(raw.get(), depth + 1);
        Some(match text.bytes().next()? {
            b'{' => {
                let Members(members) = serde_json::from_str(text).ok()?;
                let members = members.into_iter().map(|(key, value)| Some((key.get(), below(value)?)));
                Self::Object(members.collect::<Option<_>>()?)
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Self::Array(items.into_iter().map(below).collect::<Option<_>>()?)
            }
            b'"' => Self::String(text),
            b't' | b'f' | b'n' => Self::Word(text),
            _ => Self::Number(text),
        })
    }
}

/// Each level is read once for each level above it.
const DEEPEST: usize = 64;

/// The members of an object, each key as a token.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(json: &str, written: &str) -> bool {
        styles(json).iter().any(|(_, text)| text == written)
    }

    #[test]
    fn json_is_written_as_other_programs_do() {
        let json = r#"{"b": [1.0, {}], "a": "\u00e4/<ü", "n": null, "e": []}"#;
        for written in [
            r#"{"b":[1.0,{}],"a":"\u00e4/<ü","n":null,"e":[]}"#,
            r#"{"b":[1,{}],"a":"ä/<ü","n":null,"e":[]}"#,
            r#"{"b": [1.0, {}], "a": "\u00e4/<\u00fc", "n": null, "e": []}"#,
            r#"{"b":[1.0,{}],"a":"\u00e4\/<\u00fc","n":null,"e":[]}"#,
            r#"{"a":"ä/\u003cü","b":[1.0,{}],"e":[],"n":null}"#,
            "{\n  \"b\": [\n    1.0,\n    {}\n  ],\n  \"a\": \"\\u00e4/<ü\",\n  \"n\": null,\n  \"e\": []\n}",
        ] {
            assert!(has(json, written), "{written}");
        }
    }

    #[test]
    fn what_is_not_json_or_too_deep_has_no_style() {
        assert!(styles("{,}").is_empty() && styles("").is_empty());
        assert!(styles(&("[".repeat(100) + &"]".repeat(100))).is_empty());
    }
}
