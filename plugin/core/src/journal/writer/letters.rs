//! The fleet's dead letters are listed, read and changed.

use super::{Writer, WriterState};
use crate::journal::event::JournalEvent;
use crate::journal::jobs::JobPurpose;
use crate::journal::letters::{LetterChange, LetterNews, LetterOperation};
use crate::journal::operation::{Operation, Outcome};
use crate::time::Instant;

impl Writer {
    /// Lists letters or reads them; says whether that is asked, which it is not while the same is being asked.
    pub fn ask_letters(&mut self, now: Instant, letters: LetterOperation) -> bool {
        let kind = std::mem::discriminant(&letters);
        let is_asked = self.is_asking(|job| {
            matches!(&job.operation, Operation::Letters { letters, .. } if std::mem::discriminant(letters) == kind)
        });
        let may_ask = !is_asked && matches!(self.state, WriterState::Open(_));
        if may_ask {
            self.ask(now, Operation::Letters { writer: self.id, letters }, JobPurpose::Letters);
        }
        may_ask
    }

    /// Whether letters are being listed.
    pub fn is_listing_letters(&self) -> bool {
        self.is_asking(|job| matches!(&job.operation, Operation::Letters { letters: LetterOperation::List { .. }, .. }))
    }

    /// Whether letters may be changed now: they are not while a note is under way.
    pub fn may_change_letters(&self) -> bool {
        matches!(self.state, WriterState::Open(_)) && !self.is_noting(self.id)
    }

    /// The most letters that are changed at once: each takes two changes in the store, of the letter and of who delivers it
    /// again.
    pub fn letters_most(&self) -> usize {
        self.journal.limits().changes / 2
    }

    /// Changes letters; where the store has no room it forgets those that are to be forgotten. What is changed is told.
    pub fn change_letters(&mut self, now: Instant, changes: Vec<(String, LetterChange)>) {
        let letters = if self.is_full {
            let names = changes.into_iter().filter(|(_, change)| *change == LetterChange::Forget);
            LetterOperation::Forget { names: names.map(|(name, _)| name).collect() }
        } else {
            LetterOperation::Change { member: self.member.encode(), changes }
        };
        if matches!(&letters, LetterOperation::Forget { names } if names.is_empty()) || !self.may_change_letters() {
            return;
        }
        if let LetterOperation::Change { .. } = &letters {
            self.member_written = self.member.clone();
        }
        self.ask(now, Operation::Letters { writer: self.id, letters }, JobPurpose::Note(self.id));
    }

    /// Tells what was changed.
    pub(super) fn letters_changed(&mut self, letters: &LetterOperation) {
        let changes = match letters {
            LetterOperation::Change { changes, .. } => changes.clone(),
            LetterOperation::Forget { names } => {
                names.iter().map(|name| (name.clone(), LetterChange::Forget)).collect()
            }
            LetterOperation::List { .. } | LetterOperation::Read { .. } => return,
        };
        self.tell(JournalEvent::Letters(LetterNews::Changed(changes)));
    }

    pub(super) fn letters_ended(&mut self, operation: &Operation, outcome: Outcome) {
        let news = match (operation, outcome) {
            (_, Outcome::Letters(answer)) => LetterNews::Answer(answer),
            (Operation::Letters { letters: LetterOperation::Read { .. }, .. }, _) => LetterNews::ReadFailed,
            // Listed again when it is time.
            _ => return,
        };
        self.tell(JournalEvent::Letters(news));
    }
}
