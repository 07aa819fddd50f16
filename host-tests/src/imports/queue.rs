//! Shared queues. Whoever registers a name last is the one that is told of new items, once for each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use super::define;
use crate::abi::Status;
use crate::deployment::BuildId;
use crate::guest::Guest;
use crate::memory::enter;
use crate::scheduler::Event;
use crate::world::{QueueId, Thread};

/// From enqueueing to `on_queue_ready`, as measured on Envoy.
const WAKE_UP: Duration = Duration::from_micros(200);

/// The queues of one process.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    ids: BTreeMap<String, QueueId>,
    queues: BTreeMap<QueueId, Queue>,
}

/// Who is told of new items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    thread: Thread,
    build: BuildId,
    root: u32,
}

#[derive(Debug)]
struct Queue {
    target: Target,
    items: VecDeque<Vec<u8>>,
}

impl Queues {
    fn register(&mut self, name: String, target: Target) -> QueueId {
        let next = QueueId(u32::try_from(self.ids.len()).unwrap_or(u32::MAX).saturating_add(1));
        let id = *self.ids.entry(name).or_insert(next);
        let queue = self.queues.entry(id).or_insert_with(|| Queue { target, items: VecDeque::new() });
        queue.target = target;
        id
    }

    /// Who is to be told; `None` when there is no such queue.
    fn enqueue(&mut self, id: QueueId, item: Vec<u8>) -> Option<Target> {
        let queue = self.queues.get_mut(&id)?;
        queue.items.push_back(item);
        Some(queue.target)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(String::as_str)
    }
}

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(
        linker,
        "env",
        [
            proxy_register_shared_queue,
            proxy_resolve_shared_queue,
            proxy_enqueue_shared_queue,
            proxy_dequeue_shared_queue,
        ]
    );
    Ok(())
}

fn proxy_register_shared_queue(caller: Caller<'_, Guest>, name_at: u32, name_size: u32, id_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_register_shared_queue");
    let name = call.text(name_at, name_size)?;
    let root = call.root();
    let guest = call.guest();
    let target = Target { thread: guest.thread, build: guest.build, root };
    let id = call.world().queues.register(name, target);
    call.put_u32(id_at, id.0)?;
    Ok(Status::Ok.code())
}

fn proxy_resolve_shared_queue(
    caller: Caller<'_, Guest>,
    vm_id_at: u32,
    vm_id_size: u32,
    name_at: u32,
    name_size: u32,
    id_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_resolve_shared_queue");
    let vm_id = call.text(vm_id_at, vm_id_size)?;
    let name = call.text(name_at, name_size)?;
    let own = call.guest().identity.vm_id == vm_id;
    let Some(id) = call.world().queues.ids.get(&name).copied().filter(|_| own) else {
        return Ok(Status::NotFound.code());
    };
    call.put_u32(id_at, id.0)?;
    Ok(Status::Ok.code())
}

fn proxy_enqueue_shared_queue(caller: Caller<'_, Guest>, id: u32, item_at: u32, item_size: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_enqueue_shared_queue");
    let item = call.bytes(item_at, item_size)?;
    let queue = QueueId(id);
    let Some(target) = call.world().queues.enqueue(queue, item) else { return Ok(Status::NotFound.code()) };
    let Target { thread, build, root } = target;
    call.world().put_after(WAKE_UP, Event::QueueReady { thread, build, root, queue });
    Ok(Status::Ok.code())
}

fn proxy_dequeue_shared_queue(caller: Caller<'_, Guest>, id: u32, item_at: u32, item_size_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_dequeue_shared_queue");
    let Some(queue) = call.world().queues.queues.get_mut(&QueueId(id)) else { return Ok(Status::NotFound.code()) };
    let Some(item) = queue.items.pop_front() else { return Ok(Status::Empty.code()) };
    call.give(&item, item_at, item_size_at)
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
