//! Shared queues. Whoever registers a name last is the one that is told of new items, once for each.

use std::collections::{BTreeMap, VecDeque};

use crate::abi::Status;
use crate::ids::{BuildId, QueueId, Thread};

/// The queues of one process.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    ids: BTreeMap<String, QueueId>,
    queues: BTreeMap<QueueId, Queue>,
}

/// The root context that is told of new items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) thread: Thread,
    pub(crate) build: BuildId,
    pub(crate) root: u32,
}

#[derive(Debug)]
struct Queue {
    target: Target,
    items: VecDeque<Vec<u8>>,
}

impl Queues {
    /// Makes `target` the one that is told of a queue's items; the queue's id.
    pub(crate) fn register(&mut self, name: String, target: Target) -> QueueId {
        let next = QueueId(u32::try_from(self.ids.len()).unwrap_or(u32::MAX).saturating_add(1));
        let id = *self.ids.entry(name).or_insert(next);
        let queue = self.queues.entry(id).or_insert_with(|| Queue { target, items: VecDeque::new() });
        queue.target = target;
        id
    }

    /// Adds an item; who is to be told of it, or `None` when there is no such queue.
    pub(crate) fn enqueue(&mut self, id: QueueId, item: Vec<u8>) -> Option<Target> {
        let queue = self.queues.get_mut(&id)?;
        queue.items.push_back(item);
        Some(queue.target)
    }

    /// Takes the oldest item out of a queue.
    pub(crate) fn dequeue(&mut self, id: QueueId) -> Result<Vec<u8>, Status> {
        self.queues.get_mut(&id).ok_or(Status::NotFound)?.items.pop_front().ok_or(Status::Empty)
    }

    /// The queue of this name.
    pub(crate) fn id(&self, name: &str) -> Option<QueueId> {
        self.ids.get(name).copied()
    }

    /// The names of all queues, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_registrant_of_a_name_is_the_one_that_is_told() {
        let mut queues = Queues::default();
        let target = |thread, root| Target { thread, build: BuildId::default(), root };
        let first = queues.register("wake".to_owned(), target(Thread::Main, 1));
        let second = queues.register("wake".to_owned(), target(Thread::Worker(1), 3));
        assert_eq!(first, second);
        assert_eq!(queues.enqueue(first, Vec::new()), Some(target(Thread::Worker(1), 3)));
    }

    #[test]
    fn a_queue_nobody_registered_takes_nothing() {
        assert_eq!(Queues::default().enqueue(QueueId(7), Vec::new()), None);
    }
}
