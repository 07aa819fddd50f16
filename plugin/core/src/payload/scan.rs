//! The walk over a payload.

use super::detect::{Kinds, kinds};
use super::text::{redacted, unescaped};
use super::{Action, Findings, Inspected, Kind, POINTER_BYTES_MAX, REDACTED, Rules, is_version_key};
use crate::json::{self, POINTER_TOKENS_MAX};

/// Looks through a payload. `is_envelope`: it is one of ours, with the producer's body under `data` and its metadata
/// beside it; the event type is a name, and not looked at.
pub fn inspect(rules: &Rules, payload: &[u8], is_envelope: bool) -> Inspected {
    // A byte order mark is no JSON, and yet many parsers take it.
    let json = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    if is_envelope || json::check(json).is_ok() {
        return Walk::new(rules, payload, payload.len() - json.len(), is_envelope).run();
    }
    let mut findings = Findings::default();
    let kinds = kinds(payload, rules.detect);
    note_string(&mut findings, kinds, rules.ids_only && is_something(payload), false, &String::new);
    let is_redacted = rules.action == Action::Redact && findings.total() > 0;
    let redacted = is_redacted
        .then(|| if rules.ids_only { REDACTED.as_bytes().to_vec() } else { redacted(payload, rules.detect) });
    Inspected { findings, redacted }
}

/// Notes what was found in a string: once each kind, and that it may not be there if nothing else is wrong with it.
fn note_string(
    findings: &mut Findings,
    kinds: Kinds,
    is_misplaced: bool,
    in_metadata: bool,
    pointer: &dyn Fn() -> String,
) -> bool {
    let kinds = if is_misplaced && kinds == Kinds::NONE { Kinds::NONE.with(Kind::String) } else { kinds };
    for kind in Kind::ALL {
        if kinds.has(kind) {
            findings.note(kind, in_metadata, pointer);
        }
    }
    kinds != Kinds::NONE
}

/// An empty string tells nothing, and neither does what was redacted already.
fn is_something(text: &[u8]) -> bool {
    !text.is_empty() && text != REDACTED.as_bytes()
}

/// What is known of a value before it is read, and of a container while it is open.
#[derive(Clone, Copy, Default)]
struct Context(u8);

