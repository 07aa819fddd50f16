use std::cell::Cell;
use std::rc::Rc;

use super::*;

const PASS: Effect = Effect::Pass;

fn fate(reply: Reply, rule: Effect) -> Fate {
    fate_of(call(), Upstream::always(reply), rule)
}

fn fate_of(call: Call, upstream: Upstream, rule: Effect) -> Fate {
    let mut upstreams = Upstreams::default();
    upstreams.set("billing", upstream);
    upstreams.call(call, rule)
}

fn call() -> Call {
    Call {
        at: Duration::ZERO,
        wall_millis: 0,
        thread: Thread::Main,
        cluster: "billing".to_owned(),
        headers: Headers::default(),
        body: Vec::new(),
        trailers: Headers::default(),
        timeout: Duration::from_secs(10),
        shared: Vec::new(),
    }
}

fn status(fate: &Fate) -> Option<(Duration, Option<&str>)> {
    let Fate::Ends { wait, end: Ends::Known(end) } = fate else { return None };
    Some((*wait, end.as_ref().and_then(|end| end.headers.get(":status"))))
}

/// An answer later than the timeout is Envoy's 504 at the timeout.
#[test]
fn an_answer_after_the_timeout_is_envoys_504() {
    for reply in [Reply::hang(), Reply::status(200).after(Duration::from_secs(11))] {
        let Fate::Ends { wait, end: Ends::Known(Some(end)) } = fate(reply, PASS) else { panic!("no answer") };
        assert_eq!(wait, Duration::from_secs(10));
        assert_eq!(end.headers.get(":status"), Some("504"));
        assert_eq!(end.headers.get("x-envoy-upstream-service-time"), None);
    }
}

#[test]
fn only_an_upstreams_own_answer_carries_its_service_time() {
    for (reply, own) in [(Reply::status(503), true), (Reply::connect_failure(), false), (Reply::disconnect(), false)] {
        let Fate::Ends { end: Ends::Known(Some(end)), .. } = fate(reply, PASS) else { panic!("no answer") };
        assert_eq!(end.headers.get(":status"), Some("503"));
        assert_eq!(end.headers.get("x-envoy-upstream-service-time").is_some(), own);
    }
}

#[test]
fn an_answer_that_breaks_off_leaves_nothing_of_it() {
    for reply in [Reply::reset(), Reply::status(200).chunks(["half"]).cut()] {
        assert!(matches!(fate(reply, PASS), Fate::Ends { end: Ends::Known(None), .. }));
    }
}

/// An answer that has begun in time and ends late is reset at the timeout.
#[test]
fn an_answer_that_ends_late_is_reset() {
    let slow = Reply::status(200).chunks(["a", "b"]).spaced(Duration::from_secs(4));
    assert_eq!(status(&fate(slow, PASS)), Some((Duration::from_secs(10), None)));
}

#[test]
fn an_answer_in_pieces_ends_whole_with_its_trailers() {
    let spaced = Reply::status(200).chunks(["a", "b"]).trailers([("x-sum", "2")]).spaced(Duration::from_secs(1));
    let Fate::Ends { wait, end: Ends::Known(Some(end)) } = fate(spaced, PASS) else { panic!("no answer") };
    assert_eq!((wait, end.body.as_slice()), (Duration::from_millis(3_001), b"ab".as_slice()));
    assert_eq!(end.trailers.get("x-sum"), Some("2"));
}

/// A rule answers in the script's place or keeps the answer back.
#[test]
fn a_rule_answers_in_the_scripts_place() {
    let answer = || Reply::status(200);
    let (millisecond, timeout) = (Duration::from_millis(1), Duration::from_secs(10));
    assert_eq!(status(&fate(answer(), Effect::Fail(429))), Some((millisecond, Some("429"))));
    assert_eq!(status(&fate(answer(), Effect::Drop)), Some((timeout, Some("504"))));
    assert_eq!(status(&fate(answer(), Effect::Delay(millisecond))), Some((2 * millisecond, Some("200"))));
}

/// To a request of gRPC Envoy answers in gRPC's way whatever it has to say itself.
#[test]
fn envoys_own_answer_to_grpc_is_a_status() {
    let cases = [
        (Reply::hang(), 10_000, "upstream request timeout"),
        (Reply::status(200).after(Duration::from_secs(11)), 10_000, "upstream request timeout"),
        (
            Reply::disconnect().after(Duration::from_millis(5)),
            5,
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
        ),
    ];
    for (reply, millis, message) in cases {
        let mut call = call();
        call.headers.add("content-type", "application/grpc");
        let ends = fate_of(call, Upstream::always(reply), PASS);
        let Fate::Ends { wait, end: Ends::Known(Some(end)) } = ends else { panic!("no answer") };
        assert_eq!(wait, Duration::from_millis(millis));
        let expected = Headers::from([
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "14"),
            ("grpc-message", message),
        ]);
        assert_eq!(end.headers, expected);
        assert!(end.body.is_empty() && end.trailers.is_empty());
    }
}

/// A promise is kept as the answer leaves and not at all once the timeout has passed.
#[test]
fn a_promise_is_kept_as_the_answer_leaves() {
    let asked = Rc::new(Cell::new(0));
    let promising = |wait: u64, reply: fn() -> Reply| {
        let asked = Rc::clone(&asked);
        let decide = move || {
            asked.set(asked.get() + 1);
            reply()
        };
        let mut decide = Some(decide);
        Upstream::promising(move |_| Promise::after(Duration::from_secs(wait), decide.take().expect("one call")))
    };
    let kept = fate_of(call(), promising(2, || Reply::status(201).body("done")), PASS);
    let Fate::Ends { wait, end } = kept else { panic!("no answer") };
    assert_eq!((wait, asked.get()), (Duration::from_secs(2), 0));
    let end = end.decide().expect("an answer");
    assert_eq!((end.headers.get(":status"), end.body.as_slice(), asked.get()), (Some("201"), b"done".as_slice(), 1));
    assert_eq!(end.headers.get("x-envoy-upstream-service-time"), Some("2000"));
    let late = fate_of(call(), promising(10, || Reply::status(201)), PASS);
    assert_eq!((status(&late), asked.get()), (Some((Duration::from_secs(10), Some("504"))), 1));
    let Fate::Ends { end, .. } = fate_of(call(), promising(1, Reply::reset), PASS) else { panic!("no answer") };
    assert!(end.decide().is_none());
    let delayed = fate_of(call(), promising(1, || Reply::status(201)), Effect::Delay(Duration::from_secs(9)));
    assert_eq!(status(&delayed), Some((Duration::from_secs(10), Some("504"))));
}
