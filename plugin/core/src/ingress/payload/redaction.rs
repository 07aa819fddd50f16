//! The redaction of a payload in place: parts are replaced in their order, and all between them stays as it is.

use std::ops::Range;

use super::REDACTED;

/// A payload that is being redacted, or only looked through.
pub(super) struct Redaction<'a> {
    payload: &'a [u8],
    /// Parts are replaced; otherwise nothing is kept here.
    is_on: bool,
    /// The redacted payload so far, in place of `payload[..copied]`.
    out: Vec<u8>,
    copied: usize,
    masked_keys: u32,
}

impl<'a> Redaction<'a> {
    pub(super) fn new(payload: &'a [u8], is_on: bool) -> Self {
        Self { payload, is_on, out: Vec::new(), copied: 0, masked_keys: 0 }
    }

    /// Replaces the part at this place, which stands behind all that were replaced before.
    pub(super) fn replace(&mut self, place: Range<usize>, with: &str) {
        if self.is_on {
            self.out.extend_from_slice(self.payload.get(self.copied..place.start).unwrap_or_default());
            self.out.extend_from_slice(with.as_bytes());
            self.copied = place.end;
        }
    }

    /// What stands for the next key that is replaced, with a number behind `blank` from the second on: two keys that are
    /// the same would be one to a receiver.
    pub(super) fn mask(&mut self, blank: char) -> String {
        self.masked_keys += 1;
        match self.masked_keys {
            1 => REDACTED.to_owned(),
            number => format!("{REDACTED}{blank}{number}"),
        }
    }

    /// The redacted payload; `None`: nothing was replaced.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        (self.copied > 0).then(|| {
            self.out.extend_from_slice(self.payload.get(self.copied..).unwrap_or_default());
            self.out
        })
    }
}
