//! Unary calls of gRPC, framed by hand: one message in, one out
//! ([the protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)).
//!
//! Envoy's own gRPC calls would hide the status of an error's headers, and cost the host one more callback for each
//! answer.

use prost::Message;

use crate::journal::operation::{StoreCall, StoreReply};

/// The statuses of gRPC that mean something here.
pub mod status {
    /// Success.
    pub const OK: u32 = 0;
    /// A request that can never be carried out.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// What the request names does not exist.
    pub const NOT_FOUND: u32 = 5;
    /// The caller has no right to this.
    pub const PERMISSION_DENIED: u32 = 7;
    /// There is no room.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// The server cannot do this, or what is asked for lies outside of what it has.
    pub const OUT_OF_RANGE: u32 = 11;
    /// There is no such method.
    pub const UNIMPLEMENTED: u32 = 12;
    /// The caller's token is none, or no longer one.
    pub const UNAUTHENTICATED: u32 = 16;
}

/// The size of what stands before a message: whether it is compressed, and its length in four bytes.
const FRAME: usize = 5;

/// The call of a method with this message; `token` is the caller's, if it has one.
pub fn call(path: &'static str, message: &impl Message, token: Option<&str>, part: u8) -> StoreCall {
    let len = message.encoded_len();
    let mut body = Vec::with_capacity(FRAME + len);
    body.push(0);
    body.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&message.encode_to_vec());
    let mut headers = vec![
        (":path", path.to_owned()),
        ("content-type", "application/grpc".to_owned()),
        ("te", "trailers".to_owned()),
    ];
    headers.extend(token.map(|token| ("token", token.to_owned())));
    StoreCall { headers, body, part }
}

/// An error of gRPC: a status that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcError<'a> {
    /// The status; `None`: the answer is none of gRPC's, or never came.
    pub status: Option<u32>,
    /// The text that came with the status.
    pub message: &'a str,
}

/// The message in an answer.
///
/// # Errors
/// The status and its text when it is not success; no status when there is no whole message.
pub fn message<M: Message + Default>(reply: &StoreReply) -> Result<M, GrpcError<'_>> {
    const NONE: GrpcError<'_> = GrpcError { status: None, message: "" };
    let StoreReply::Answer { status, grpc_status, grpc_message, body } = reply else { return Err(NONE) };
    match grpc_status {
        Some(status::OK) if *status == 200 => {}
        Some(status) if *status != self::status::OK => {
            return Err(GrpcError { status: Some(*status), message: grpc_message });
        }
        _ => return Err(NONE),
    }
    let (frame, rest) = body.split_at_checked(FRAME).ok_or(NONE)?;
    match frame {
        [0, len @ ..] if <[u8; 4]>::try_from(len).is_ok_and(|len| u32::from_be_bytes(len) as usize == rest.len()) => {
            M::decode(rest).map_err(|_| NONE)
        }
        _ => Err(NONE),
    }
}

#[cfg(test)]
mod tests {
    use etcd_messages::LeaseGrantResponse;

    use super::*;

    fn answer(grpc_status: Option<u32>, body: Vec<u8>) -> StoreReply {
        StoreReply::Answer { status: 200, grpc_status, grpc_message: "why".to_owned(), body }
    }

    /// What is framed is read again; a frame that is cut off, compressed or followed by more is no message.
    #[test]
    fn only_one_whole_message_is_read() {
        let sent = LeaseGrantResponse { id: 7, ttl: 5, ..LeaseGrantResponse::default() };
        let body = call("/x", &sent, None, 0).body;
        assert_eq!(message(&answer(Some(0), body.clone())), Ok(sent));
        let (mut compressed, mut more) = (body.clone(), body.clone());
        compressed[0] = 1;
        more.push(0);
        let cut = (0..body.len()).map(|len| body[..len].to_vec());
        for body in cut.chain([compressed, more]) {
            let reply = answer(Some(0), body);
            let read: Result<LeaseGrantResponse, _> = message(&reply);
            assert_eq!(read.unwrap_err().status, None);
        }
    }

    #[test]
    fn an_error_has_its_status_and_text() {
        let reply = answer(Some(14), Vec::new());
        let read: Result<LeaseGrantResponse, _> = message(&reply);
        assert_eq!(read, Err(GrpcError { status: Some(14), message: "why" }));
    }

    /// An answer of another HTTP status, or without a status of gRPC, says nothing.
    #[test]
    fn an_answer_that_is_none_of_grpc_says_nothing() {
        let plain =
            StoreReply::Answer { status: 503, grpc_status: None, grpc_message: String::new(), body: vec![0; 5] };
        for reply in [plain, StoreReply::Lost, StoreReply::NotSent, answer(None, vec![0; 5])] {
            let read: Result<LeaseGrantResponse, _> = message(&reply);
            assert_eq!(read.unwrap_err().status, None);
        }
    }

    #[test]
    fn a_token_goes_along() {
        let headers = call("/x", &LeaseGrantResponse::default(), Some("t.1"), 0).headers;
        assert_eq!(headers.last(), Some(&("token", "t.1".to_owned())));
    }
}
