//! IP addresses in the forms of RFC 791 and RFC 4291.

use std::ops::Range;

use super::{Text, is_word};

impl Text<'_> {
    /// An IPv4 address that begins here: four numbers up to 255. With a fifth number, a leading zero, or a suffix such
    /// as versions have, it is no address.
    pub(super) fn ipv4(&self, start: usize) -> Option<Range<usize>> {
        let end = self.quad(start)?;
        let next = self.at(end + 1);
        let ends = match self.at(end) {
            b'.' => !is_word(next),
            b'-' | b'+' => !next.is_ascii_alphabetic(),
            byte => !is_word(byte) && byte != b'@',
        };
        (ends && !self.is_continued(start) && !self.is_of_version(start)).then_some(start..end)
    }

    /// The end of the four numbers that begin here, with dots between them.
    fn quad(&self, start: usize) -> Option<usize> {
        let mut at = start;
        for part in 0..4 {
            if part > 0 {
                if self.at(at) != b'.' {
                    return None;
                }
                at += 1;
            }
            let len = self.run(at, 4, u8::is_ascii_digit);
            let digits = self.bytes.get(at..at + len)?;
            let value = digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
            if len == 0 || value > 255 || (len > 1 && digits.starts_with(b"0")) {
                return None;
            }
            at += len;
        }
        Some(at)
    }

    /// Whether what stands before says that this is a version: `Chrome/`, `version: `, `v `. In a path (`/hosts/`) and
    /// behind a host (`example.com/`) it is an address.
    fn is_of_version(&self, start: usize) -> bool {
        if self.before(start) == b'/' {
            let product = self.run_back(start - 1, 32, |byte| is_word(*byte) || *byte == b'-');
            return product > 0 && !b"/.@:".contains(&self.before(start - 1 - product));
        }
        let gap = self.run_back(start, 4, |byte| b" :=.\"'\\".contains(byte));
        let letters = self.run_back(start - gap, 12, u8::is_ascii_alphabetic);
        let word = self.bytes.get(start - gap - letters..start - gap).unwrap_or_default();
        super::super::is_version_key(word)
            || [b"v".as_slice(), b"ver", b"rev", b"build", b"release", b"section"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(word))
    }

    /// An IPv6 address whose first colon is this one.
    pub(super) fn ipv6(&self, colon: usize) -> Option<Range<usize>> {
        let first = self.run_back(colon, 5, u8::is_ascii_hexdigit);
        let before = self.before(colon - first);
        let start = if first < 5 && !is_word(before) {
            colon - first
        } else {
            // `client:2001:db8::1`; but `std::abs` is no address.
            colon + 1
        };
        // A single colon at the beginning is no part of the address.
        let start = if self.at(start) == b':' && self.at(start + 1) != b':' { start + 1 } else { start };
        if start > colon && !self.at(start).is_ascii_hexdigit() || b":.".contains(&before) {
            return None;
        }
        // `list[::1]` is a slice in a program.
        if before == b'[' && is_word(self.before(colon - first - 1)) {
            return None;
        }
        let end = self.groups(start)?;
        let ends = match self.at(end) {
            b'.' => !is_word(self.at(end + 1)),
            byte => !is_word(byte),
        };
        if !ends {
            return None;
        }
        let zone = if self.at(end) == b'%' { 1 + self.run(end + 1, 16, |byte| is_word(*byte)) } else { 0 };
        Some(start..end + zone)
    }

    /// The end of the groups that begin here, if they are an address: eight groups, or `::` behind a first group as
    /// long as in every network that is in use, or at the beginning. A time has fewer groups, a MAC address or
    /// fingerprint has two digits in each, and the names of a program have no digit.
    fn groups(&self, start: usize) -> Option<usize> {
        let (mut at, mut count, mut is_mapped) = (start, 0, false);
        let (mut has_gap, mut are_pairs) = (false, true);
        if self.at(at) == b':' {
            (at, has_gap) = (at + 2, true);
        }
        while self.at(at).is_ascii_hexdigit() {
            let len = self.run(at, 5, u8::is_ascii_hexdigit);
            if self.at(at + len) == b'.'
                && let Some(end) = self.quad(at)
            {
                (at, count, is_mapped) = (end, count + 2, true);
                break;
            }
            if len > 4 || count > 8 {
                return None;
            }
            (at, count, are_pairs) = (at + len, count + 1, are_pairs && len == 2);
            match (self.at(at), self.at(at + 1)) {
                (b':', b':') if has_gap => return None,
                (b':', b':') => (at, has_gap) = (at + 2, true),
                (b':', next) if next.is_ascii_hexdigit() => at += 1,
                _ => break,
            }
        }
        let whole = self.bytes.get(start..at)?;
        let first = self.run(start, 5, u8::is_ascii_hexdigit);
        let is_address = match (has_gap, first) {
            (false, _) => count == 8 && !are_pairs,
            // `::1`, two groups or more, and a mapped IPv4 address; `::30` is a time.
            (true, 0) => whole == b"::1" || is_mapped || (2..8).contains(&count),
            (true, _) => {
                count < 8 && (first == 4 || whole.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case(b"64:ff9b:")))
            }
        };
        (is_address && whole.iter().any(u8::is_ascii_digit)).then_some(at)
    }
}
