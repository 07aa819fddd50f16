//! The section `limits`. The worst-case memory of the filter is the sum of what the constants here say of each maximum.

use super::Limits;
use super::reader::{Node, Object};

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Above what webhook receivers accept as a rule, below the 1 MiB that Envoy buffers by default.
            body: 256 << 10,
            // A minute and a half of 100 events a second.
            pending: 10_000,
            // With 256 KiB bodies 256 events; with 6 KiB bodies all 10,000.
            pending_bytes: 64 << 20,
            dead_letters: 1000,
            dead_letter_bytes: 64 << 20,
            idempotency_keys: 100_000,
            history: 1000,
        }
    }
}

/// The largest `body`. A body exists up to three times in a VM: received, as a record, as sent. 3 x 16 MiB is 5 % of a
/// VM's 1 GiB.
const BODY_MAX: u64 = 16 << 20;
/// The largest `pending`. A pending event takes two keys of 200 B and about 300 B of state: 100,000 x 0.7 KiB = 70 MiB
/// a worker.
const PENDING_MAX: u32 = 100_000;
/// The largest `pending_bytes`: in shared data, counted in full, 1 GiB a worker.
const PENDING_BYTES_MAX: u64 = 1 << 30;
/// The largest `dead_letters`: 100,000 x 0.5 KiB = 50 MiB. A dead letter takes a key of 200 B and about 300 B besides
/// its body.
const DEAD_LETTERS_MAX: u32 = 100_000;
/// The largest `dead_letter_bytes`: in shared data, counted in full, 1 GiB.
const DEAD_LETTER_BYTES_MAX: u64 = 1 << 30;
/// The largest `idempotency_keys`. A key takes a record of about 0.5 KiB with the answer that is repeated for it:
/// 1,000,000 x 0.5 KiB = 500 MiB.
const IDEMPOTENCY_KEYS_MAX: u32 = 1_000_000;
/// The largest `history`. An event takes about 1 KiB with its attempts: 100,000 x 1 KiB = 100 MiB. A survey of the
/// history reads at most as many events, whatever the record of the history says.
pub const HISTORY_MAX: u32 = 100_000;

/// Reads the section.
pub(super) fn limits(node: &Node<'_>) -> Option<Limits> {
    let keys = ["body", "pending", "pending_bytes", "dead_letters", "dead_letter_bytes", "idempotency_keys", "history"];
    let object = node.object(&keys, &[])?;
    let default = Limits::default();
    let body = object.size("body", default.body as u64, BODY_MAX).and_then(|body| usize::try_from(body).ok());
    let pending = object.integer("pending", default.pending, PENDING_MAX);
    let pending_bytes = object.size("pending_bytes", default.pending_bytes, PENDING_BYTES_MAX);
    let dead_letters = object.integer("dead_letters", default.dead_letters, DEAD_LETTERS_MAX);
    let dead_letter_bytes = object.size("dead_letter_bytes", default.dead_letter_bytes, DEAD_LETTER_BYTES_MAX);
    let idempotency_keys = object.integer("idempotency_keys", default.idempotency_keys, IDEMPOTENCY_KEYS_MAX);
    let history = object.integer("history", default.history, HISTORY_MAX);
    let limits = Limits {
        body: body?,
        pending: pending?,
        pending_bytes: pending_bytes?,
        dead_letters: dead_letters?,
        dead_letter_bytes: dead_letter_bytes?,
        idempotency_keys: idempotency_keys?,
        history: history?,
    };
    holds_one_body(&object, "pending_bytes", limits.pending_bytes, limits.body)?;
    holds_one_body(&object, "dead_letter_bytes", limits.dead_letter_bytes, limits.body)?;
    Some(limits)
}

/// Checks that a limit has room for the largest body: otherwise such a body would be refused for ever.
fn holds_one_body(limits: &Object<'_>, key: &'static str, bytes: u64, body: usize) -> Option<()> {
    if u64::try_from(body).is_ok_and(|body| body <= bytes) {
        return Some(());
    }
    let node = limits.get(key).unwrap_or_else(|| *limits.node());
    node.problem(&format!("{key} is {bytes} bytes"), &format!("at least limits.body, {body} bytes"))
}
