//! The numbers and the one encoding that cross the border: proxy-wasm 0.2.1 as Envoy and the Rust SDK speak it.

use crate::headers::Headers;

/// What a host call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such key, queue, header, property, metric or function.
    NotFound = 1,
    /// An argument is wrong, or there is nothing to act upon any more.
    BadArgument = 2,
    /// A value cannot be written as bytes.
    SerializationFailure = 3,
    /// An argument cannot be read; for gRPC: no such cluster.
    ParseFailure = 4,
    /// A queue holds nothing.
    Empty = 7,
    /// Somebody else wrote the key in between.
    CasMismatch = 8,
    /// Envoy refused: no healthy host, or a circuit breaker overflowed.
    InternalFailure = 10,
    /// Envoy has the call and does nothing.
    Unimplemented = 12,
}

impl Status {
    /// The number the filter sees.
    pub(crate) fn code(self) -> u32 {
        self as u32
    }
}

/// What a stream callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    Pause,
}

impl Action {
    /// The action of this number; `None` when the ABI has no such one.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Continue),
            1 => Some(Self::Pause),
            _ => None,
        }
    }
}

/// Which way something goes through a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// The header maps the ABI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitial,
    GrpcTrailing,
    CallHeaders,
    CallTrailers,
}

impl MapKind {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::RequestHeaders),
            1 => Some(Self::RequestTrailers),
            2 => Some(Self::ResponseHeaders),
            3 => Some(Self::ResponseTrailers),
            4 => Some(Self::GrpcInitial),
            5 => Some(Self::GrpcTrailing),
            6 => Some(Self::CallHeaders),
            7 => Some(Self::CallTrailers),
            _ => None,
        }
    }

    /// The direction of its stream; `None` for what cannot be changed.
    pub(crate) fn direction(self) -> Option<Direction> {
        match self {
            Self::RequestHeaders | Self::RequestTrailers => Some(Direction::Request),
            Self::ResponseHeaders | Self::ResponseTrailers => Some(Direction::Response),
            Self::GrpcInitial | Self::GrpcTrailing | Self::CallHeaders | Self::CallTrailers => None,
        }
    }

    pub(crate) fn is_trailers(self) -> bool {
        matches!(self, Self::RequestTrailers | Self::ResponseTrailers | Self::CallTrailers)
    }

    /// Whose they are, for messages.
    pub(crate) fn of(self) -> &'static str {
        match self {
            Self::RequestHeaders | Self::RequestTrailers => "request's",
            Self::ResponseHeaders | Self::ResponseTrailers => "answer's",
            Self::GrpcInitial | Self::GrpcTrailing | Self::CallHeaders | Self::CallTrailers => "call's",
        }
    }
}

/// The buffers the ABI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferKind {
    RequestBody,
    ResponseBody,
    /// Of TCP connections, and of foreign callbacks: empty here.
    Other,
    CallBody,
    GrpcMessage,
    VmConfig,
    PluginConfig,
}

impl BufferKind {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::RequestBody),
            1 => Some(Self::ResponseBody),
            2 | 3 | 8 => Some(Self::Other),
            4 => Some(Self::CallBody),
            5 => Some(Self::GrpcMessage),
            6 => Some(Self::VmConfig),
            7 => Some(Self::PluginConfig),
            _ => None,
        }
    }
}

/// Writes a header map: the count, each pair's two lengths (all little-endian u32), then names and values, each
/// followed by a zero byte. An empty map is no bytes at all, as Envoy has it.
pub(crate) fn encode_pairs(headers: &Headers) -> Vec<u8> {
    if headers.is_empty() {
        return Vec::new();
    }
    let mut bytes = length(headers.len()).to_vec();
    for (name, value) in headers.iter() {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for (name, value) in headers.iter() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// Reads a header map; `None` when it is cut short or a name is not UTF-8.
pub(crate) fn decode_pairs(bytes: &[u8]) -> Option<Headers> {
    let mut headers = Headers::default();
    if bytes.is_empty() {
        return Some(headers);
    }
    let count = number(bytes, 0)?;
    let mut at = 4 + count.checked_mul(8)?;
    for pair in 0..count {
        let name_end = at + number(bytes, 4 + pair * 8)?;
        let value_end = name_end + 1 + number(bytes, 8 + pair * 8)?;
        let name = std::str::from_utf8(bytes.get(at..name_end)?).ok()?;
        headers.add(name, bytes.get(name_end + 1..value_end)?);
        at = value_end + 1;
    }
    Some(headers)
}

/// A count as the ABI passes it; a wasm32 guest holds none that is larger.
pub(crate) fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A length as the ABI writes it.
fn length(value: usize) -> [u8; 4] {
    size(value).to_le_bytes()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_map_comes_back_as_it_was_written() {
        let headers = Headers::from([(":method", "POST"), ("x-empty", ""), ("x-two", "a"), ("x-two", "b")]);
        assert_eq!(decode_pairs(&encode_pairs(&headers)), Some(headers));
    }

    #[test]
    fn a_header_map_cut_short_anywhere_is_refused() {
        let bytes = encode_pairs(&Headers::from([(":path", "/"), ("host", "example.com")]));
        for end in 1..bytes.len() - 1 {
            assert_eq!(decode_pairs(&bytes[..end]), None, "{end}");
        }
    }
}
