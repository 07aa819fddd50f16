//! The headers of a request as the gateway hands them over.

use std::borrow::Cow;

/// Request headers in the order they came: names in lower case, values as the bytes that came.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl From<Vec<(String, Vec<u8>)>> for Headers {
    fn from(headers: Vec<(String, Vec<u8>)>) -> Self {
        Self(headers)
    }
}

impl Headers {
    /// The headers in the order they came.
    pub fn new(headers: &[(&str, &[u8])]) -> Self {
        Self(headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
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

    /// The names among these headers that a server behind the gateway may take for `name`, which is in lower case: CGI,
    /// and what descends from it, writes `_` for each byte that is no letter or digit.
    pub fn spellings_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(move |other| other.bytes().map(plain).eq(name.bytes().map(plain)))
    }

    /// The value under this lower-case name, if it came exactly once and is UTF-8; else the empty string.
    pub fn text(&self, name: &str) -> &str {
        self.single(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// The size of the headers in bytes, as HTTP/2 counts it (RFC 9113, section 10.5.1): names, values, and 32 for each.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    /// Removes all headers of these lower-case names.
    pub fn remove(&mut self, names: &[String]) {
        self.0.retain(|(name, _)| !names.contains(name));
    }

    /// Sets a header; it takes the place of all headers of this lower-case name.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), value.to_vec()));
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_slice())
    }
}

/// Whether this is a header name: a token (RFC 9110, section 5.6.2).
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether these bytes may be sent as a header value. Control characters but the tab may not: a CR or LF would begin
/// another header.
pub fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

/// Whether this lower-case name is one of those that Envoy acts on.
pub fn is_envoys(name: &str) -> bool {
    name.starts_with("x-envoy-")
}

/// Whether the gateway sets this lower-case header itself, in every request that it sends.
pub fn belongs_to_the_gateway(name: &str) -> bool {
    OF_THE_GATEWAY.contains(&name)
}

/// Headers that belong to the connection (RFC 9110, section 7.6.1) or to the request itself, and those that every
/// delivery carries.
const OF_THE_GATEWAY: [&str; 15] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The headers of a call, pseudo-headers first.
pub type CallHeaders<'a> = Vec<(&'a str, Cow<'a, [u8]>)>;

/// The value of a configured header, kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(pub String);

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> Headers {
        Headers::new(&[("x-one", b"1"), ("x-many", b"a"), ("x-many", b"b"), ("x-many", b"\xff")])
    }

    #[test]
    fn a_name_is_also_known_with_underscores() {
        let headers = Headers::new(&[("x_gate-a", b"1"), ("x-gate", b"2"), ("x-gate-a", b"3")]);
        assert_eq!(headers.spellings_of("x-gate-a").collect::<Vec<_>>(), ["x_gate-a", "x-gate-a"]);
        assert_eq!(headers.spellings_of("x_gate_a").count(), 2);
    }

    /// A header that came once is lent and one that came often is joined.
    #[test]
    fn single_header_is_lent_and_a_repeated_one_joined() {
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

    proptest! {
        #[test]
        fn what_came_is_found_again(pairs in proptest::collection::vec(("[a-z]{1,8}", any::<Vec<u8>>()), 0..20)) {
            let borrowed: Vec<(&str, &[u8])> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            let headers = Headers::new(&borrowed);
            for (name, _) in &pairs {
                let all: Vec<&[u8]> = borrowed.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect();
                prop_assert_eq!(headers.get(name).map(Cow::into_owned), Some(all.join(&b", "[..])));
            }
            prop_assert_eq!(headers.get("absent"), None);
        }
    }
}
