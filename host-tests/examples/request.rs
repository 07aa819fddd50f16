//! Loads a filter, sends a request through it, and looks at what the application received and the client was answered.
//!
//! `cargo run -p host-tests --example request`

use std::error::Error;
use std::time::Duration;

use host_tests::{Application, Filter, Process, Reply, Request};

fn main() -> Result<(), Box<dyn Error>> {
    let filter = Filter::compile(&wat::parse_str(include_str!("filter.wat"))?)?;
    let application = Application::always(Reply::status(201).body("made").after(Duration::from_millis(20)));
    let mut envoy = Process::builder(&filter).application(application).start()?;

    let request = envoy.request(0, Request::post("/orders").body("an order"))?;
    assert!(envoy.is_open(request), "the application takes 20 ms");
    envoy.advance(Duration::from_millis(20))?;

    let forwarded = envoy.forwarded(request).ok_or("nothing went on")?;
    assert_eq!((forwarded.header("x-seen"), forwarded.body.as_slice()), ("yes", b"an order".as_slice()));
    let answer = envoy.answer(request).ok_or("no answer")?;
    assert_eq!((answer.status(), answer.body.as_slice()), (201, b"made".as_slice()));
    print!("{}", envoy.trace());
    Ok(())
}
