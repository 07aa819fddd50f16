//! Text of others in a report: shown as it is, and never read as Markdown or HTML.
//!
//! One function for each place: [`Markdown`] for a paragraph, a heading, a list and a cell of a table, which askama applies
//! to all that `evidence.md` shows; [`code_span`] for a code span outside of tables; [`block_line`] for a line of a fenced
//! block; [`svg`] for the picture, where askama escapes what XML reads. All of them escape what is not printable first.

use std::borrow::Cow;
use std::fmt::{Result, Write};

use askama::filters::Escaper;
use gatepost_core::printable::printable;

/// Escapes text for a paragraph, a heading, an item of a list or a cell of a table in Markdown (CommonMark and GitHub's).
/// What it is applied to never begins a line. A bare URL may become a link, which shows where it leads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Markdown;

impl Escaper for Markdown {
    fn write_escaped_str<W: Write>(&self, mut out: W, text: &str) -> Result {
        let text = printable(text);
        let mut before = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            // Within a word an underline is one: payment_verified stays readable.
            let is_inner = |other: Option<&char>| other.is_some_and(|other| other.is_ascii_alphanumeric());
            let is_read = match character {
                '_' => !(is_inner(before.as_ref()) && is_inner(characters.peek())),
                _ => READ.contains(character),
            };
            if is_read {
                out.write_char('\\')?;
            }
            out.write_char(character)?;
            before = Some(character);
        }
        Ok(())
    }
}

/// What begins something in the midst of a line: escapes, code, emphasis, links, HTML, cells, strikes, entities, formulas, footnotes.
const READ: &str = "\\`*[]<|~&$^";

/// A code span outside of tables. Nothing within it is an escape; its fence is longer than any that the text has.
pub(super) fn code_span(text: &str) -> String {
    let text = printable(text);
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    // A space at both ends is taken off again, and without text there is no span.
    let is_padded = text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let pad = if is_padded { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text within a line of a fenced block that has something of ours before it: no fence can begin there.
pub(super) fn block_line(text: &str) -> Cow<'_, str> {
    printable(text)
}

/// Text of a picture, before it is escaped as XML: that knows no control characters at all.
pub(super) fn svg(text: &str) -> Cow<'_, str> {
    printable(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        Markdown.write_escaped_str(&mut out, text).unwrap();
        out
    }

    /// What a reader of Markdown shows of a document, and all that it found besides text in `places`.
    fn read(document: &str) -> (String, Vec<String>) {
        let (mut shown, mut found) = (String::new(), Vec::new());
        for event in Parser::new_ext(document, Options::all()) {
            match event {
                Event::Text(text) => shown.push_str(&text),
                Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::List(_) | Tag::Item) | Event::End(_) => {}
                Event::Start(Tag::Table(_) | Tag::TableHead | Tag::TableRow) => {}
                Event::Start(Tag::TableCell) => shown.push('\u{1}'),
                other => found.push(format!("{other:?}")),
            }
        }
        (shown, found)
    }

    /// Quotes and dashes as their readers set them, white space at the ends and in runs.
    fn flat(text: &str) -> String {
        let straight = |character| match character {
            '‘' | '’' => '\'',
            '“' | '”' => '"',
            '–' | '—' => '-',
            other => other,
        };
        let text = text.replace('…', "...").replace("---", "-").replace("--", "-");
        text.chars().map(straight).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn hostile() -> impl Strategy<Value = String> {
        const PARTS: &[&str] = &[
            "|",
            "\\",
            "`",
            "``",
            "*",
            "**",
            "_",
            "__",
            "[a](javascript:1)",
            "![x](http://x/)",
            "[^1]",
            "[[w]]",
            "<b>",
            "<!--",
            "<script>",
            "&lt;",
            "&#60;",
            "~~",
            "$",
            "$$",
            "# ",
            "\n",
            "\r\n",
            "\n\n# x",
            "\n|a|b|\n|-|-|\n",
            "\n```\n",
            "\u{1b}[2J",
            "\u{202e}",
            "\u{85}",
            "\u{2028}",
            "a",
            "payment_verified",
            " ",
            "::: x",
            "{#id}",
            "> ",
            "^a^",
            "||",
            "é",
            "-",
            "1. ",
            "<http://x/>",
            "]",
            "[",
            "](",
        ];
        prop::collection::vec(prop::sample::select(PARTS), 0..12).prop_map(|parts| parts.concat())
    }

    fn is_shown_as_it_is(text: &str) -> std::result::Result<(), TestCaseError> {
        let due = flat(&printable(text));
        let (cell, span) = (escaped(text), code_span(text));
        for document in [format!("Said: {cell}.\n"), format!("### x {cell} at y\n"), format!("- **No** {cell}: x\n")] {
            let (shown, found) = read(&document);
            let others: Vec<_> = found.iter().filter(|one| !one.contains("Strong")).collect();
            prop_assert!(others.is_empty(), "{document:?}: {others:?}");
            prop_assert!(flat(&shown).contains(&due), "{document:?}: {shown:?}, not {due:?}");
        }
        let (shown, found) = read(&format!("| a | b |\n|---|---|\n| {cell} | z |\n"));
        prop_assert!(found.is_empty(), "{cell:?}: {found:?}");
        let cells: Vec<String> = shown.split('\u{1}').skip(1).map(flat).collect();
        prop_assert_eq!(cells, ["a", "b", due.as_str(), "z"]);
        // A code span shows its text without a change.
        let document = format!("x {span} y\n");
        let code = Parser::new_ext(&document, Options::all()).filter_map(|event| match event {
            Event::Code(code) => Some(code.trim().to_owned()),
            _ => None,
        });
        let due = printable(text).trim().to_owned();
        prop_assert_eq!(code.collect::<Vec<_>>(), [due]);
        let acted_on = ['\n', '\r', '\u{1b}', '\u{202e}', '\u{85}', '\u{2028}'];
        let is_plain = ![cell, span].concat().contains(acted_on);
        prop_assert!(is_plain);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn text_is_shown_and_read_as_nothing_else(text in hostile()) {
            is_shown_as_it_is(&text)?;
        }

        #[test]
        fn any_text_is_shown_and_read_as_nothing_else(text in "\\PC{0,20}|.{0,20}") {
            is_shown_as_it_is(&text)?;
        }
    }

    #[test]
    fn what_needs_no_escape_stays_readable() {
        for text in ["100.00 % (25 of 25 deliveries)", "http://10.0.0.1:10001/gatepost", "payment_verified", "a-b+c!"] {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(escaped("a|b\n<c>"), "a\\|b\\\\u{a}\\<c>");
        assert_eq!(code_span("a`b"), "``a`b``");
    }
}
