//! The same message again: the application sees it once, and again only when it did not take it.

use host_tests::{Application, Effect, Point, Process, Reply, Rule, StreamId, Thread};
use serde_json::{Value, json};

use crate::sender::{
    Message, OTHER_SECRET, SCHEMES, SECRET, before, counted, detail, passes, receiver, rule, send, stopped, stopped_on,
    verifying,
};
use crate::support::{advance, another_gatepost, gateway, millis, seconds, start, with};

/// A rule whose replays are remembered so.
fn remembering(scheme: &str, replay: Value) -> Value {
    with(rule(scheme), json!({"replay": replay}))
}

/// Has the application seen this one?
fn is_seen(process: &Process, stream: StreamId) -> bool {
    process.forwarded(stream).is_some()
}

/// A message that was taken is acknowledged when it comes again and not seen by the application.
#[test]
fn repeated_message_is_acknowledged_and_not_passed_on() {
    for scheme in SCHEMES {
        let mut process = receiver();
        let message = Message::new(&process, scheme, "evt_1");
        passes(&mut process, message.request());
        for worker in [0, 1, 0] {
            advance(&mut process, seconds(90));
            let again = stopped_on(&mut process, worker, message.request());
            assert_eq!((again.status(), again.header("content-type")), (200, "application/json"), "{scheme}");
            assert_eq!(again.body, br#"{"status":"duplicate"}"#);
        }
        assert_eq!(counted(&process, scheme, "duplicate"), 3);
    }
}

/// A message that the application did not take goes through again.
#[test]
fn message_the_application_refused_passes_again() {
    let failures = || {
        [
            Reply::status(500),
            Reply::status(404),
            Reply::status(302),
            Reply::status(503).after(seconds(3)),
            Reply::disconnect(),
            Reply::connect_failure(),
            Reply::refused(),
            Reply::hang(),
        ]
    };
    for scheme in SCHEMES {
        let mut process = before(rule(scheme), failures()).start().expect("it starts");
        let message = Message::new(&process, scheme, "evt_1");
        for (number, failure) in failures().iter().enumerate() {
            let stream = send(&mut process, number % 2, message.request());
            assert!(is_seen(&process, stream), "{scheme}: before {failure:?}");
            // The route's timeout ends what hangs.
            advance(&mut process, seconds(16));
        }
        passes(&mut process, message.request());
        advance(&mut process, seconds(1));
        assert_eq!(stopped(&mut process, message.request()).body, br#"{"status":"duplicate"}"#);
        assert_eq!(counted(&process, scheme, "verified"), 9);
    }
}

/// An answer that breaks off after it began with 2xx was an answer.
#[test]
fn answer_cut_off_after_2xx_counts_as_taken() {
    let broken = Reply::status(200).chunks(["half"]).cut();
    let mut process = before(rule("github"), [broken, Reply::reset()]).start().expect("it starts");
    for id in ["evt_1", "evt_2"] {
        let message = Message::new(&process, "github", id).body(id);
        passes(&mut process, message.request());
        advance(&mut process, seconds(1));
        assert_eq!(stopped(&mut process, message.request()).status(), 200);
    }
}

/// An id that was taken is a duplicate under any other signature.
#[test]
fn taken_id_is_a_duplicate_under_any_signature() {
    for scheme in ["timestamped", "standard", "github", "stripe", "slack"] {
        let mut process = receiver();
        let message = Message::new(&process, scheme, "evt_1");
        passes(&mut process, message.request());
        advance(&mut process, seconds(5));
        // A sender that tries again signs afresh, and the body may have another order of keys.
        let body = r#"{"amount": 42, "type": "event_callback", "object": "event", "event_id": "evt_1", "id": "evt_1"}"#;
        for again in [message.clone().later(5_000), message.clone().body(body), message.clone().later(3_000).body(body)]
        {
            assert_eq!(stopped(&mut process, again.request()).status(), 200, "{scheme}: {again:?}");
        }
        assert_eq!(counted(&process, scheme, "duplicate"), 3);
        let other = Message::new(&process, scheme, "evt_2");
        passes(&mut process, other.request());
    }
}

/// Where the id is not signed what was signed is a duplicate under any other id.
#[test]
fn unsigned_id_does_not_hide_a_duplicate() {
    for scheme in ["timestamped", "github"] {
        let mut process = receiver();
        let message = Message::new(&process, scheme, "evt_1");
        passes(&mut process, message.request());
        advance(&mut process, seconds(5));
        assert_eq!(stopped(&mut process, message.clone().id("evt_2").request()).status(), 200, "{scheme}");
        let without: Vec<_> = message
            .headers_under(SECRET)
            .into_iter()
            .filter(|(name, _)| !name.ends_with("-id") && !name.ends_with("-delivery"))
            .collect();
        assert_eq!(stopped(&mut process, message.with(&without)).status(), 200, "{scheme}");
        // The id of one that was refused as a duplicate is not taken by that.
        passes(&mut process, message.clone().later(5_000).id("evt_2").body("{}").request());
    }
}

/// A message that came with the signatures of two secrets, as while a secret is changed, comes with neither alone again.
#[test]
fn a_message_that_was_signed_under_two_secrets_comes_once() {
    let both = json!({"secrets": [{"value": SECRET}, {"value": OTHER_SECRET}]});
    let mut process = start(&verifying([with(rule("standard"), both)]));
    let message = Message::new(&process, "standard", "evt_1");
    let mut headers = message.headers_under(SECRET);
    headers[0].1 = format!("{} {}", headers[0].1, message.headers_under(OTHER_SECRET)[0].1);
    passes(&mut process, message.with(&headers));
    advance(&mut process, seconds(1));
    for secret in [SECRET, OTHER_SECRET] {
        assert_eq!(stopped(&mut process, message.request_under(secret)).status(), 200, "{secret}");
    }
}

/// Of two senders with a secret each, one's id is not the other's.
#[test]
fn an_id_is_that_of_one_sender() {
    for scheme in ["standard", "stripe", "slack"] {
        let both = json!({"secrets": [{"value": SECRET}, {"value": OTHER_SECRET}]});
        let mut process = start(&verifying([with(rule(scheme), both)]));
        let message = Message::new(&process, scheme, "evt_1");
        passes(&mut process, message.request());
        passes(&mut process, message.request_under(OTHER_SECRET));
        assert_eq!(stopped(&mut process, message.request()).status(), 200, "{scheme}");
    }
}

/// A thousand times on two workers at once the application sees it once.
#[test]
fn thousand_repeats_on_two_workers_pass_once() {
    for scheme in SCHEMES {
        let slow = Reply::status(200).after(seconds(2));
        let mut process = before(rule(scheme), [slow]).start().expect("it starts");
        let message = Message::new(&process, scheme, "evt_1");
        let streams: Vec<StreamId> = (0..1000)
            .map(|number| {
                advance(&mut process, millis(5));
                send(&mut process, number % 2, message.request())
            })
            .collect();
        assert_eq!(streams.iter().filter(|stream| is_seen(&process, **stream)).count(), 1);
        let by_result = ["verified", "in_progress", "duplicate"].map(|result| counted(&process, scheme, result));
        assert_eq!((by_result[0], by_result.iter().sum()), (1, 1000), "{scheme}: {by_result:?}");
    }
}

#[test]
fn it_is_remembered_for_the_ttl_and_no_longer() {
    let mut process = receiver();
    let message = Message::new(&process, "github", "evt_1");
    passes(&mut process, message.request());
    advance(&mut process, seconds(899));
    assert_eq!(stopped(&mut process, message.request()).status(), 200);
    advance(&mut process, seconds(2));
    passes(&mut process, message.request());
}

#[test]
fn what_one_rule_has_seen_another_has_not() {
    let other = with(rule("github"), json!({"name": "other", "match": {"path": "/other"}}));
    let mut process = start(&verifying([rule("github"), other]));
    let message = Message::new(&process, "github", "evt_1");
    passes(&mut process, message.request());
    let headers = message.headers_under(SECRET);
    let request =
        headers.iter().fold(host_tests::Request::post("/other"), |all, (name, value)| all.header(name, value));
    assert_eq!(passes(&mut process, request.body(message.body.clone())).header("x-gatepost-verified"), "other");
}

/// A claim of a VM that trapped is free again after five minutes and not before.
#[test]
fn claim_of_a_trapped_vm_is_free_after_five_minutes() {
    let gateway = gateway(&verifying([rule("github")])).application(Application::replies([Reply::hang()]));
    let mut process = gateway.start().expect("it starts");
    let message = Message::new(&process, "github", "evt_1");
    passes(&mut process, message.request());
    process.kill_vm(Thread::Worker(0));
    for wait in [1, 149, 149] {
        advance(&mut process, seconds(wait));
        assert_eq!(stopped_on(&mut process, 1, message.request()).status(), 409);
        assert_eq!(stopped_on(&mut process, 0, message.request()).status(), 409);
    }
    advance(&mut process, seconds(2));
    let again = send(&mut process, 1, message.request());
    assert!(is_seen(&process, again));
    advance(&mut process, seconds(1));
    assert_eq!(stopped(&mut process, message.request()).status(), 200);
}

/// An answer that comes after its claim has lapsed takes nothing from the one that has it now.
#[test]
fn late_answer_leaves_the_next_claim_alone() {
    let replies = [Reply::status(500).after(seconds(320)), Reply::status(200).after(seconds(100))];
    let gateway = before(rule("github"), replies).route_timeout(seconds(0)).idle_timeout(seconds(0));
    let mut process = gateway.start().expect("it starts");
    let message = Message::new(&process, "github", "evt_1");
    send(&mut process, 0, message.request());
    advance(&mut process, seconds(301));
    let second = send(&mut process, 1, message.request());
    assert!(is_seen(&process, second));
    // The first one's 500 comes.
    advance(&mut process, seconds(30));
    assert_eq!(stopped(&mut process, message.request()).status(), 409);
    advance(&mut process, seconds(80));
    assert_eq!(stopped(&mut process, message.request()).status(), 200);
}

/// The table outlives another config another build and every VM.
#[test]
fn replay_table_outlives_config_build_and_vms() {
    let old = verifying([rule("timestamped")]);
    let mut process = start(&old);
    let message = Message::new(&process, "timestamped", "evt_1");
    passes(&mut process, message.request());
    let seen = |process: &mut Process| {
        advance(process, seconds(2));
        assert_eq!(stopped(process, message.request()).status(), 200);
        assert_eq!(stopped_on(process, 1, message.request()).status(), 200);
    };
    let tolerant = with(rule("timestamped"), json!({"tolerance": {"past": "400s"}}));
    let new = verifying([rule("github"), tolerant]);
    process.update_config(new.to_string()).expect("it is taken");
    seen(&mut process);
    process.end_drain().expect("it ends");
    seen(&mut process);
    process.update_filter(another_gatepost(), new.to_string()).expect("it is taken");
    seen(&mut process);
    process.end_drain().expect("it ends");
    seen(&mut process);
    (0..2).for_each(|worker| process.kill_vm(Thread::Worker(worker)));
    process.kill_vm(Thread::Main);
    seen(&mut process);
}

/// A message under way while the config changes is ended by the old one.
#[test]
fn message_under_way_is_ended_by_the_old_config() {
    let replies = [Reply::status(200).after(seconds(5)), Reply::status(500).after(seconds(5))];
    let mut process = before(rule("github"), replies).start().expect("it starts");
    let [taken, refused] = ["evt_1", "evt_2"].map(|id| Message::new(&process, "github", id));
    passes(&mut process, taken.request());
    passes(&mut process, refused.request());
    let new = verifying([rule("slack"), rule("github")]);
    process.update_filter(another_gatepost(), new.to_string()).expect("it is taken");
    for message in [&taken, &refused] {
        assert_eq!(stopped(&mut process, message.request()).status(), 409);
    }
    advance(&mut process, seconds(6));
    assert_eq!(stopped(&mut process, taken.request()).status(), 200);
    passes(&mut process, refused.request());
}

/// A full table refuses what is new and still knows what it holds.
#[test]
fn full_replay_table_refuses_new_and_knows_the_old() {
    let mut process = start(&verifying([remembering("standard", json!({"capacity": 4}))]));
    let message = |process: &Process, number: usize| Message::new(process, "standard", &format!("evt_{number}"));
    let first: Vec<Message> = (0..4).map(|number| message(&process, number)).collect();
    first.iter().for_each(|message| drop(passes(&mut process, message.request())));
    advance(&mut process, seconds(1));
    let fifth = message(&process, 4);
    let refused = stopped(&mut process, fifth.request());
    assert_eq!((refused.status(), refused.header("retry-after")), (503, "1"));
    assert_eq!(detail(&refused), "too many messages are remembered to take another one");
    assert_eq!(counted(&process, "standard", "full"), 1);
    for message in &first {
        assert_eq!(stopped(&mut process, message.request()).status(), 200);
    }
    advance(&mut process, seconds(900));
    let sixth = message(&process, 5);
    passes(&mut process, sixth.request());
}

#[test]
fn full_replay_table_may_let_new_messages_pass() {
    let mut process = start(&verifying([remembering("standard", json!({"capacity": 1, "when_full": "allow"}))]));
    let message = |process: &Process, number: usize| Message::new(process, "standard", &format!("evt_{number}"));
    let (held, over) = (message(&process, 0), message(&process, 1));
    passes(&mut process, held.request());
    advance(&mut process, seconds(1));
    for _ in 0..2 {
        assert_eq!(passes(&mut process, over.request()).header("x-gatepost-verified"), "from-standard");
    }
    assert_eq!(stopped(&mut process, held.request()).status(), 200);
    assert_eq!(stopped(&mut process, over.request_under(OTHER_SECRET)).status(), 401);
    assert_eq!(counted(&process, "standard", "unremembered"), 2);
}

#[test]
fn a_claim_that_a_failing_application_gives_back_makes_room() {
    let replies = vec![Reply::status(500); 20];
    let config = verifying([remembering("standard", json!({"capacity": 1}))]);
    let mut process = gateway(&config).application(Application::replies(replies)).start().expect("it starts");
    for number in 0..20 {
        let message = Message::new(&process, "standard", &format!("evt_{number}"));
        passes(&mut process, message.request());
        advance(&mut process, seconds(1));
    }
}

/// A commit that could not be written is said and the message is not seen again before its claim ends.
#[test]
fn failed_commit_is_logged_and_its_claim_stays() {
    let mut process = before(rule("slack"), [Reply::status(200).after(seconds(1))]).start().expect("it starts");
    let message = Message::new(&process, "slack", "evt_1");
    passes(&mut process, message.request());
    process.add_rule(Rule::new(Point::HostCall("proxy_set_shared_data"), Effect::Fail(10)).on(Thread::Worker(0)));
    advance(&mut process, seconds(2));
    process.clear_rules();
    assert_eq!(stopped(&mut process, message.request()).status(), 409);
    let said = |line: &&host_tests::LogLine| line.message.contains("ending the claim of an inbound message");
    assert_eq!(process.log().iter().filter(said).count(), 1, "{:?}", process.log());
}
