//! The detectors of personal data in text: e-mail addresses, IP addresses, phone numbers, payment cards.
//!
//! A text is looked at in one view or, where it is encoded, in several (`view`). One pass over the bytes of a view,
//! without tables or expressions: at each byte that can begin or divide a finding (`@`, `:`, `+`, `(`, a digit) the
//! detector for that byte is asked. A detector looks at a bounded stretch around the byte (an e-mail
//! address 512 bytes, the others less than 64), so the work is linear in the text. Bytes that are not ASCII are no part
//! of a finding, but for an e-mail address, where they stand for letters.
//!
//! A finding must be worth refusing an event for. So each detector asks for a form that ids, versions, times, hashes
//! and amounts do not have, and for ends that are no part of a longer word. What that leaves out on purpose: numbers
//! without `+`, `00` or separators are no phone numbers, card numbers begin as those of an issuer do, `1.2.3.4` behind
//! `v`, `version`, `Product/` or `image:` is a version, and the user of a URL (`https://key@host`) is no address.

use std::ops::Range;

mod email;
mod ip;
mod number;
mod view;

#[cfg(test)]
pub(super) use email::is_file_ending;
pub(super) use view::folded;
use view::views;

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DataKind {
    /// An e-mail address.
    Email,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A phone number.
    Phone,
    /// The number of a payment card.
    Card,
    /// A denied key.
    Key,
    /// A string where only ids may be.
    String,
    /// Nobody can say what is there: the payload cannot be read.
    Unreadable,
}

impl DataKind {
    /// All kinds.
    pub const ALL: [Self; 8] =
        [Self::Email, Self::Ipv4, Self::Ipv6, Self::Phone, Self::Card, Self::Key, Self::String, Self::Unreadable];

    /// The value of the label `kind` of `gatepost_payload_findings_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Key => "key",
            Self::String => "string",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A set of kinds, a bit for each: which detectors are used, or what they found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataKinds(u8);

impl DataKinds {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set and one kind more.
    #[must_use]
    pub fn with(self, kind: DataKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// The set without a kind.
    #[must_use]
    pub fn without(self, kind: DataKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    /// The set without the kinds of another one.
    #[must_use]
    pub fn minus(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether a kind is in the set.
    pub fn has(self, kind: DataKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

/// All findings in a text and where they stand, in the order of their places, which do not overlap. Where views find the
/// same, the kind is that of the plainest view.
pub fn places(text: &[u8], wanted: DataKinds) -> Vec<(DataKind, Range<usize>)> {
    let mut found: Vec<(DataKind, Range<usize>)> = Vec::new();
    views(text, wanted, &mut |view| {
        let mut from = 0;
        while let Some((kind, place)) = find(&view.bytes, from, view.kinds) {
            from = place.end;
            found.push((kind, view.origin(place)));
        }
    });
    // The sort is stable: of two findings that begin in the same place the plainest view's is first.
    found.sort_by_key(|(_, place)| place.start);
    let mut apart: Vec<(DataKind, Range<usize>)> = Vec::with_capacity(found.len());
    for (kind, place) in found {
        match apart.last_mut() {
            Some((_, last)) if place.start < last.end => last.end = last.end.max(place.end),
            _ => apart.push((kind, place)),
        }
    }
    apart
}

/// The kinds of all findings in a text.
pub fn kinds(text: &[u8], wanted: DataKinds) -> DataKinds {
    let mut found = DataKinds::NONE;
    if wanted != DataKinds::NONE {
        views(text, wanted, &mut |view| {
            let mut from = 0;
            while let Some((kind, place)) = find(&view.bytes, from, view.kinds) {
                found = found.with(kind);
                from = place.end;
            }
        });
    }
    found
}

/// The first finding in a view that begins at `from` or later, and where it stands.
fn find(text: &[u8], from: usize, wanted: DataKinds) -> Option<(DataKind, Range<usize>)> {
    if wanted == DataKinds::NONE {
        return None;
    }
    let text = Text { bytes: text, from };
    let mut at = from;
    while at < text.bytes.len() {
        let found = text.found_at(at, wanted);
        if found.is_some() {
            return found;
        }
        at += 1;
    }
    None
}

/// The text that is looked at. Nothing before `from` is seen again, as it is part of an earlier finding.
struct Text<'a> {
    bytes: &'a [u8],
    from: usize,
}

impl Text<'_> {
    fn found_at(&self, at: usize, wanted: DataKinds) -> Option<(DataKind, Range<usize>)> {
        let ask = |kind, detector: fn(&Self, usize) -> Option<Range<usize>>| {
            if wanted.has(kind) { detector(self, at).map(|place| (kind, place)) } else { None }
        };
        match self.at(at) {
            b'@' => ask(DataKind::Email, Self::email),
            b':' => ask(DataKind::Ipv6, Self::ipv6),
            b'+' => ask(DataKind::Phone, Self::international),
            b'(' => ask(DataKind::Phone, Self::area_in_parentheses),
            b'0'..=b'9' if !self.before(at).is_ascii_digit() => ask(DataKind::Card, Self::card)
                .or_else(|| ask(DataKind::Ipv4, Self::ipv4))
                .or_else(|| ask(DataKind::Phone, Self::with_exit_code))
                .or_else(|| ask(DataKind::Phone, Self::national)),
            _ => None,
        }
    }

    /// A byte; 0 past the end.
    fn at(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The byte before this place; 0 at the beginning.
    fn before(&self, at: usize) -> u8 {
        if at > self.from { self.at(at - 1) } else { 0 }
    }

    /// The number of bytes from this place on, up to `max`, for which `is` holds without a break.
    fn run(&self, from: usize, max: usize, is: fn(&u8) -> bool) -> usize {
        self.bytes.iter().skip(from).take(max).take_while(|byte| is(byte)).count()
    }

    /// The number of bytes before this place, up to `max`, for which `is` holds without a break.
    fn run_back(&self, from: usize, max: usize, is: fn(&u8) -> bool) -> usize {
        let before = self.bytes.get(self.from..from).unwrap_or_default();
        before.iter().rev().take(max).take_while(|byte| is(byte)).count()
    }

    /// Whether the word that begins here is the rest of a longer one, such as `ORD-4155552671` or `1.5`.
    fn is_continued(&self, start: usize) -> bool {
        match self.before(start) {
            b'-' | b'.' => is_word(self.before(start - 1)),
            before => is_word(before),
        }
    }
}

/// Whether a byte belongs to a word: a finding beside such a byte would be part of a longer word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
