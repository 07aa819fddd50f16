//! IP addresses in the forms of RFC 791 and RFC 4291.

use std::ops::Range;

use super::super::keys::is_version_key;
use super::{Text, is_word};

/// Words that a version follows, besides those that end in `version`.
const VERSIONS: &str = "build firmware kernel rel release rev revision section tag v ver";
/// Names of products that are told with their version.
const PRODUCTS: &str = "android applewebkit chrome chromium edg edge edga electron firefox headlesschrome ios macos msie \
    node nodejs opera opr safari samsungbrowser trident vivaldi webkit windows yabrowser";
/// Steps of a path behind which the name of a release stands.
const RELEASES: &str = "branches download heads release releases tag tags v version versions";
/// Words that an address follows, and no version.
const ADDRESSED: &str = "addr address bind by client clients dest destination dns dst for from gateway guest host hosts \
    inet ip ipaddr ipaddress ips ipv4 listen local login nameserver node origin peer proxy remote server sip source src to \
    user via visitor x";

/// Whether an IPv6 address begins as those do that are in use: of hosts anywhere (`2000::/3`), of a site (`fc00::/7`), of
/// a link (`fe80::/10`), of groups (`ff00::/8`). `Cafe::A1` and `dead::beef` are names.
fn is_in_use(address: &[u8]) -> bool {
    match address.to_ascii_lowercase().as_slice() {
        [b'2' | b'3', ..] | [b'f', b'c' | b'd' | b'f', ..] => true,
        [b'f', b'e', third, ..] => matches!(third, b'8' | b'9' | b'a' | b'b'),
        _ => false,
    }
}

/// Whether a word is one of these, which blanks divide, in any case.
fn is_one_of(word: &[u8], words: &str) -> bool {
    words.split_ascii_whitespace().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

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
        (ends && !self.is_continued(start) && !self.is_of_version(start, end)).then_some(start..end)
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

    /// Whether what stands around says that this is a version: `Chrome/`, `version: `, `v `, `app:`, `>=`. In a path
    /// (`/hosts/`) and behind a host (`example.com/`) it is an address.
    fn is_of_version(&self, start: usize, end: usize) -> bool {
        // No host has such an address. With a mask it is a network's.
        if self.bytes.get(start..end).is_some_and(|quad| quad.ends_with(b".0.0")) && self.at(end) != b'/' {
            return true;
        }
        match self.before(start) {
            b'/' => self.is_behind_product(start - 1),
            b':' if is_word(self.before(start - 1)) => self.is_tag(start),
            b'@' => self.is_in_package_url(start),
            b'^' | b'~' => true,
            b'=' if b"=<>~!".contains(&self.before(start - 1)) => true,
            b' ' if self.before(start - 1) == b'>' && b"~=".contains(&self.before(start - 2)) => true,
            _ => self.is_behind_version_word(start),
        }
    }

    /// Whether a product or the word for a version stands before this slash: `Chrome/1.2.3.4`, `refs/tags/1.2.3.4`.
    fn is_behind_product(&self, slash: usize) -> bool {
        let product = self.run_back(slash, 32, |byte| is_word(*byte) || *byte == b'-');
        let word = self.bytes.get(slash - product..slash).unwrap_or_default();
        product > 0 && (!b"/.@:".contains(&self.before(slash - product)) || is_one_of(word, RELEASES))
    }

    /// Whether this is the tag of an image or the version of a package, `app:1.2.3.4`: it is behind a path, or the word is
    /// none of those that an address follows and the number is as small as those of versions.
    fn is_tag(&self, start: usize) -> bool {
        let name = self.run_back(start - 1, 32, |byte| is_word(*byte) || *byte == b'-');
        let word = self.bytes.get(start - 1 - name..start - 1).unwrap_or_default();
        let last = word.rsplit(|byte| b"-_".contains(byte)).next().unwrap_or_default();
        if self.is_behind_version_word(start) || is_one_of(word, PRODUCTS) {
            return true;
        }
        let number = self.run(start, 3, u8::is_ascii_digit);
        let is_small =
            self.bytes.get(start..start + number).is_some_and(|first| first.len() < 3 || first < &b"150"[..]);
        is_small && !is_one_of(last, ADDRESSED) && self.before(start - 1 - name) != b'"'
    }

    /// Whether this is the version in a package URL: `pkg:nuget/Example.Json@13.0.1.0`.
    fn is_in_package_url(&self, start: usize) -> bool {
        let length = self.run_back(start, 128, |byte| *byte > b' ');
        let url = self.bytes.get(start - length..start).unwrap_or_default();
        url.windows(4).any(|window| window == b"pkg:")
    }

    fn is_behind_version_word(&self, start: usize) -> bool {
        let gap = self.run_back(start, 4, |byte| b" :=.\"'\\(".contains(byte));
        let letters = self.run_back(start - gap, 12, u8::is_ascii_alphabetic);
        let word = self.bytes.get(start - gap - letters..start - gap).unwrap_or_default();
        is_version_key(word) || is_one_of(word, VERSIONS) || is_one_of(word, PRODUCTS)
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
                let is_translated = whole.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case(b"64:ff9b:"));
                count < 8 && (first == 4 && is_in_use(whole) || is_translated)
            }
        };
        (is_address && whole.iter().any(u8::is_ascii_digit)).then_some(at)
    }
}
