//! What operators and the guard have decided is made one truth for the fleet: see [`crate::journal::documents`].
//!
//! | document | fields |
//! |---|---|
//! | `state` | `state`: the operators' override of the config's `enabled` |
//! | `endpoint/<name>` | `disabled`: the operators' override; `gone`: its receiver has answered 410 |
//! | `rollout/<name>` | `rolled_back`: the rollback, if there is one; and, for each plan by its digest, how far it has come |
//!
//! A change here is written within [`LOOK_EVERY`], by the worker that made it at once; a change elsewhere is read as soon as
//! the store announces it ([`super::announcements`]), and without an announcement within [`READ_EVERY`], by one worker of
//! each gateway, and known to all its workers a quarter of a second later.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Engine;
use super::commits::Documents;
use crate::admin::control::Control;
use crate::egress::state::EndpointDecision;
use crate::ids::EndpointId;
use crate::journal::documents::{Agreed, Fields, FleetKnowledge, decode, encode, merge};
use crate::journal::operation::{Document, Revision};
use crate::rollout::{Progress, RolledBack, Stand};
use crate::store::{Record, StoreError, World, Write, read, update};
use crate::telemetry::notice::Notice;
use crate::time::Instant;

/// How often a gateway looks for what was changed here, by any filter of its process.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a gateway reads what was changed elsewhere.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How long a gateway that has started waits for the documents at most: a fleet may be switched off, but a store that is
/// away must not hold what is in memory only.
const JOINING_MAX: Duration = Duration::from_secs(3);

/// With more endpoints than this a gateway looks once a second: each costs two reads of shared data.
const ENDPOINTS_QUICK: usize = 250;

/// The plans whose progress a document remembers: the one in force, that of a rolling deploy, and two before.
const PLANS_MAX: usize = 4;

const ROLLED_BACK: &str = "rolled_back";

/// The name under which it is remembered up to which revision the documents were read first.
const KNOWN: &str = "known";

/// The subject of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DocumentSubject {
    State,
    Endpoint(EndpointId),
    Rollout(EndpointId),
}

impl Engine {
    /// Makes the documents here and in the store alike.
    pub(super) fn sync_documents(&mut self, world: &mut World<'_>) {
        let now = world.now.mono;
        self.keep_announcements(now);
        self.join(world);
        let Some(journal) = self.journal.as_ref() else { return };
        if !journal.writer.is_alive(now) {
            // Without a lease this worker keeps nothing: it looks again when it is time, not at once.
            (self.documents.read, self.documents.looked, self.documents.was_alive) = (now, now, false);
            return;
        }
        if !std::mem::replace(&mut self.documents.was_alive, true) {
            self.documents.read = Instant::default();
        }
        let keeps = self.keeps_documents();
        let is_due = self.documents.announcements.is_changed || now.since(self.documents.read) >= READ_EVERY;
        if keeps && is_due {
            self.documents.read = now;
            let since = self.documents.since;
            // While they are being read already, the change may have come too late for that: they are read once more.
            let is_asked = self.journal.as_mut().is_some_and(|journal| journal.writer.ask_documents(now, since));
            self.documents.announcements.is_changed &= !is_asked;
        }
        if now.since(self.documents.looked) >= self.look_every() {
            self.documents.looked = now;
            if keeps && self.knows_fleet() {
                self.store_changed(world, &self.subjects());
            }
        }
    }

    /// Finds out whether this gateway has read the documents since its start.
    pub(super) fn join(&mut self, world: &mut World<'_>) {
        if self.knows_fleet() {
            return;
        }
        let began = *self.documents.began.get_or_insert(world.now.mono);
        if self.agreed(world, KNOWN).is_ok_and(|agreed| agreed.is_some()) {
            // Another worker has read them: what this one has seen since is older.
            self.documents.knowledge = FleetKnowledge::Read;
            self.forget_copies(world);
        } else if world.now.mono.since(began) >= JOINING_MAX {
            self.documents.knowledge = FleetKnowledge::Missed;
        }
    }

