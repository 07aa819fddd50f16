//! What became of an event, and of which deliveries: also across workers, redeliveries and VMs that die.

use host_tests::{Process, Reply, Thread, Upstream};
use serde_json::{Value, json};

use crate::operator::{administered, done, get, operate, request, status, with_letters};
use crate::support::{accept, advance, answer, config, endpoint, event, gateway, millis, seconds, start, with};

fn of(process: &mut Process, id: &str) -> Value {
    get(process, &format!("events/{id}"))
}

/// What a list of deliveries says in this member.
fn each<'a>(list: &'a Value, member: &str) -> Vec<&'a str> {
    let deliveries = list["deliveries"].as_array().expect("a list").iter();
    deliveries.map(|delivery| delivery[member].as_str().unwrap_or_default()).collect()
}

#[test]
fn an_event_is_shown_with_every_attempt_and_without_its_body() {
    let config = administered(config([with(endpoint("billing"), json!({"timeout": "3s"})), endpoint("audit")]));
    let replies = [Reply::status(503).after(millis(7)), Reply::hang(), Reply::status(200).after(millis(40))];
    let mut process = gateway(&config).cluster("billing", Upstream::replies(replies)).start().expect("it starts");
    let id = accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(20));
    let shown = of(&mut process, &id);
    assert_eq!((&shown["id"], &shown["event"], &shown["route"]), (&json!(id), &json!("paid"), &json!("ingest")));
    assert_eq!(shown["instance"], status(&mut process)["instance"]);
    let billing = &shown["deliveries"].as_array().expect("two")[1];
    assert_eq!((&billing["endpoint"], &billing["status"]), (&json!("billing"), &json!("delivered")));
    let attempts = billing["attempts"].as_array().expect("three");
    let told: Vec<_> = attempts.iter().map(|made| (&made["outcome"], &made["response_status"], &made["ms"])).collect();
    let expected = [
        (json!("5xx"), json!(503), json!(7)),
        (json!("timeout"), Value::Null, json!(3000)),
        (json!("2xx"), json!(200), json!(40)),
    ];
    assert_eq!(told, expected.iter().map(|(outcome, status, ms)| (outcome, status, ms)).collect::<Vec<_>>());
    let times: Vec<&str> = attempts.iter().map(|made| made["at"].as_str().expect("a time")).collect();
    let [first, second, third] = times.as_slice() else { panic!("{times:?}") };
    assert!(shown["accepted_at"].as_str() <= Some(first) && first < second && second < third, "{shown}");
    assert!(billing["ended_at"].as_str() > Some(third), "{shown}");
    assert_eq!(shown["deliveries"][0]["attempts"].as_array().map(Vec::len), Some(1));
    assert!(!shown.to_string().contains("amount"), "{shown}");
}

#[test]
fn a_delivery_is_pending_or_held_or_ended_in_the_way_it_ended() {
    let config = administered(config([
        with(endpoint("retried"), json!({"retry": {"delays": ["0s", "1h"]}})),
        with(endpoint("off"), json!({"disabled": true})),
        endpoint("refusing"),
        with(endpoint("old"), json!({"max_age": "2s", "retry": {"delays": ["1s"]}})),
        endpoint("good"),
    ]));
    let mut process = gateway(&config)
        .cluster("retried", Upstream::always(Reply::status(503)))
        .cluster("refusing", Upstream::always(Reply::status(400)))
        .cluster("old", Upstream::always(Reply::refused()))
        .start()
        .expect("it starts");
    let id = accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(5));
    let shown = of(&mut process, &id);
    let deliveries = shown["deliveries"].as_array().expect("a list");
    let mut told: Vec<_> = deliveries
        .iter()
        .map(|one| {
            (one["endpoint"].as_str(), one["status"].as_str(), one["reason"].as_str(), one["ended_at"].is_string())
        })
        .collect();
    told.sort();
    let expected = [
        (Some("good"), Some("delivered"), None, true),
        (Some("off"), Some("held"), None, false),
        (Some("old"), Some("expired"), Some("expired"), true),
        (Some("refusing"), Some("failed"), Some("failed"), true),
        (Some("retried"), Some("pending"), None, false),
    ];
    assert_eq!(told, expected);
    done(&mut process, 1, "PUT", "state", &json!({"state": "paused"}));
    assert_eq!(each(&get(&mut process, "deliveries?status=held"), "endpoint").len(), 2);
    for status in ["delivered", "expired", "failed"] {
        assert_eq!(each(&get(&mut process, &format!("deliveries?status={status}")), "status"), [status]);
    }
}

/// Attempts that were made are shown when another worker goes on.
#[test]
fn earlier_attempts_are_shown_after_a_worker_takeover() {
    let config = administered(config([with(endpoint("billing"), json!({"retry": {"delays": ["0s", "30s"]}}))]));
    let replies = Upstream::replies([Reply::status(503)]);
    let mut process = gateway(&config).cluster("billing", replies).start().expect("it starts");
    let id = accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(5));
    process.kill_vm(Thread::Worker(0));
    let shown = done(&mut process, 1, "GET", &format!("events/{id}"), &Value::Null);
    assert_eq!(shown["deliveries"][0]["attempts"][0]["response_status"], 503);
    advance(&mut process, seconds(40));
    let shown = done(&mut process, 1, "GET", &format!("events/{id}"), &Value::Null);
    let statuses: Vec<_> = shown["deliveries"][0]["attempts"].as_array().expect("two").iter().collect();
    assert_eq!((statuses.len(), &statuses[1]["response_status"]), (2, &json!(200)));
    assert_eq!((&shown["event"], &shown["route"]), (&json!("paid"), &json!("ingest")));
}

