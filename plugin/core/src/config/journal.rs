//! The section `journal`.

use std::time::Duration;

use zeroize::Zeroizing;

use super::reader::Node;
use super::values::{choice, cluster, literal_or_env};
use crate::journal::{EtcdSettings, EtcdUser, JournalSettings, Unavailable};

/// The range of `lease`. A shorter one lapses in an election of etcd's, which takes 1 to 2 seconds; after a longer one
/// events wait longer than any receiver expects.
const LEASE_MIN: Duration = Duration::from_secs(2);
const LEASE_MAX: Duration = Duration::from_secs(60);
/// The default of `lease`: twice the longest time without a success that was measured when an etcd lost its leader.
const LEASE: Duration = Duration::from_secs(5);
/// The default of `bytes`: half of what etcd takes by default, 2 GiB.
const BYTES: u64 = 1 << 30;
/// The largest `bytes`: etcd's authors advise against more than 8 GiB.
const BYTES_MAX: u64 = 8 << 30;

/// Reads the section.
pub(super) fn journal(node: &Node<'_>) -> Option<JournalSettings> {
    let object = node.object(&["etcd", "lease", "unavailable", "bytes"], &[])?;
    let etcd = object.required("etcd", "an object with cluster and prefix", etcd);
    // Leases of etcd's are whole seconds.
    let lease = object.or("lease", LEASE, |node| {
        let lease = super::values::duration(node, LEASE_MIN, LEASE_MAX)?;
        if lease.subsec_nanos() == 0 { Some(lease) } else { node.unfit("whole seconds") }
    });
    let unavailable = object.or("unavailable", Unavailable::Reject, |node| {
        choice(node, &[("reject", Unavailable::Reject), ("memory", Unavailable::Memory)], &[])
    });
    let bytes = object.size("bytes", BYTES, BYTES_MAX);
    Some(JournalSettings { etcd: etcd?, lease: lease?, unavailable: unavailable?, bytes: bytes? })
}

fn etcd(node: &Node<'_>) -> Option<EtcdSettings> {
    const CREDENTIAL: &str = "a string or {env: NAME}";
    let object = node.object(&["cluster", "prefix", "username", "password"], &[])?;
    let cluster = object.required("cluster", "the name of the Envoy cluster of etcd's members", cluster);
    let prefix = object.required("prefix", "what all keys begin with, such as \"/gatepost/shop\"", prefix);
    let credential = |node: &Node<'_>| {
        let text = Zeroizing::new(literal_or_env(node, CREDENTIAL)?);
        if text.is_empty() { node.problem("is empty", CREDENTIAL) } else { Some(text) }
    };
    let (name, password) = (object.optional("username", credential), object.optional("password", credential));
    let user = match (name?, password?) {
        (None, None) => None,
        (Some(name), Some(password)) => Some(EtcdUser { name: name.to_string(), password }),
        (Some(_), None) => return object.node().problem("has a username and no password", "both or neither"),
        (None, Some(_)) => return object.node().problem("has a password and no username", "both or neither"),
    };
    Some(EtcdSettings { cluster: cluster?, prefix: prefix?, user })
}

/// A prefix of keys. It ends in a printable character, so that the range of all keys under it is known.
fn prefix(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str =
        "1 to 128 letters, digits, '/', '-', '_' or '.', without a slash at its end, such as \"/gatepost/shop\"";
    let text = node.text(EXPECTED)?;
    let fits = (1..=128).contains(&text.len())
        && !text.ends_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if fits { Some(text.to_owned()) } else { node.unfit(EXPECTED) }
}
