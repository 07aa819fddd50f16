//! The one call of etcd's that only operators make, and whose messages are therefore here.

use etcd_messages::ResponseHeader;

/// `Maintenance/Defragment`: [`DefragmentRequest`], [`DefragmentResponse`]. It gives back what compactions have freed.
pub const DEFRAGMENT: &str = "/etcdserverpb.Maintenance/Defragment";

/// Asks one member to defragment its database.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DefragmentRequest {}

/// It has done so.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DefragmentResponse {
    /// etcd leaves it out.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}