    /// Says whether this gateway has read the documents since its start.
    pub(super) fn knows_fleet(&self) -> bool {
        self.documents.knowledge == FleetKnowledge::Read
    }

    /// When the documents are to be looked at next.
    pub(super) fn documents_due(&self) -> Option<Instant> {
        let Documents { read, looked, .. } = self.documents;
        self.keeps_documents().then(|| read.plus(READ_EVERY).min(looked.plus(self.look_every())))
    }

    /// Says whether this worker is the one of its gateway that keeps the documents.
    pub(super) fn keeps_documents(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.writer.keeps_documents(journal.instance()))
    }

    /// How often this gateway looks for what was changed here.
    fn look_every(&self) -> Duration {
        if self.config.endpoints.len() > ENDPOINTS_QUICK { Duration::from_secs(1) } else { LOOK_EVERY }
    }

    /// Writes what this worker has just changed.
    pub(super) fn publish_changes(&mut self, world: &mut World<'_>) {
        if self.journal.is_some() && self.knows_fleet() {
            self.store_changed(world, &self.subjects());
        }
    }

    fn subjects(&self) -> BTreeSet<DocumentSubject> {
        let endpoints = (0..self.config.endpoints.len()).map(EndpointId);
        let of = |id| [DocumentSubject::Endpoint(id), DocumentSubject::Rollout(id)];
        std::iter::once(DocumentSubject::State).chain(endpoints.flat_map(of)).collect()
    }

    fn name(&self, subject: DocumentSubject) -> Option<String> {
        let name = |id: EndpointId| self.config.endpoints.get(id.0).map(|endpoint| endpoint.name.as_str());
        Some(match subject {
            DocumentSubject::State => "state".to_owned(),
            DocumentSubject::Endpoint(id) => format!("endpoint/{}", name(id)?),
            DocumentSubject::Rollout(id) => format!("rollout/{}", name(id)?),
        })
    }

    fn subject(&self, name: &str) -> Option<DocumentSubject> {
        let id = |name: &str| self.config.endpoints.iter().position(|endpoint| endpoint.name == name).map(EndpointId);
        match name.split_once('/') {
            None if name == "state" => Some(DocumentSubject::State),
            Some(("endpoint", name)) => id(name).map(DocumentSubject::Endpoint),
            Some(("rollout", name)) => id(name).map(DocumentSubject::Rollout),
            _ => None,
        }
    }

    /// What the fleet and this gateway last agreed on.
    fn agreed(&self, world: &mut World<'_>, name: &str) -> Result<Option<Agreed>, StoreError> {
        read(world.store, &self.keys.of::<Agreed>(&self.in_fleet(name)))
    }

    /// The name of a document with that of its fleet: a newer configuration may be of another one.
    fn in_fleet(&self, name: &str) -> String {
        let etcd = self.config.journal.as_ref().map(|journal| &journal.etcd);
        etcd.map_or_else(String::new, |etcd| format!("{}{}/{name}", etcd.cluster, etcd.prefix))
    }

    fn agree(&mut self, world: &mut World<'_>, name: &str, agreed: &Agreed) {
        let written = agreed.encode().and_then(|bytes| {
            let key = self.keys.of::<Agreed>(&self.in_fleet(name));
            world.store.set(key.as_str(), &bytes, None)
        });
        if let Err(error) = written {
            self.output.note(Notice::Store { doing: "remembering a document of the fleet", error });
        }
    }

    /// Writes the documents that were changed here since the fleet last agreed.
    fn store_changed(&mut self, world: &mut World<'_>, subjects: &BTreeSet<DocumentSubject>) {
        let now = world.now.mono;
        for subject in subjects {
            let Some(name) = self.name(*subject) else { continue };
            let Ok(agreed) = self.agreed(world, &name) else { continue };
            let Agreed { revision, bytes } = agreed.unwrap_or_default();
            let base = decode(&bytes).unwrap_or_default();
            let Ok(here) = self.fields(world, *subject, &base) else { continue };
            if here != base
                && let Some(journal) = self.journal.as_mut()
            {
                journal.writer.store_document(now, &name, revision, encode(&here));
            }
        }
    }

    /// A document as it stands here; `base` has the fields that are other configurations'.
    fn fields(&self, world: &mut World<'_>, subject: DocumentSubject, base: &Fields) -> Result<Fields, StoreError> {
        let mut fields = base.clone();
        let mut set = |key: &str, value: Value| match value {
            Value::Null => drop(fields.remove(key)),
            value => drop(fields.insert(key.to_owned(), value)),
        };
        match subject {
            DocumentSubject::State => set("state", json!(Control::read(world.store, &self.keys)?.any_override())),
            DocumentSubject::Endpoint(id) => {
                let Some((_, keys)) = self.endpoint(id) else { return Ok(fields) };
                let EndpointDecision { disabled, gone } = keys.shared(world.store)?.decision();
                set("disabled", json!(disabled));
                set("gone", json!(gone));
            }
            DocumentSubject::Rollout(id) => {
                let Some((endpoint, _)) = self.endpoint(id) else { return Ok(fields) };
                let Some(progress) = read::<Progress>(world.store, &self.keys.of(&endpoint.name))? else {
                    return Ok(fields);
                };
                let (digest, stand) = progress.stand();
                let digest = format!("{digest:016x}");
                set(ROLLED_BACK, json!(progress.rolled_back));
                // A rollout without phases and without an operator's share stands where it began, unless the fleet has it
                // elsewhere.
                let has_moved = progress.by_operator.is_some() || progress.is_held || base.contains_key(&digest);
                if has_moved || !self.config.rollout.plan.phases.is_empty() {
                    set(&digest, json!(stand));
                }
            }
        }
        forget_old_plans(&mut fields);
        Ok(fields)
    }

    /// Takes over documents that were changed elsewhere; what was changed here meanwhile stays, and is written next.
    pub(super) fn take_documents(&mut self, world: &mut World<'_>, changed: Vec<Document>, until: Revision) {
        if self.has_left_store(world, until) {
            // Everything in the new one is news.
            self.documents.since = Revision::default();
            return self.document_conflict(world);
        }
        let is_changed = !changed.is_empty();
        for Document { name, revision, bytes } in changed {
            let Some(subject) = self.subject(&name) else { continue };
            let Some(elsewhere) = decode(&bytes) else { continue };
            let Ok(agreed) = self.agreed(world, &name) else { return };
            if agreed.as_ref().is_some_and(|agreed| agreed.revision >= revision) {
                continue;
            }
            let base = agreed.as_ref().and_then(|agreed| decode(&agreed.bytes)).unwrap_or_default();
            let merged = self.fields(world, subject, &base).ok().map(|mut here| {
                if agreed.is_none() {
                    here.retain(|key, value| holds_at_first(subject, key, value, &elsewhere));
                }
                merge(&base, &here, &elsewhere)
            });
            if let Err(error) = self.put_fields(world, subject, &merged.unwrap_or(elsewhere)) {
                return self.output.note(Notice::Store { doing: "taking over a document of the fleet", error });
            }
            self.agree(world, &name, &Agreed { revision, bytes });
        }
        self.documents.since = until;
        if !self.knows_fleet() {
            self.documents.knowledge = FleetKnowledge::Read;
            self.agree(world, KNOWN, &Agreed { revision: until, bytes: Vec::new() });
        }
        if is_changed {
            self.forget_copies(world);
        }
    }

    /// Forgets what was agreed on in a store in whose place another one was put, whose revisions are lower; says whether
    /// that is so.
    fn has_left_store(&mut self, world: &mut World<'_>, until: Revision) -> bool {
        let known = self.agreed(world, KNOWN).ok().flatten();
        if known.is_none_or(|known| known.revision <= until) {
            return false;
        }
        for name in self.subjects().into_iter().filter_map(|subject| self.name(subject)).collect::<Vec<_>>() {
            self.agree(world, &name, &Agreed::default());
        }
        self.agree(world, KNOWN, &Agreed { revision: until, bytes: Vec::new() });
        true
    }

    /// Remembers that the fleet has agreed on a document as it was written by this gateway.
    pub(super) fn document_stored(&mut self, world: &mut World<'_>, Document { name, revision, bytes }: Document) {
        let known = self.agreed(world, &name).ok().flatten();
        if known.is_none_or(|agreed| agreed.revision < revision) {
            self.agree(world, &name, &Agreed { revision, bytes });
        }
    }

    /// Reads the documents at once: another gateway has changed one that was to be written.
    pub(super) fn document_conflict(&mut self, world: &World<'_>) {
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.ask_documents(world.now.mono, self.documents.since);
        }
    }

    fn put_fields(
        &mut self,
        world: &mut World<'_>,
        subject: DocumentSubject,
        fields: &Fields,
    ) -> Result<(), StoreError> {
        fn field<T: serde::de::DeserializeOwned>(fields: &Fields, key: &str) -> Option<T> {
            serde_json::from_value(fields.get(key)?.clone()).ok()
        }
        match subject {
            DocumentSubject::State => {
                let state = field(fields, "state");
                Control::change(world.store, &self.keys, &mut |control| control.take_override(state.clone()))
            }
            DocumentSubject::Endpoint(id) => {
                let Some((_, keys)) = self.endpoint(id) else { return Ok(()) };
                let (disabled, gone) = (field(fields, "disabled"), field(fields, "gone"));
                keys.decide(world.store, EndpointDecision { disabled, gone })
            }
            DocumentSubject::Rollout(id) => {
                let Some((endpoint, _)) = self.endpoint(id) else { return Ok(()) };
                let (plan, now) = (&self.config.rollout.plan, world.now);
                let stand: Option<Stand> = field(fields, &format!("{:016x}", plan.digest));
                let rolled_back: Option<RolledBack> = field(fields, ROLLED_BACK);
                update(world.store, &self.keys.of(&endpoint.name), |kept: &mut Progress| {
                    let before = kept.clone();
                    let mut progress = Progress::under(Some(before.clone()), plan, now);
                    progress.take_stand(stand.clone(), rolled_back.clone(), now);
                    *kept = progress;
                    (if *kept == before { Write::No } else { Write::Yes }, ())
                })
            }
        }
    }

    /// Forgets the copies that this worker has in its memory, and reads the operators' switches again.
    pub(super) fn forget_copies(&mut self, world: &mut World<'_>) {
        self.leadership.control = Default::default();
        for state in &mut self.endpoints {
            (state.seen, state.rollout.read) = (None, None);
        }
        self.check_control(world);
    }
}

/// Whether what stands here holds when a document is read for the first time: what was ordered here does, unless the fleet's
/// word is younger; how far a rollout has come by itself does not.
fn holds_at_first(subject: DocumentSubject, key: &str, here: &Value, elsewhere: &Fields) -> bool {
    let at = |value: &Value| value.get("at").and_then(Value::as_u64).unwrap_or_default();
    let is_younger = elsewhere.get(key).is_none_or(|elsewhere| at(here) >= at(elsewhere));
    is_younger && (key == ROLLED_BACK || !matches!(subject, DocumentSubject::Rollout(_)))
}

/// Forgets how far plans had come that are long replaced: all but the last ones to begin.
fn forget_old_plans(fields: &mut Fields) {
    let since = |value: &Value| value.get("since").and_then(Value::as_u64).unwrap_or_default();
    let mut plans: Vec<(u64, String)> = fields
        .iter()
        .filter(|(key, _)| key.as_str() != ROLLED_BACK)
        .filter(|(_, value)| value.get("phase").is_some())
        .map(|(key, value)| (since(value), key.clone()))
        .collect();
    plans.sort_unstable();
    for (_, key) in plans.iter().rev().skip(PLANS_MAX) {
        fields.remove(key);
    }
}
