//! The target of a gRPC call or stream: the message `GrpcService` of Envoy's API, or the bare name of a cluster.

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use wasmtime::{Result, bail};

/// The tag of `GrpcService.envoy_grpc`, and of `EnvoyGrpc.cluster_name`.
const FIRST: u32 = 1;

/// A target, as Envoy reads it.
pub(super) enum Target {
    /// A message that names a cluster.
    Message(String),
    /// The name of a cluster, which is no such message.
    Bare(String),
}

impl Target {
    /// Reads a target. Envoy tries the message first, and goes on with whatever that says: where a name is one by chance, its
    /// target is not set, and Envoy aborts.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Some(service) = first(bytes) else { return Ok(Self::Bare(text(bytes))) };
        match service.as_deref().map(first) {
            None => bail!("{:?} is a GrpcService without a target: Envoy aborts", text(bytes)),
            Some(None) => Ok(Self::Bare(text(bytes))),
            Some(Some(name)) => Ok(Self::Message(text(&name.unwrap_or_default()))),
        }
    }

    pub(super) fn cluster(&self) -> &str {
        match self {
            Self::Message(cluster) | Self::Bare(cluster) => cluster,
        }
    }
}

/// The last value of the first field of a message; `None`: it is no message.
fn first(mut bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut found = None;
    while bytes.has_remaining() {
        let (tag, wire) = decode_key(&mut bytes).ok()?;
        if (tag, wire) == (FIRST, WireType::LengthDelimited) {
            let len = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
            let (value, rest) = bytes.split_at_checked(len)?;
            (found, bytes) = (Some(value.to_vec()), rest);
        } else {
            skip_field(wire, tag, &mut bytes, DecodeContext::default()).ok()?;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        match Target::read(bytes) {
            Ok(Target::Message(cluster)) => Ok(format!("message {cluster}")),
            Ok(Target::Bare(cluster)) => Ok(format!("name {cluster}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn target_is_a_message_before_it_is_a_name() {
        assert_eq!(read(b"\n\x06\n\x04etcd"), Ok("message etcd".to_owned()));
        assert_eq!(read(b"etcd"), Ok("name etcd".to_owned()));
        for name in ["etcd1", "etcd2", "my-etcd", "eu-etcd"] {
            assert!(read(name.as_bytes()).is_err_and(|error| error.contains("Envoy aborts")), "{name}");
        }
    }
}
