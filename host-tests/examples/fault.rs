//! Injects a fault: a host call of the filter fails once, and the client is answered 503.
//!
//! `cargo run -p host-tests --example fault`

use std::error::Error;

use host_tests::{Effect, Filter, Point, Process, Request, Rule, Status};

fn main() -> Result<(), Box<dyn Error>> {
    let filter = Filter::compile(&wat::parse_str(include_str!("filter.wat"))?)?;
    let mut envoy = Process::builder(&filter).start()?;

    let failing = Effect::Fail(Status::InternalFailure as u32);
    envoy.add_rule(Rule::new(Point::HostCall("proxy_set_shared_data"), failing).times(1));
    let [failed, served] = [envoy.request(0, Request::post("/"))?, envoy.request(0, Request::post("/"))?];

    assert_eq!(envoy.answer(failed).map(|answer| answer.status()), Some(503));
    assert_eq!(envoy.answer(served).map(|answer| answer.status()), Some(200));
    print!("{}", envoy.trace());
    Ok(())
}
