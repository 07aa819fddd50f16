//! Several processes under one time.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use host_tests::{Builder, Effect, Fleet, Point, Reply, Request, Rule, Thread, Upstream};

use crate::support::{millis, said, scripted, seconds};

type Result = std::result::Result<(), Box<dyn Error>>;

/// What a server behind all processes has received: from whom, the time of the fleet, and the wall clock there.
type Received = Rc<RefCell<Vec<(&'static str, Duration, u64)>>>;

/// A process that calls the server at each tick of its main thread, and at each request.
fn calling(received: &Received, name: &'static str, start: Duration, tick: u64) -> Builder {
    let received = Rc::clone(received);
    let server = Upstream::by(move |call| {
        if call.thread == Thread::Main || call.header(":path") == "/request" {
            received.borrow_mut().push((name, start + call.at, call.wall_millis));
        }
        Reply::status(200)
    });
    let script = format!(
        "configure: tick {tick}
        tick: call server /tick 1000
        request_headers: share key value; call server /request 1000"
    );
    scripted(&script).cluster("server", server)
}

fn start(fleet: &mut Fleet, received: &Received, name: &'static str, tick: u64) -> Result {
    Ok(fleet.start(name, calling(received, name, fleet.now(), tick))?)
}

#[test]
fn what_happens_next_in_any_process_happens_next() -> Result {
    let (mut fleet, received) = (Fleet::default(), Received::default());
    start(&mut fleet, &received, "one", 70)?;
    fleet.advance(millis(100))?;
    start(&mut fleet, &received, "two", 30)?;
    start(&mut fleet, &received, "three", 30)?;
    fleet.advance(seconds(1))?;
    let received = received.borrow();
    let of = |name: &str| received.iter().filter(|(by, ..)| *by == name).count();
    assert_eq!((of("one"), of("two"), of("three")), (15, 33, 33));
    assert!(received.is_sorted_by_key(|(_, at, _)| *at), "{received:?}");
    Ok(())
}

/// Each process counts from its own start while the wall clocks agree but for what they are off.
#[test]
fn each_process_has_clocks_of_its_own() -> Result {
    let (mut fleet, received) = (Fleet::default(), Received::default());
    fleet.advance(seconds(100))?;
    let builder = calling(&received, "off", fleet.now(), 1000).wall_clock_off_by(-2_500);
    fleet.start("off", builder)?;
    start(&mut fleet, &received, "right", 1000)?;
    fleet.advance(seconds(2))?;
    let clock = |name: &str| fleet.get(name).map(|process| process.clock()).expect("it runs");
    let (right, off) = (clock("right"), clock("off"));
    for (name, clock) in [("right", right), ("off", off)] {
        assert_eq!(fleet.started(name).map(|start| start + clock.elapsed()), Some(fleet.now()));
        assert!((2_000..2_020).contains(&clock.elapsed().as_millis()), "{clock:?}");
    }
    assert_eq!(right.wall_nanos() - off.wall_nanos(), 2_500_000_000);
    let begin = 1_767_225_600_000;
    for (name, at, wall) in received.borrow().iter() {
        let is_off = if *name == "off" { 2_500 } else { 0 };
        assert_eq!(u128::from(*wall), begin + at.as_millis() - is_off, "{name}");
    }
    Ok(())
}

#[test]
fn a_killed_process_does_nothing_more() -> Result {
    let (mut fleet, received) = (Fleet::default(), Received::default());
    start(&mut fleet, &received, "one", 100)?;
    start(&mut fleet, &received, "two", 100)?;
    fleet.advance(seconds(1))?;
    fleet.with("one", |process| process.request(0, Request::post("/"))).expect("it runs")?;
    let dead = fleet.kill("one").expect("it ran");
    assert!(said(&dead).contains(&"share key value -> ok"), "what it did can be looked at");
    let killed = fleet.now();
    fleet.advance(seconds(3))?;
    assert_eq!((fleet.names().collect::<Vec<_>>(), fleet.get("one").is_none()), (vec!["two"], true));
    assert!(fleet.kill("one").is_none() && fleet.with("one", |_| ()).is_none());
    start(&mut fleet, &received, "one", 100)?;
    let restarted = fleet.started("one").expect("it runs");
    fleet.advance(seconds(1))?;
    let received = received.borrow();
    let one = received.iter().filter(|(name, ..)| *name == "one");
    let (before, after): (Vec<_>, Vec<_>) = one.map(|(_, at, _)| *at).partition(|at| *at <= killed);
    assert!(before.len() == 10 && after.len() == 9 && after.iter().all(|at| *at > restarted), "{before:?} {after:?}");
    assert!(fleet.get("one").is_some_and(|process| process.shared_data().next().is_none()));
    Ok(())
}

/// While a worker of one process waits in a host call the other processes go on.
#[test]
fn others_go_on_while_a_vm_waits_in_a_host_call() -> Result {
    let (mut fleet, received) = (Fleet::default(), Received::default());
    start(&mut fleet, &received, "frozen", 1000)?;
    start(&mut fleet, &received, "running", 1000)?;
    let began = fleet.now();
    let requested = fleet.with("frozen", |process| {
        let freeze = Effect::Delay(millis(3_500));
        process.add_rule(Rule::new(Point::Write("key"), freeze).on(Thread::Worker(0)));
        process.request(0, Request::post("/"))
    });
    requested.expect("it runs")?;
    assert!(fleet.now() - began >= millis(3_500));
    let received = received.borrow();
    let seen: Vec<_> = received.iter().map(|(name, at, _)| (*name, (*at - began).as_secs())).collect();
    let ticks = |second| [("frozen", second), ("running", second)];
    // Its main thread goes on, too; what it does after the wait comes last.
    let expected: Vec<_> = (1..=3).flat_map(ticks).chain([("frozen", 3)]).collect();
    assert_eq!(seen, expected);
    Ok(())
}

#[test]
fn a_fault_names_its_process() -> Result {
    let mut fleet = Fleet::default();
    fleet.start("good", scripted("configure: tick 100"))?;
    fleet.start("bad", scripted("configure: tick 500\ntick: trap"))?;
    let fault = fleet.advance(seconds(1)).expect_err("it traps");
    assert_eq!(fault.process, "bad");
    assert!(fault.to_string().starts_with("bad: main in proxy_on_tick"), "{fault}");
    assert_eq!(fleet.now().as_millis(), fleet.started("bad").expect("it runs").as_millis() + 502);
    Ok(())
}

#[test]
fn time_stops_where_a_test_wants_it() -> Result {
    let (mut fleet, received) = (Fleet::default(), Received::default());
    start(&mut fleet, &received, "one", 100)?;
    start(&mut fleet, &received, "two", 130)?;
    let three = |_: &Fleet| received.borrow().len() >= 3;
    assert!(fleet.run_until(three, seconds(5))?);
    assert_eq!(received.borrow().last().map(|(_, at, _)| *at), Some(fleet.now()));
    let elapsed = |name: &str| fleet.get(name).map(|process| process.clock().elapsed()).expect("it runs");
    let started = |name: &str| fleet.started(name).expect("it runs");
    assert_eq!(started("one") + elapsed("one"), started("two") + elapsed("two"), "all clocks are there");
    assert!(!fleet.run_until(|fleet| fleet.get("three").is_some(), seconds(1))?);
    Ok(())
}

#[test]
fn the_same_run_again_leaves_the_same_trace() -> Result {
    let run = || -> std::result::Result<String, Box<dyn Error>> {
        let (mut fleet, received) = (Fleet::default(), Received::default());
        start(&mut fleet, &received, "one", 70)?;
        start(&mut fleet, &received, "two", 70)?;
        fleet.advance(seconds(1))?;
        fleet.kill("one");
        start(&mut fleet, &received, "one", 70)?;
        fleet.advance(seconds(1))?;
        let traces = fleet.names().filter_map(|name| fleet.get(name)).map(|process| process.trace().to_string());
        Ok(format!("{}{received:?}", traces.collect::<String>()))
    };
    assert_eq!(run()?, run()?);
    Ok(())
}
