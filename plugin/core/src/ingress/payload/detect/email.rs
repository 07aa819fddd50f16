//! E-mail addresses: a local part, `@`, and a domain of two labels or more that ends in letters.

use std::ops::Range;

use super::Text;

/// The longest local part, in bytes. RFC 5321 allows 64; a percent-encoded byte takes three.
const LOCAL_MAX: usize = 192;
/// The longest domain, in bytes (RFC 1035).
const DOMAIN_MAX: usize = 255;

impl Text<'_> {
    /// An address around this `@`, which is `width` bytes wide.
    pub(super) fn email(&self, sign: usize, width: usize) -> Option<Range<usize>> {
        let end = self.domain(sign + width)?;
        let start = self.local(sign)?;
        Some(start..end)
    }

    /// The beginning of the local part in front of this `@`.
    fn local(&self, sign: usize) -> Option<usize> {
        let mut start = sign - self.run_back(sign, LOCAL_MAX, is_local);
        // A quote or a list's dash before an address is not part of it.
        start += self.run(start, sign - start, |byte| b".'-&".contains(byte));
        match self.bytes.get(start..sign).unwrap_or_default() {
            // The user in the addresses of Git repositories.
            b"git" => None,
            b"" if self.before(sign) == b'"' => {
                let quoted = self.run_back(sign - 1, LOCAL_MAX, |byte| *byte != b'"');
                let start = (sign - 1).checked_sub(quoted + 1)?;
                (quoted > 0 && start >= self.from && self.at(start) == b'"').then_some(start)
            }
            b"" => None,
            _ => Some(start),
        }
    }

    /// The end of the domain that begins here: behind the last label that may be a top-level domain.
    fn domain(&self, start: usize) -> Option<usize> {
        let first = self.label(start);
        let mut at = start + first.len();
        let mut end = None;
        while self.at(at) == b'.' && at - start < DOMAIN_MAX {
            let label = self.label(at + 1);
            let letters = label.iter().take_while(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii()).count();
            let is_top = letters > 0 && label.get(letters).is_none_or(|byte| *byte == b'-');
            if label.starts_with(b"xn--") {
                end = Some(at + 1 + label.len());
            } else if is_top {
                end = Some(at + 1 + letters);
            }
            if label.is_empty() {
                break;
            }
            at += 1 + label.len();
        }
        end.filter(|_| !first.is_empty() && !self.is_version(first, start + first.len() + 1))
    }

    /// Whether what stands behind the `@` is a version or a size: `package@4.17.21`, `action@v4.x`, `icon@2x.png`.
    /// `first` is the first label; the second label begins at `second`.
    fn is_version(&self, first: &[u8], second: usize) -> bool {
        let digits = first.strip_prefix(b"v").unwrap_or(first);
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let is_single = !is_label(&self.at(second + 1));
        is_number && (self.at(second).is_ascii_digit() || is_single) || matches!(first, [b'1'..=b'9', b'x'])
    }

    fn label(&self, from: usize) -> &[u8] {
        let len = if self.at(from) == b'-' { 0 } else { self.run(from, 63, is_label) };
        self.bytes.get(from..from + len).unwrap_or_default()
    }
}

/// Whether a byte may stand in a local part. A byte such as `=` or `/` may not, although RFC 5322 allows it: more often
/// it belongs to what stands before the address.
fn is_local(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+-&'~".contains(byte) || !byte.is_ascii()
}

fn is_label(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-' || !byte.is_ascii()
}
