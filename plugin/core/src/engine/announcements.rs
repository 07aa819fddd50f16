//! The worker that keeps the documents of the fleet hears at once when some have changed, on a stream of the store.
//!
//! A stream that is gone is opened again after [`AGAIN`]. Nobody need know of it meanwhile: documents are read every second
//! in any case.

use std::time::Duration;

use super::Engine;
use super::action::Action;
use super::commits::Announcements;
use crate::journal::operation::Announcement;
use crate::store::World;
use crate::time::Instant;

/// The wait until a stream that has ended is opened again.
const AGAIN: Duration = Duration::from_secs(5);

impl Engine {
    /// Opens the stream where this worker keeps the documents, and closes it where it does so no more.
    pub(super) fn keep_announcements(&mut self, now: Instant) {
        let is_wanted = self.keeps_documents() && !self.leadership.is_closing;
        let Announcements { is_open, again, .. } = self.documents.announcements;
        if is_open && !is_wanted {
            self.end_announcements(now);
            self.output.act(Action::CloseStream);
        } else if !is_open && is_wanted && again <= now {
            let Some(stream) = self.journal.as_ref().and_then(|journal| journal.writer.announcements()) else { return };
            let cluster = self.config.journal.as_ref().map(|journal| journal.etcd.cluster.clone()).unwrap_or_default();
            self.documents.announcements.is_open = true;
            self.output.act(Action::OpenStream { cluster, stream });
        }
    }

    /// Handles a message on the stream.
    pub fn handle_announcement(&mut self, world: &World<'_>, message: &[u8]) {
        let Some(journal) = &self.journal else { return };
        match journal.writer.announcement(message) {
            Announcement::Changed => self.documents.announcements.is_changed = true,
            Announcement::Nothing => {}
            Announcement::Over => {
                self.end_announcements(world.now.mono);
                self.output.act(Action::CloseStream);
            }
        }
    }

    /// Handles the end of the stream, and that it could not be opened.
    pub fn handle_stream_end(&mut self, world: &World<'_>) {
        self.end_announcements(world.now.mono);
    }

    fn end_announcements(&mut self, now: Instant) {
        let Announcements { is_open, again, .. } = &mut self.documents.announcements;
        (*is_open, *again) = (false, now.plus(AGAIN));
    }
}
