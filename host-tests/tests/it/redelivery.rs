//! Dead letters: looked at, delivered again, thrown away.

use host_tests::{Reply, Upstream};
use serde_json::{Value, json};

use crate::operator::{done, get, operate, status, with_letters};
use crate::support::{BODY, accept, advance, attempts, event, letters, seconds, wait};

#[test]
fn dead_letters_are_listed_without_their_bodies() {
    let mut process = with_letters(3);
    let listed = done(&mut process, 0, "GET", "dead-letters?endpoint=billing&limit=2", &Value::Null);
    assert_eq!((listed["total"].as_u64(), listed["dead_letters"].as_array().map(Vec::len)), (Some(3), Some(2)));
    let first = &listed["dead_letters"][0];
    let id = first["id"].as_str().expect("an id");
    assert_eq!(first["delivery"], format!("{id}.billing"));
    assert_eq!(
        (&first["reason"], &first["attempts"], &first["response_status"]),
        (&json!("failed"), &json!(1), &json!(503))
    );
    assert!(!listed.to_string().contains("amount"), "{listed}");
}

/// More dead letters than one list holds are redelivered by one call.
#[test]
fn one_call_redelivers_more_letters_than_a_list_holds() {
    let mut process = with_letters(1200);
    assert_eq!(get(&mut process, "dead-letters?limit=1000")["dead_letters"].as_array().map(Vec::len), Some(1000));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    operate(&mut process, 0, "POST", "endpoints/billing/breaker", &json!({"state": "closed"}));
    let answer = done(&mut process, 1, "POST", "dead-letters/redeliver?endpoint=billing", &Value::Null);
    assert_eq!(answer["redelivered"], 1200);
    wait(&mut process, seconds(30), |process| process.calls("billing").len() == 2400);
    advance(&mut process, seconds(3));
    let ids = |range: std::ops::Range<usize>| {
        let mut ids: Vec<String> = attempts(&process, "billing")[range].iter().map(|made| made.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(0..1200), ids(1200..2400));
    assert_eq!((letters(&process, BODY), status(&mut process)["pending"].as_u64()), (0, Some(0)));
}

#[test]
fn what_died_since_a_time_is_listed_and_redelivered_alone() {
    let mut process = with_letters(2);
    advance(&mut process, seconds(3600));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    let all = get(&mut process, "dead-letters");
    let died = all["dead_letters"][2]["died_at"].as_str().expect("a time").to_owned();
    for since in [died.clone(), died.replace(':', "%3A"), died.replace('Z', "+00:00")] {
        let later = get(&mut process, &format!("dead-letters?endpoint=billing&since={since}"));
        assert_eq!((&later["total"], &later["dead_letters"][0]), (&json!(1), &all["dead_letters"][2]));
    }
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    let path = format!("dead-letters/redeliver?endpoint=billing&since={died}");
    assert_eq!(done(&mut process, 1, "POST", &path, &Value::Null)["redelivered"], 1);
    advance(&mut process, seconds(3));
    assert_eq!((process.calls("billing").len(), letters(&process, BODY)), (4, 2));
    let line = process.log().iter().find(|line| line.message.contains("redeliver=")).expect("a line");
    assert!(
        line.message.starts_with(&format!("event=admin redeliver=billing since={died} letters=1 token=")),
        "{line:?}"
    );
}
