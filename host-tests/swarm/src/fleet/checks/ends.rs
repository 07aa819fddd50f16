//! What must hold of a fleet in the end.

use etcd_messages::KeyValue;

use super::FleetChecks;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::fleet::ownership::JournalKey;
use crate::fleet::plan::PREFIX;

impl FleetChecks {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.untold.is_empty() && self.etcd.pairs(PREFIX).iter().all(|kv| self.may_stay(kv))
    }

    /// May this key stand in the end? Living writers; what they have made void, since that may come late as long as they
    /// live; and what is no gateway's own.
    fn may_stay(&self, kv: &KeyValue) -> bool {
        let is_alive = |writer: &str| self.etcd.get(format!("{PREFIX}/w/{writer}")).is_some();
        match JournalKey::parse(&kv.key) {
            Some(JournalKey::Alive(_) | JournalKey::Letter(_) | JournalKey::Shared) => true,
            Some(JournalKey::Document(_) | JournalKey::Message(_) | JournalKey::Key(_)) => true,
            Some(JournalKey::Registered(writer)) => is_alive(&writer),
            Some(JournalKey::Segment(name)) => kv.value.is_empty() && is_alive(&name.writer),
            Some(JournalKey::Claimed(_) | JournalKey::Progress(_)) | None => false,
        }
    }

    /// Checks the end: every delivery that was accepted was taken or is a dead letter, and nothing else is left in the
    /// journal.
    pub fn judge(&self) -> Result<(usize, usize), Broken> {
        let (mut taken, mut failed) = (0, 0);
        for (id, endpoints) in &self.accepted {
            for endpoint in endpoints {
                let delivery = (id.clone(), endpoint.clone());
                if !self.has_ended(&delivery) {
                    let known = self.deliveries.get(&delivery);
                    return broken(Invariant::NothingVanishes, format!("{id} to {endpoint}: {known:?}"));
                }
                let is_taken = self.deliveries.get(&delivery).is_some_and(|progress| progress.taken > 0);
                (taken, failed) = (taken + usize::from(is_taken), failed + usize::from(!is_taken));
            }
        }
        if !self.untold.is_empty() {
            return broken(Invariant::TakenOnce, format!("etcd does not know of {:?}", self.untold));
        }
        let pairs = self.etcd.pairs(PREFIX);
        let strange = pairs.iter().filter(|kv| !self.may_stay(kv)).map(|kv| String::from_utf8_lossy(&kv.key));
        let strange: Vec<_> = strange.collect();
        if !strange.is_empty() {
            return broken(Invariant::JournalEmpty, format!("{strange:?}"));
        }
        Ok((taken, failed))
    }
}
