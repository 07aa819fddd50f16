//! The output of the engine: actions for the binding to perform, and notices to count and to log.

use std::collections::VecDeque;

use super::action::Action;
use crate::telemetry::notice::Notice;

/// Actions and notices that nobody has taken yet, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Output {
    actions: VecDeque<Action>,
    notices: VecDeque<Notice>,
}

impl Output {
    /// Adds a notice of something that happened.
    pub fn note(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    /// Adds an action for the binding to perform.
    pub fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// The next notice.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The next notice or, when there is none, the next action.
    pub fn poll(&mut self) -> Option<Action> {
        self.notices.pop_front().map(Action::Notice).or_else(|| self.actions.pop_front())
    }

    /// Says whether there is no notice and no action.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.notices.is_empty()
    }
}
