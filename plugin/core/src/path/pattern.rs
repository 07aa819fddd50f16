//! Path patterns as the config writes them.

use crate::json::quoted;

/// A pattern has at most this many segments: each is one level of recursion.
pub const SEGMENTS_MAX: usize = 32;

/// A path pattern: `/exact`, `/with/{captures}`, and a trailing `/**` for any further segments, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    pub(super) rest: bool,
    captures: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Capture,
}

impl PathPattern {
    /// Parses a pattern. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err("does not begin with '/'".to_owned());
        };
        if text.contains(['?', '#']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("holds '?', '#', white space or a control character".to_owned());
        }
        let mut pattern = Self { segments: Vec::new(), captures: Vec::new(), rest: false };
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment == "**" && segments.peek().is_none() {
                pattern.rest = true;
            } else {
                pattern.push(segment)?;
            }
        }
        if pattern.segments.len() > SEGMENTS_MAX {
            return Err(format!("has more than {SEGMENTS_MAX} segments"));
        }
        Ok(pattern)
    }

    /// The names of the captures, in the order of the path.
    pub fn captures(&self) -> &[String] {
        &self.captures
    }

    /// The pattern without its captures' names: patterns of one shape match the same paths.
    pub fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Capture => "{}",
            });
        }
        if self.rest {
            shape.push_str("/**");
        }
        shape
    }

    fn push(&mut self, segment: &str) -> Result<(), String> {
        let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
            if segment.contains(['{', '}', '*']) {
                return Err(format!(
                    "has the segment {}; a capture is a whole segment, '**' the last one",
                    quoted(segment)
                ));
            }
            self.segments.push(Segment::Literal(segment.to_owned()));
            return Ok(());
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return Err(format!("has the capture {}; a name holds letters, digits, '_' and '-'", quoted(segment)));
        }
        if self.captures.iter().any(|other| other == name) {
            return Err(format!("captures {{{name}}} twice"));
        }
        self.captures.push(name.to_owned());
        self.segments.push(Segment::Capture);
        Ok(())
    }
}
