//! Templates: text with placeholders that a request fills, such as `order.{event}`, `{header:x-tenant-id}` and
//! `{body:/event}`.

use std::fmt;

use crate::headers::{self, Headers};
use crate::json::{BodyFault, PointedAt, Pointer, quoted};

/// A template: text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    /// The number of a capture of the route's path.
    Capture(usize),
    /// A header's name in lower case.
    Header(String),
    Body(Pointer),
}

/// The parts of a request that fill a template.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What the captures of the route's path matched, in the order of the path.
    pub captures: &'a [String],
    /// The request's headers.
    pub headers: &'a Headers,
    /// The request's body.
    pub body: &'a [u8],
}

/// Why a template could not be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The request has no such header.
    Header(String),
    /// The header's value is not UTF-8.
    HeaderNotText(String),
    /// The body has nothing at the pointer, or null.
    Value(String),
    /// The body has an object or array at the pointer.
    NotScalar(String),
    /// The body is not JSON.
    Body(BodyFault),
    /// The path has fewer captures than the template was made for.
    Capture,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header {name} is absent"),
            Self::HeaderNotText(name) => write!(f, "the header {name} is not UTF-8"),
            Self::Value(pointer) => write!(f, "the body has no value at \"{pointer}\""),
            Self::NotScalar(pointer) => {
                write!(f, "the body has an object or array at \"{pointer}\"")
            }
            Self::Body(fault) => fault.fmt(f),
            Self::Capture => f.write_str("the path has no such segment"),
        }
    }
}

impl Template {
    /// Parses a template for a route whose path has these captures. The error says what is wrong, and quotes no more of
    /// the text than a placeholder.
    pub fn parse(text: &str, captures: &[String]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.find(['{', '}']).and_then(|at| rest.split_at_checked(at)) {
            if !literal.is_empty() {
                parts.push(TemplatePart::Literal(literal.to_owned()));
            }
            let Some(tail) = tail.strip_prefix('{') else {
                return Err("has a '}' without a '{'".to_owned());
            };
            let Some((placeholder, after)) = tail.split_once('}') else {
                return Err("has a '{' that is not closed".to_owned());
            };
            parts.push(TemplatePart::parse(placeholder, captures)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Literal(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Fills the template.
    pub fn render(&self, source: &Source<'_>) -> Result<String, Absent> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                TemplatePart::Literal(literal) => text.push_str(literal),
                TemplatePart::Capture(number) => {
                    text.push_str(source.captures.get(*number).ok_or(Absent::Capture)?);
                }
                TemplatePart::Header(name) => text.push_str(&header(name, source.headers)?),
                TemplatePart::Body(pointer) => text.push_str(&value(pointer, source.body)?),
            }
        }
        Ok(text)
    }

    /// Whether the template reads the body.
    pub fn reads_body(&self) -> bool {
        self.0.iter().any(|part| matches!(part, TemplatePart::Body(_)))
    }

    /// The names of the headers that fill the template, in lower case.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Header(name) => Some(name.as_str()),
            TemplatePart::Literal(_) | TemplatePart::Capture(_) | TemplatePart::Body(_) => None,
        })
    }

    /// The numbers of the captures that fill the template.
    pub fn captures(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Capture(number) => Some(*number),
            TemplatePart::Literal(_) | TemplatePart::Header(_) | TemplatePart::Body(_) => None,
        })
    }

    /// Whether the template is the same text for all requests.
    pub fn is_literal(&self) -> bool {
        self.0.iter().all(|part| matches!(part, TemplatePart::Literal(_)))
    }

    /// The literal parts, in order.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Literal(literal) => Some(literal.as_str()),
            TemplatePart::Capture(_) | TemplatePart::Header(_) | TemplatePart::Body(_) => None,
        })
    }
}

impl TemplatePart {
    fn parse(placeholder: &str, captures: &[String]) -> Result<Self, String> {
        match placeholder.split_once(':') {
            Some(("header", name)) if headers::is_name(name) => Ok(Self::Header(name.to_ascii_lowercase())),
            Some(("header", name)) => Err(format!("names {}, which is not a header name", quoted(name))),
            Some(("body", pointer)) => Pointer::parse(pointer)
                .map(Self::Body)
                .map_err(|reason| format!("has {{body:{pointer}}}, but {reason}")),
            Some((source, _)) => Err(format!("reads from {}, which is neither header nor body", quoted(source))),
            None => captures
                .iter()
                .position(|capture| capture == placeholder)
                .map(Self::Capture)
                .ok_or_else(|| format!("uses {{{placeholder}}}, which is not a segment of the route's path")),
        }
    }
}

fn header(name: &str, headers: &Headers) -> Result<String, Absent> {
    let value = headers.get(name).ok_or_else(|| Absent::Header(name.to_owned()))?;
    String::from_utf8(value.into_owned()).map_err(|_| Absent::HeaderNotText(name.to_owned()))
}

fn value(pointer: &Pointer, body: &[u8]) -> Result<String, Absent> {
    match pointer.read(body).map_err(Absent::Body)? {
        PointedAt::Scalar(text) => Ok(text),
        PointedAt::Nothing => Err(Absent::Value(pointer.to_string())),
        PointedAt::Composite => Err(Absent::NotScalar(pointer.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(text: &str, body: &[u8]) -> Result<String, Absent> {
        let captures = ["event".to_owned(), "id".to_owned()];
        let headers = Headers::new(&[("x-tenant", b"acme"), ("x-bytes", b"\xff")]);
        let source = Source { captures: &["paid".to_owned(), "7".to_owned()], headers: &headers, body };
        Template::parse(text, &captures).unwrap().render(&source)
    }

    #[test]
    fn captures_headers_and_body_values_fill_any_mix() {
        let body = br#"{"order":{"kind":"card"}}"#;
        assert_eq!(render("order.{event}", body).as_deref(), Ok("order.paid"));
        assert_eq!(render("{id}:{header:X-Tenant}-{body:/order/kind}!", body).as_deref(), Ok("7:acme-card!"));
        assert_eq!(render("plain", b"").as_deref(), Ok("plain"));
        assert_eq!(render("", b"").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_absent_is_named() {
        for (text, body, expected) in [
            ("{header:x-none}", "", "the header x-none is absent"),
            ("{header:x-bytes}", "", "the header x-bytes is not UTF-8"),
            ("{body:/a}", "{}", "the body has no value at \"/a\""),
            ("{body:/a}", "{\"a\":[]}", "the body has an object or array at \"/a\""),
            ("{body:/a}", "", "the body is empty where JSON is needed"),
            ("{body:/a}", "x", "the body is not JSON: expected value at line 1 column 1"),
        ] {
            let absent = render(text, body.as_bytes()).unwrap_err();
            assert_eq!(absent.to_string(), expected);
        }
    }

    #[test]
    fn a_template_that_can_never_be_filled_is_refused() {
        for text in
            ["{event", "event}", "{}", "{other}", "{query:x}", "{header:}", "{header:a b}", "{body:a}", "{{event}}"]
        {
            assert!(Template::parse(text, &["event".to_owned()]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_braces_is_itself(text in "[^{}]{0,40}") {
            prop_assert_eq!(render(&text, b""), Ok(text));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = Template::parse(&text, &[]);
        }
    }
}
