//! gRPC as it is on the wire: a message in its frame, and a status in headers or trailers.

use std::fmt::Write;

use host_tests::Reply;

use crate::server::MESSAGE;
use crate::status::{self, Status};

/// The bytes before a message: whether it is compressed, and its length.
const FRAME: usize = 5;

/// The one message of a call's body.
pub(crate) fn unframed(body: &[u8]) -> Result<&[u8], Status> {
    let Some(([compressed, length @ ..], message)) = body.split_first_chunk::<FRAME>() else {
        return Err(status::broken_frame());
    };
    if *compressed != 0 {
        return Err(status::compressed());
    }
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > MESSAGE {
        return Err(status::larger_than_a_message(length, MESSAGE));
    }
    message.get(..length).ok_or_else(status::broken_frame)
}

/// A message in its frame.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [[0].as_slice(), &length, message].concat()
}

/// An answer as etcd sends it.
pub(crate) fn reply(answer: Result<Vec<u8>, Status>) -> Reply {
    let reply = Reply::status(200).header("content-type", "application/grpc");
    match answer {
        Ok(message) => reply.chunks([framed(&message)]).trailers([("grpc-status", "0"), ("grpc-message", "")]),
        Err(Status { code, message }) => {
            reply.header("grpc-status", code.to_string()).header("grpc-message", percent_encoded(&message))
        }
    }
}

/// A status' text as it stands in a header: what is not printable ASCII, and `%`, as percent and two digits.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_one_whole_message() {
        assert_eq!(framed(b"abc"), b"\0\0\0\0\x03abc");
        assert_eq!(unframed(b"\0\0\0\0\x03abc"), Ok(b"abc".as_slice()));
        assert_eq!(unframed(b"\0\0\0\0\0"), Ok(b"".as_slice()));
        for broken in [b"".as_slice(), b"\0\0\0", b"\0\0\0\0\x04abc"] {
            assert_eq!(unframed(broken), Err(status::broken_frame()), "{broken:?}");
        }
        let large = unframed(b"\0\0\x20\0\x01").expect_err("it is larger than two mebibytes");
        assert_eq!(large.message, "grpc: received message larger than max (2097153 vs. 2097152)");
    }

    #[test]
    fn a_text_that_no_header_takes_is_encoded() {
        assert_eq!(percent_encoded("user: 50% of \u{e4}\n"), "user: 50%25 of %C3%A4%0A");
    }
}
