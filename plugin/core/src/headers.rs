//! The headers of a request as the gateway hands them over.

use std::borrow::Cow;

/// Request headers: names in lower case, values as the bytes that came.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The headers in the order they came; the gateway has lower-cased the names.
    pub fn new(headers: Vec<(String, Vec<u8>)>) -> Self {
        Self(headers)
    }

    /// The value under this lower-case name. A name that came more than once gives its values joined by `", "`, as
    /// RFC 9110, section 5.3, has it; a single value is lent, not copied.
    pub fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.values(name);
        let first = values.next()?;
        let Some(second) = values.next() else {
            return Some(Cow::Borrowed(first));
        };
        let mut joined = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value);
        }
        Some(Cow::Owned(joined))
    }

    /// The value under this lower-case name if it came exactly once.
    pub fn single(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_slice())
    }
}

/// Is this a header name: a token of RFC 9110, section 5.6.2?
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// May these bytes be sent as a header value? Control characters may not: a CR or LF would begin another header.
pub fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        Headers::new(vec![
            ("x-one".into(), b"1".to_vec()),
            ("x-many".into(), b"a".to_vec()),
            ("x-many".into(), b"b".to_vec()),
            ("x-many".into(), b"\xff".to_vec()),
        ])
    }

    #[test]
    fn a_header_that_came_once_is_lent_and_one_that_came_often_is_joined() {
        assert!(matches!(headers().get("x-one"), Some(Cow::Borrowed(b"1"))));
        assert_eq!(headers().get("x-many").as_deref(), Some(&b"a, b, \xff"[..]));
        assert_eq!(headers().get("x-none"), None);
    }

    #[test]
    fn a_single_value_is_not_taken_from_a_header_that_came_twice() {
        assert_eq!(headers().single("x-one"), Some(&b"1"[..]));
        assert_eq!(headers().single("x-many"), None);
    }

    #[test]
    fn names_are_tokens_and_values_hold_no_control_characters() {
        assert!(is_name("x-api-key") && is_name("a!#$%&'*+-.^_`|~9"));
        for name in ["", ":path", "x y", "x\r", "é"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_value(b"") && is_value(b"a\tb c") && is_value("é".as_bytes()));
        for value in [&b"a\r\nb"[..], b"\0", b"\x7f"] {
            assert!(!is_value(value), "{value:?}");
        }
    }
}
