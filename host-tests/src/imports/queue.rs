//! Shared queues.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::Guest;
use crate::host_call::{define, enter};
use crate::ids::QueueId;
use crate::world::queues::Target;
use crate::world::schedule::Event;

/// From enqueueing to `on_queue_ready`, as measured on Envoy.
const WAKE_UP: Duration = Duration::from_micros(200);

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
    let Some(id) = call.world().queues.id(&name).filter(|_| own) else {
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
    match call.world().queues.dequeue(QueueId(id)) {
        Ok(item) => call.give(&item, item_at, item_size_at),
        Err(status) => Ok(status.code()),
    }
}