#[test]
fn a_redelivered_event_shows_its_later_delivery_too() {
    let mut process = with_letters(1);
    let id = get(&mut process, "dead-letters")["dead_letters"][0]["id"].as_str().expect("an id").to_owned();
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    done(&mut process, 1, "POST", "dead-letters/redeliver", &Value::Null);
    assert_eq!(each(&of(&mut process, &id), "status"), ["failed", "pending"]);
    advance(&mut process, seconds(3));
    assert_eq!(each(&of(&mut process, &id), "status"), ["failed", "delivered"]);
}

#[test]
fn deliveries_are_found_by_what_they_are_the_newest_first() {
    let mut process =
        start(&administered(config([with(endpoint("billing"), json!({"events": ["pay.**"]})), endpoint("audit")])));
    for number in 0..4 {
        accept(&mut process, number % 2, event(["pay.made", "pay.failed", "match.begun", "pay.made"][number]));
        advance(&mut process, seconds(10));
    }
    let all = get(&mut process, "deliveries");
    assert_eq!(all["total"], 7);
    let types = ["pay.made", "pay.made", "match.begun", "pay.failed", "pay.failed", "pay.made", "pay.made"];
    assert_eq!(each(&all, "event"), types);
    let third = all["deliveries"][2]["accepted_at"].as_str().expect("a time");
    for (query, total, shown) in [
        ("endpoint=billing".to_owned(), 3, 3),
        ("event=pay.made".to_owned(), 4, 4),
        ("event=*.failed".to_owned(), 2, 2),
        ("event=pay.%2A&endpoint=audit".to_owned(), 3, 3),
        ("status=pending".to_owned(), 0, 0),
        (format!("since={third}"), 3, 3),
        (format!("since={third}&endpoint=billing&status=delivered"), 1, 1),
        ("limit=2".to_owned(), 7, 2),
    ] {
        let list = get(&mut process, &format!("deliveries?{query}"));
        assert_eq!((list["total"].as_u64(), each(&list, "id").len()), (Some(total), shown), "{query}");
    }
    assert_eq!(each(&get(&mut process, "deliveries?limit=2"), "event"), ["pay.made", "pay.made"]);
}

#[test]
fn the_oldest_event_is_forgotten_first_and_then_it_is_a_404() {
    let limits = json!({"limits": {"history": 20}});
    let mut process =
        gateway(&with(administered(config([endpoint("billing")])), limits)).workers(1).start().expect("ok");
    let ids: Vec<String> = (0..50)
        .map(|_| {
            let id = accept(&mut process, 0, event("paid"));
            advance(&mut process, millis(20));
            id
        })
        .collect();
    assert_eq!(get(&mut process, "deliveries")["total"], 20);
    for (number, id) in ids.iter().enumerate() {
        let found = operate(&mut process, 0, "GET", &format!("events/{id}"), &Value::Null).status();
        assert_eq!(found, if number < 30 { 404 } else { 200 }, "{number}");
    }
    assert_eq!(answer(&mut process, 0, request("GET", &format!("events/{}", ids[49]), "may-look")).status(), 200);
}

#[test]
fn what_was_counted_survives_the_vms_that_counted_it() {
    let config = administered(config([endpoint("billing"), endpoint("audit")]));
    let replies = Upstream::by(|call| Reply::status(if call.header("x-webhook-event") == "bad" { 400 } else { 200 }));
    let mut process = gateway(&config).cluster("billing", replies).start().expect("it starts");
    for number in 0..10 {
        accept(&mut process, number % 2, event(if number < 3 { "bad" } else { "paid" }));
    }
    advance(&mut process, seconds(3));
    let expected = |accepted: u64, failed: u64, attempts: u64| {
        json!({
            "accepted": accepted, "attempts": attempts, "delivered": attempts - failed, "failed": failed, "expired": 0,
        })
    };
    let before = status(&mut process);
    assert_eq!(before["counters"], expected(10, 3, 20));
    assert_eq!(before["endpoints"][0]["counters"], expected(10, 3, 10));
    let last = before["endpoints"][0]["last_attempt_at"].clone();
    let made = get(&mut process, "deliveries?endpoint=billing");
    let made = made["deliveries"].as_array().expect("ten").iter().map(|one| one["attempts"][0]["at"].as_str());
    assert_eq!(last.as_str(), made.max().flatten());
    for worker in 0..2 {
        process.kill_vm(Thread::Worker(worker));
    }
    advance(&mut process, seconds(20));
    let after = status(&mut process);
    assert_eq!((&after["counters"], &after["endpoints"][0]["last_attempt_at"]), (&before["counters"], &last));
    accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(3));
    assert_eq!(status(&mut process)["counters"], expected(11, 3, 22));
    process.update_config(with(config, json!({"user_agent": "another"})).to_string()).expect("it is taken");
    advance(&mut process, seconds(3));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(3));
    assert_eq!(status(&mut process)["counters"], expected(12, 3, 24));
}