impl Context {
    /// The container is an object.
    const OBJECT: u8 = 1;
    /// The nearest key is one of `allow`.
    const ALLOWED: u8 = 2;
    /// The nearest key says that its value is a version.
    const VERSION: u8 = 4;

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// The way from a container to the value that is read.
#[derive(Clone, Copy)]
enum Step {
    Item(usize),
    /// A key: where it begins and ends.
    Key(usize, usize),
    /// A key that is itself personal data.
    Masked,
}

struct Walk<'a> {
    rules: &'a Rules,
    bytes: &'a [u8],
    at: usize,
    is_envelope: bool,
    in_metadata: bool,
    /// The containers that are open.
    levels: Vec<Context>,
    /// The steps from the outermost of them.
    path: Vec<Step>,
    /// The next string is a key.
    expects_key: bool,
    /// That of the next value.
    context: Context,
    findings: Findings,
    /// What was written so far, up to `copied`.
    out: Vec<u8>,
    copied: usize,
    masked_keys: u32,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a Rules, bytes: &'a [u8], at: usize, is_envelope: bool) -> Self {
        Self {
            rules,
            bytes,
            at,
            is_envelope,
            in_metadata: false,
            levels: Vec::new(),
            path: Vec::new(),
            expects_key: false,
            context: Context::default(),
            findings: Findings::default(),
            out: Vec::new(),
            copied: 0,
            masked_keys: 0,
        }
    }

    /// The payload is known to be JSON: each byte outside of a string says what it is.
    fn run(mut self) -> Inspected {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'{' | b'[' => self.open(*byte == b'{'),
                b'}' | b']' => self.close(),
                b',' => self.next(),
                b'"' => self.string(),
                _ => {}
            }
            self.at += 1;
        }
        let redacted = (self.copied > 0).then(|| {
            self.out.extend_from_slice(self.bytes.get(self.copied..).unwrap_or_default());
            self.out
        });
        Inspected { findings: self.findings, redacted }
    }

    fn open(&mut self, is_object: bool) {
        let kind = if is_object { Context::OBJECT } else { 0 };
        self.levels.push(Context(self.context.0 & !Context::OBJECT | kind));
        // One more than a pointer has: the first of an envelope is not shown.
        if self.levels.len() <= POINTER_TOKENS_MAX + 1 {
            self.path.push(Step::Item(0));
        }
        self.expects_key = is_object;
    }

    fn close(&mut self) {
        if self.levels.len() == self.path.len() {
            self.path.pop();
        }
        self.levels.pop();
        self.expects_key = false;
    }

    /// An item or member follows.
    fn next(&mut self) {
        let level = self.levels.last().copied().unwrap_or_default();
        self.expects_key = level.has(Context::OBJECT);
        self.context = level;
        if let Some(Step::Item(number)) = self.step() {
            *number += 1;
        }
    }

    /// The step in the innermost container, if pointers go that far.
    fn step(&mut self) -> Option<&mut Step> {
        if self.levels.len() == self.path.len() { self.path.last_mut() } else { None }
    }

    /// A string begins here; afterwards `at` is its last byte.
    fn string(&mut self) {
        let start = self.at;
        self.at = self.string_end(start);
        let raw = self.bytes.get(start + 1..self.at).unwrap_or_default();
        let text = unescaped(raw);
        if !self.expects_key {
            return self.value(start, &text);
        }
        self.expects_key = false;
        if self.is_envelope && self.levels.len() == 1 {
            self.in_metadata = &*text == b"metadata";
            self.context = Context::default();
            if &*text == b"event" {
                self.at = self.value_end().saturating_sub(1);
            }
            return;
        }
        self.key(start, &text);
    }

    fn key(&mut self, start: usize, text: &[u8]) {
        let found = kinds(text, self.rules.detect);
        let is_masked = found != Kinds::NONE;
        let place = if is_masked { Step::Masked } else { Step::Key(start + 1, self.at) };
        if let Some(step) = self.step() {
            *step = place;
        }
        let is_allowed = self.rules.ids_only && !is_masked && self.rules.allows(text);
        let (allowed, version) = (u8::from(is_allowed) * Context::ALLOWED, u8::from(is_version_key(text)));
        self.context = Context(allowed | (version * Context::VERSION));
        if is_masked {
            self.note(found, false);
            self.masked_keys += 1;
            // Two keys that are the same would be one to a receiver.
            let key = match self.masked_keys {
                1 => ["\"", REDACTED, "\""].concat(),
                number => ["\"", REDACTED, " ", itoa::Buffer::new().format(number), "\""].concat(),
            };
            self.replace(start, self.at + 1, key.as_bytes());
        }
        if self.rules.deny_keys.has(text) {
            self.denied();
        }
    }

    /// The key that was just read is denied, and all of its value with it.
    fn denied(&mut self) {
        let key_end = self.at + 1;
        let end = self.value_end();
        let between = self.bytes.get(key_end..end).unwrap_or_default();
        let start = key_end + between.iter().take_while(|byte| b" \t\r\n:".contains(byte)).count();
        let value = self.bytes.get(start..end).unwrap_or_default();
        if value != QUOTED {
            self.note(Kinds::NONE.with(Kind::Key), false);
            self.replace(start, end, QUOTED);
        }
        self.at = end.saturating_sub(1);
    }

    fn value(&mut self, start: usize, text: &[u8]) {
        let context = self.context;
        let wanted =
            if context.has(Context::VERSION) { self.rules.detect.without(Kind::Ipv4) } else { self.rules.detect };
        let is_misplaced = self.rules.ids_only && !context.has(Context::ALLOWED) && is_something(text);
        if self.note(kinds(text, wanted), is_misplaced) {
            self.replace(start, self.at + 1, QUOTED);
        }
    }

    fn note(&mut self, kinds: Kinds, is_misplaced: bool) -> bool {
        let mut findings = std::mem::take(&mut self.findings);
        let is_found = note_string(&mut findings, kinds, is_misplaced, self.in_metadata, &|| self.pointer());
        self.findings = findings;
        is_found
    }

    fn replace(&mut self, start: usize, end: usize, with: &[u8]) {
        if self.rules.action == Action::Redact {
            self.out.extend_from_slice(self.bytes.get(self.copied..start).unwrap_or_default());
            self.out.extend_from_slice(with);
            self.copied = end;
        }
    }

    /// The quote that ends the string that begins here.
    fn string_end(&self, start: usize) -> usize {
        let mut at = start + 1;
        loop {
            match self.bytes.get(at) {
                Some(b'\\') => at += 2,
                Some(b'"') | None => return at,
                Some(_) => at += 1,
            }
        }
    }

    /// Where the value ends whose key ends here.
    fn value_end(&self) -> usize {
        let (mut at, mut depth) = (self.at + 1, 0usize);
        loop {
            match self.bytes.get(at) {
                Some(b'{' | b'[') => depth += 1,
                Some(b',' | b'}' | b']') | None if depth == 0 => break,
                Some(b'}' | b']') => depth -= 1,
                Some(b'"') => at = self.string_end(at),
                Some(_) => {}
                None => break,
            }
            at += 1;
        }
        let value = self.bytes.get(..at).unwrap_or_default();
        at - value.iter().rev().take_while(|byte| b" \t\r\n".contains(byte)).count()
    }

    /// From the producer's own body, or the metadata, to where the walk is.
    fn pointer(&self) -> String {
        let mut pointer = Vec::new();
        for step in self.path.iter().skip(usize::from(self.is_envelope)).take(POINTER_TOKENS_MAX) {
            let length = pointer.len();
            pointer.push(b'/');
            match step {
                Step::Item(number) => pointer.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
                Step::Key(start, end) => {
                    for byte in &*unescaped(self.bytes.get(*start..*end).unwrap_or_default()) {
                        match byte {
                            b'~' => pointer.extend_from_slice(b"~0"),
                            b'/' => pointer.extend_from_slice(b"~1"),
                            byte => pointer.push(*byte),
                        }
                    }
                }
                Step::Masked => pointer.extend_from_slice(REDACTED.as_bytes()),
            }
            if pointer.len() > POINTER_BYTES_MAX {
                pointer.truncate(length);
                break;
            }
        }
        // It is: JSON is, and only whole tokens were left out.
        String::from_utf8(pointer).unwrap_or_default()
    }
}

/// What stands where a value was.
const QUOTED: &[u8] = b"\"[redacted]\"";
