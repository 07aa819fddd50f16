//! The documents of the fleet are read and written: whoever changes one says which revision it was changed from.

use super::{Writer, WriterState};
use crate::journal::event::JournalEvent;
use crate::journal::jobs::JobPurpose;
use crate::journal::operation::{Announcement, Document, Operation, Outcome, Revision, StoreStream, WriterId};
use crate::journal::record::Member;
use crate::time::Instant;

impl Writer {
    /// Asks for the documents that have changed since a revision; does nothing, and says so, while they are being asked
    /// for.
    pub fn ask_documents(&mut self, now: Instant, since: Revision) -> bool {
        let is_asked = self.is_asking(|job| matches!(job.operation, Operation::Documents { .. }));
        let may_ask = !is_asked && matches!(self.state, WriterState::Open(_));
        if may_ask {
            self.ask(now, Operation::Documents { since }, JobPurpose::Documents);
        }
        may_ask
    }

    /// The stream on which the store announces changes of documents; none before it is known which writers there are, for
    /// one of a gateway needs it.
    pub fn announcements(&self) -> Option<StoreStream> {
        if self.takeover.members.is_empty() {
            return None;
        }
        self.journal.announcements()
    }

    /// What a message on that stream means.
    pub fn announcement(&self, message: &[u8]) -> Announcement {
        self.journal.announcement(message)
    }

    /// Writes a document that was changed from a revision; does nothing while it is being written. If the outcome is not
    /// known, the next writing finds out by the revision.
    pub fn store_document(&mut self, now: Instant, name: &str, revision: Revision, bytes: Vec<u8>) {
        let is_asked =
            self.is_asking(|job| matches!(&job.operation, Operation::Store { name: other, .. } if other == name));
        if !is_asked && matches!(self.state, WriterState::Open(_)) {
            self.ask(now, Operation::Store { name: name.to_owned(), revision, bytes }, JobPurpose::Documents);
        }
    }

    pub(super) fn documents_ended(&mut self, operation: Operation, outcome: Outcome) {
        match (operation, outcome) {
            (Operation::Documents { .. }, Outcome::Documents { changed, until }) => {
                self.tell(JournalEvent::Documents { changed, until });
            }
            (Operation::Store { name, bytes, .. }, Outcome::Stored(revision)) => {
                self.tell(JournalEvent::Stored(Document { name, revision, bytes }));
            }
            (Operation::Store { .. }, Outcome::Conflict) => self.tell(JournalEvent::Conflict),
            // Asked again when it is time.
            _ => {}
        }
    }

    /// Whether this writer is the one of its gateway that keeps the documents: that with the lowest id.
    pub fn keeps_documents(&self, instance: &str) -> bool {
        let is_before =
            |(writer, member): &(WriterId, Option<Member>)| *writer < self.id && is_of(member.as_ref(), instance);
        matches!(self.state, WriterState::Open(_)) && !self.takeover.members.iter().any(is_before)
    }
}

fn is_of(member: Option<&Member>, instance: &str) -> bool {
    member.is_some_and(|member| member.instance == instance)
}
