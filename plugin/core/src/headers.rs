//! The headers of a request as the gateway hands them over.

use std::borrow::Cow;

/// Request headers: names in lower case, values as the bytes that came.
///
/// They stay in the one buffer in which the host serialises a map, and are looked up in it: a request asks for a few
/// of its headers once each, so taking all of them apart would cost more than it saves. A buffer that is cut short or
/// lies about its lengths ends at the first pair that is not whole.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<u8>);

/// The length of a number in a serialised map.
const NUMBER: usize = 4;

/// A map as proxy-wasm serialises it: the number of pairs, the lengths of each name and value, then each name and
/// value with a zero byte behind it; numbers are 32 bits, little endian.
pub fn serialise<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Vec<u8> {
    let (count, bytes) = pairs
        .clone()
        .fold((0, 0), |(count, bytes), (name, value)| (count + 1, bytes + 2 * (NUMBER + 1) + name.len() + value.len()));
    let mut map = Vec::with_capacity(NUMBER + bytes);
    map.extend_from_slice(&u32::to_le_bytes(count));
    for (name, value) in pairs.clone() {
        map.extend_from_slice(&(name.len() as u32).to_le_bytes());
        map.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        map.extend_from_slice(name.as_bytes());
        map.push(0);
        map.extend_from_slice(value);
        map.push(0);
    }
    map
}

impl Headers {
    /// The headers in a serialised map; the gateway has lower-cased the names.
    pub fn from_map(map: Vec<u8>) -> Self {
        Self(map)
    }

    /// The headers in the order they came.
    pub fn new(headers: &[(&str, &[u8])]) -> Self {
        Self(serialise(headers.iter().copied()))
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

    /// The names that a server behind the gateway may take for this lower-case one: CGI, and what descends from it, make
    /// no difference between `_` and `-`.
    pub fn spellings_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let plain = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
        let names = self.pairs(name.len()).map(|(name, _)| name);
        names
            .filter(move |other| other.iter().map(plain).eq(name.as_bytes().iter().map(plain)))
            .filter_map(|name| std::str::from_utf8(name).ok())
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.pairs(name.len()).filter(move |(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// The pairs whose names have this length. The lengths stand together at the map's front, so the others cost nothing.
    fn pairs(&self, len: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (lengths, mut rest) = self.parts().unwrap_or_default();
        let mut lengths = lengths.iter();
        std::iter::from_fn(move || {
            for [a, b, c, d, e, f, g, h] in lengths.by_ref() {
                let name_len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                let value_len = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
                let (pair, behind) = rest.split_at_checked(name_len.checked_add(value_len)?.checked_add(2)?)?;
                rest = behind;
                if name_len == len {
                    return pair.get(..name_len).zip(pair.get(name_len + 1..name_len + 1 + value_len));
                }
            }
            None
        })
    }

    /// The two lengths of each pair, and the bytes of all pairs.
    fn parts(&self) -> Option<(&[[u8; 2 * NUMBER]], &[u8])> {
        let (count, rest) = self.0.split_first_chunk::<NUMBER>()?;
        let (lengths, pairs) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(2 * NUMBER)?)?;
        Some((lengths.as_chunks().0, pairs))
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

/// Is this lower-case name one of those that Envoy acts on?
pub fn is_envoys(name: &str) -> bool {
    name.starts_with("x-envoy-")
}

/// Does the gateway set this lower-case header itself, in every request it sends?
pub fn belongs_to_the_gateway(name: &str) -> bool {
    OF_THE_GATEWAY.contains(&name)
}

/// Headers that belong to the connection (RFC 9110, section 7.6.1) or to the request itself, and those that every
/// delivery carries.
const OF_THE_GATEWAY: [&str; 14] = [
    "connection",
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

    proptest! {
        #[test]
        fn what_was_serialised_is_found_again(pairs in proptest::collection::vec(("[a-z]{1,8}", any::<Vec<u8>>()), 0..20)) {
            let borrowed: Vec<(&str, &[u8])> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            let headers = Headers::new(&borrowed);
            for (name, _) in &pairs {
                let all: Vec<&[u8]> = borrowed.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect();
                prop_assert_eq!(headers.get(name).map(Cow::into_owned), Some(all.join(&b", "[..])));
            }
            prop_assert_eq!(headers.get("absent"), None);
        }

        #[test]
        fn bytes_that_are_no_map_give_no_header_and_never_trap(map: Vec<u8>, count in 0u8..9) {
            let mut lying = vec![count, 0, 0, 0];
            lying.extend_from_slice(&map);
            for map in [map, lying] {
                let _ = Headers::from_map(map).get("a");
            }
        }
    }
}
