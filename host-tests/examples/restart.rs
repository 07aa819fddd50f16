//! Ends the VM of one worker, sees the other serve, and lets the first come back; then ends the whole process.
//!
//! `cargo run -p host-tests --example restart`

use std::error::Error;
use std::time::Duration;

use host_tests::{Fault, Filter, Process, Request, Thread};

fn main() -> Result<(), Box<dyn Error>> {
    let filter = Filter::compile(&wat::parse_str(include_str!("filter.wat"))?)?;
    let mut envoy = Process::builder(&filter).workers(2).start()?;

    envoy.kill_vm(Thread::Worker(0));
    assert_eq!([status(&mut envoy, 0)?, status(&mut envoy, 1)?], [503, 200]);

    // Envoy waits a second before it rebuilds a VM.
    envoy.advance(Duration::from_secs(1))?;
    assert_eq!(status(&mut envoy, 0)?, 200);

    // VMs come and go, shared data stays until the process ends.
    assert_eq!(envoy.shared_data().count(), 1);
    envoy.restart()?;
    assert_eq!(envoy.shared_data().count(), 0);
    print!("{}", envoy.trace());
    Ok(())
}

/// The status of the answer to a request on this worker.
fn status(envoy: &mut Process, worker: usize) -> Result<u16, Fault> {
    let request = envoy.request(worker, Request::post("/"))?;
    Ok(envoy.answer(request).map_or(0, |answer| answer.status()))
}
