//! The producer's trace context (W3C Trace Context, level 1 and 2): carried only in the syntax of the recommendation.
//!
//! A `traceparent` of another form is no use to a receiver, which starts a trace of its own whether it gets the header
//! or not; and a header that may hold any text could carry anything out.

/// The largest number of members of a `tracestate`.
const MEMBERS_MAX: usize = 32;
/// The longest key and the longest value of a member, in bytes.
const KEY_MAX: usize = 256;
/// The longest parts of a key `tenant@system`, in bytes.
const TENANT_MAX: usize = 241;
const SYSTEM_MAX: usize = 14;

/// Whether this is a `traceparent`: `00-<trace id>-<parent id>-<flags>`, in lower-case hex, no id all zero. A later
/// version may have more behind a further `-`.
pub(super) fn is_parent(value: &[u8]) -> bool {
    let Some((version, rest)) = hex(value, 2) else { return false };
    let is_rest = |rest: &[u8]| rest.is_empty() || version != b"00" && rest.starts_with(b"-");
    let fields = field(rest, 32).and_then(|(trace, rest)| field(rest, 16).map(|(parent, rest)| (trace, parent, rest)));
    let Some((trace, parent, rest)) = fields else { return false };
    let is_id = |id: &[u8]| id.iter().any(|digit| *digit != b'0');
    version != b"ff" && is_id(trace) && is_id(parent) && field(rest, 2).is_some_and(|(_, rest)| is_rest(rest))
}

/// Splits off a `-` and a field of so many digits.
fn field(text: &[u8], digits: usize) -> Option<(&[u8], &[u8])> {
    hex(text.strip_prefix(b"-")?, digits)
}

fn hex(text: &[u8], digits: usize) -> Option<(&[u8], &[u8])> {
    let (field, rest) = text.split_at_checked(digits)?;
    field.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some((field, rest))
}

/// Whether this is a `tracestate`: members `key=value`, divided by commas, at most 32 of them. Blanks around a member
/// and empty members are allowed.
pub(super) fn is_state(value: &[u8]) -> bool {
    let is_blank = |byte: &u8| b" \t".contains(byte);
    let mut members = 0;
    for member in value.split(|byte| *byte == b',') {
        let start = member.iter().take_while(|byte| is_blank(byte)).count();
        let member = member.get(start..).unwrap_or_default();
        let end = member.len() - member.iter().rev().take_while(|byte| is_blank(byte)).count();
        let member = member.get(..end).unwrap_or_default();
        if member.is_empty() {
            continue;
        }
        members += 1;
        let at = member.iter().position(|byte| *byte == b'=').unwrap_or_default();
        let (Some(key), Some(value)) = (member.get(..at), member.get(at + 1..)) else { return false };
        if members > MEMBERS_MAX || !is_key(key) || !is_member_value(value) {
            return false;
        }
    }
    members > 0
}

fn is_key(key: &[u8]) -> bool {
    let is_rest = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let is_part = |part: &[u8], max: usize, may_be_digit: bool| {
        let is_first = |byte: &u8| byte.is_ascii_lowercase() || may_be_digit && byte.is_ascii_digit();
        part.len() <= max && part.first().is_some_and(is_first) && part.iter().all(is_rest)
    };
    match key.iter().position(|byte| *byte == b'@') {
        None => is_part(key, KEY_MAX, false),
        Some(at) => {
            is_part(key.get(..at).unwrap_or_default(), TENANT_MAX, true)
                && is_part(key.get(at + 1..).unwrap_or_default(), SYSTEM_MAX, false)
        }
    }
}

fn is_member_value(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= KEY_MAX
        && value.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the recommendation, and what its test suite refuses.
    #[test]
    fn a_parent_has_the_form_of_the_recommendation() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for good in [good, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", &format!("cc{}-what", &good[2..])]
        {
            assert!(is_parent(good.as_bytes()), "{good}");
        }
        assert!(is_parent(format!("cc{}", &good[2..]).as_bytes()));
        for bad in [
            "",
            "00-1-2-01",
            "bob@example.com",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01, 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(!is_parent(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_state_has_the_form_of_the_recommendation() {
        let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        for good in [
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "fw529a3039@dt=FfffPz/x;1,1a@nr=0-0-1",
            "a=1, b=2,,\tc=3 , foo_-*/bar=! ~",
            &many(32),
            &format!("{}={}", "k".repeat(256), "v".repeat(256)),
        ] {
            assert!(is_state(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ",",
            "a",
            "a=",
            "=1",
            "A=1",
            "1a=1",
            "a@=1",
            "@a=1",
            "a@1b=1",
            "a b=1",
            "a=1=2",
            "a=é",
            "a=1;b\u{7f}",
            "a@b@c=1",
            "bob@example.com=1",
            &many(33),
            &format!("{}=1", "k".repeat(257)),
            &format!("a={}", "v".repeat(257)),
            &format!("a@{}=1", "s".repeat(15)),
            &format!("{}@a=1", "t".repeat(242)),
        ] {
            assert!(!is_state(bad.as_bytes()), "{bad}");
        }
    }
}
