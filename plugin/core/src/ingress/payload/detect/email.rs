//! E-mail addresses: a local part, `@`, and a domain of two labels or more that ends in letters.

use std::ops::Range;

use super::Text;

/// The longest local part, in bytes. RFC 5321 allows 64; a percent-encoded byte takes three.
const LOCAL_MAX: usize = 192;
/// The longest user of a URL that is known as one, in bytes: a token of 4 KiB would be none that anybody writes there.
const USER_MAX: usize = 512;
/// The longest domain, in bytes (RFC 1035).
const DOMAIN_MAX: usize = 255;

impl Text<'_> {
    /// An address around this `@`.
    pub(super) fn email(&self, sign: usize) -> Option<Range<usize>> {
        let end = self.domain(sign + 1)?;
        let start = self.local(sign)?;
        (!self.is_user_of_url(sign)).then_some(start..end)
    }

    /// Whether this `@` ends the user of a URL: a key in the address of a service (`https://key@o1.ingest.example.io`), an
    /// account, or a name and a password. A user that is an address itself has an `@` of its own, before the last one.
    fn is_user_of_url(&self, sign: usize) -> bool {
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$*+:@".contains(byte);
        let start = sign - self.run_back(sign, USER_MAX, is_inside);
        let is_url = self.before(start) == b'/' && self.before(start - 1) == b'/' && self.before(start - 2) == b':';
        let host = self.bytes.get(sign + 1..).unwrap_or_default();
        let is_last = !host.iter().take(DOMAIN_MAX).take_while(|byte| is_inside(byte)).any(|byte| *byte == b'@');
        is_url && is_last
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
        let domain = self.bytes.get(start..at).unwrap_or_default();
        end.filter(|_| !first.is_empty() && !self.is_version(first, start + first.len() + 1) && !is_file(domain))
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

/// Whether what stands behind the `@` is the name of a file, as in `tool@next.js`: it ends like one, and no domain stands
/// before that end.
fn is_file(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let ends_like_file = labels.next().is_some_and(is_file_ending);
    let is_top = |label: &[u8]| {
        let is_country =
            label.len() == 2 && label.iter().all(u8::is_ascii_alphabetic) && !label.eq_ignore_ascii_case(b"es");
        is_country || COMMON_TOPS.iter().any(|top| label.eq_ignore_ascii_case(top))
    };
    let has_more = domain.iter().filter(|byte| **byte == b'.').count() > 1;
    ends_like_file && !(has_more && labels.next().is_some_and(is_top))
}

/// Whether this is the ending of a file, and no top-level domain.
pub(in super::super) fn is_file_ending(label: &[u8]) -> bool {
    FILE_ENDINGS.split(' ').any(|ending| label.eq_ignore_ascii_case(ending.as_bytes()))
}

/// Endings of files that are no top-level domains (IANA, 2026): not `md`, `py`, `rs`, `sh`, `zip`, `mov` or `app`.
const FILE_ENDINGS: &str = "7z apk asp aspx avi avif bak bin bmp bz2 cfg cjs class conf cpp cs css csv cts deb dll dmg doc \
    docx ear eot exe gif go gradle graphql gz h heic hpp htm html ico ini ipa ipynb iso jar java jpeg jpg js json json5 \
    jsonl jsp jsx kt less lock log lua mjs mkv mp3 mp4 msi mts odt otf pdf php png ppt pptx proto rb rpm rtf sass scala \
    scss sql sqlite svg swift tar tgz tif tiff tmp toml ts tsv tsx ttf txt vue war wasm wav webm webp whl woff woff2 xhtml \
    xls xlsx xml xz yaml yml";

/// Top-level domains behind which the ending of a file may stand: `bob@example.com.html`.
const COMMON_TOPS: [&[u8]; 8] = [b"biz", b"com", b"edu", b"gov", b"info", b"int", b"net", b"org"];

/// Whether a byte may stand in a local part. A byte such as `=` or `/` may not, although RFC 5322 allows it: more often
/// it belongs to what stands before the address.
fn is_local(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+-&'~".contains(byte) || !byte.is_ascii()
}

fn is_label(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-' || !byte.is_ascii()
}
