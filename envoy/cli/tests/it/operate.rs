//! The verbs of an operator, against two real Envoys.

use anyhow::Result;
use serde_json::{Value, json};

use crate::site::{DEADLINE, Site, surface};
use crate::terminal::session;

fn text(output: &std::process::Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A switch is confirmed by each gateway with what it was and what it is.
#[test]
fn switch_is_confirmed_by_each_gateway_with_old_and_new() -> Result<()> {
    let site = Site::start(2, json!({}))?;
    for (verb, was, now) in
        [("pause", "enabled", "paused"), ("off", "paused", "disabled"), ("on", "disabled", "enabled")]
    {
        let (reports, code) = site.json(&[verb, "--json", "--reason", "a test"])?;
        assert_eq!(code, Some(0), "{reports}");
        for (number, report) in reports.as_array().unwrap().iter().enumerate() {
            let status = site.status(number)?;
            assert_eq!(report["gateway"], surface(&site.gateways[number])?);
            assert_eq!((&report["instance"], &report["confirmed"]), (&status["instance"], &json!(true)));
            assert_eq!(report["changes"], json!([{"of": "state", "was": was, "now": now}]));
            assert_eq!((&status["state"], &status["reason"]), (&json!(now), &json!("a test")));
        }
        assert_eq!(reports.as_array().map(Vec::len), Some(2));
    }
    let output = site.gatepost(&["pause"])?;
    let (shown, _) = text(&output);
    assert_eq!(shown.matches("  confirmed\n  state  enabled -> paused\n").count(), 2, "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours where nobody sees them: {shown:?}");
    Ok(())
}

/// A gateway that is down is a row with the reason and does not stop the other.
#[test]
fn down_gateway_is_a_row_and_does_not_stop_the_other() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let up = surface(&site.gateways[0])?;
    // Nothing listens on port 1.
    let down = "http://127.0.0.1:1/gatepost";
    let (reports, code) = site.json(&["pause", "--json", "--gateway", down, "--gateway", &up])?;
    assert_eq!(code, Some(1));
    let refused = "cannot be reached: the connection is refused: nothing listens there";
    assert_eq!((&reports[0]["confirmed"], &reports[0]["note"]), (&json!(false), &json!(refused)));
    assert_eq!((&reports[1]["confirmed"], &reports[1]["changes"][0]["now"]), (&json!(true), &json!("paused")));
    let (shown, _) = text(&site.gatepost(&["on", "--gateway", down])?);
    assert_eq!(shown, format!("{down}  NOT CONFIRMED\n  {refused}\n"));
    Ok(())
}

/// A token that is missing wrong or may only look is said so and never shown.
#[test]
fn missing_wrong_or_read_only_token_is_told_never_shown() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let run = |token: Option<&str>| -> Result<(Option<i32>, String)> {
        let mut command = site.command(&["pause"])?;
        match token {
            Some(token) => command.env("GATEPOST_ADMIN_TOKEN", token),
            None => command.env_remove("GATEPOST_ADMIN_TOKEN"),
        };
        let output = command.output()?;
        let (shown, said) = text(&output);
        Ok((output.status.code(), shown + &said))
    };
    let (code, said) = run(None)?;
    assert_eq!(code, Some(2));
    assert!(said.contains("no token: $GATEPOST_ADMIN_TOKEN is not set; name another variable"), "{said}");
    let (code, said) = run(Some("not-the-token"))?;
    assert_eq!(code, Some(1));
    assert!(said.contains("401: the token in $GATEPOST_ADMIN_TOKEN is not one of this gateway's"), "{said}");
    assert!(!said.contains("not-the-token"), "{said}");
    let output = site.gatepost(&["pause", "--gateway", "localhost:10001"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("expected the URL of an admin surface, such as"), "{:?}", text(&output));
    Ok(())
}

/// A rollout is set moved rolled back and resumed and each endpoint confirms.
#[test]
fn rollout_steps_are_confirmed_for_each_endpoint() -> Result<()> {
    let phases = json!([{"percent": 5, "for": "1h"}, {"percent": 25, "for": "1h"}, {"percent": 100}]);
    let site = Site::start(2, json!({"rollout": {"phases": phases}}))?;
    let step = |arguments: &[&str]| -> Result<(Value, Option<i32>)> {
        let (reports, code) = site.json(&[&["rollout", "--json"], arguments].concat())?;
        assert_eq!(reports[0]["changes"], reports[1]["changes"], "both gateways alike");
        Ok((reports[0].clone(), code))
    };
    let (report, code) = step(&["promote", "--endpoint", "billing"])?;
    assert_eq!(code, Some(0), "{report}");
    let expected = json!([{"of": "billing",
        "was": {"percent": 5.0, "state": "running", "phase": 1, "phases": 3},
        "now": {"percent": 25.0, "state": "running", "phase": 2, "phases": 3}}]);
    assert_eq!(report["changes"], expected);
    let (report, code) = step(&["hold"])?;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["changes"][1]["now"]["state"], "held");
    let (report, code) = step(&["12.5"])?;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["changes"][1]["now"]["percent"], 12.5);
    let (report, code) = step(&["rollback", "--endpoint", "audit"])?;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(site.status(1)?["endpoints"][1]["rollout"]["state"], "rolled_back");
    let (report, code) = step(&["50"])?;
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["note"], "endpoint audit is rolled back, so nothing is sent: resume it");
    let (report, code) = step(&["promote"])?;
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["note"], "409: endpoint audit: it is rolled back: resume it first");
    let (report, code) = step(&["resume"])?;
    assert_eq!(code, Some(0), "{report}");
    let (report, code) = step(&["promote", "--endpoint", "nobody"])?;
    assert_eq!((report["note"].clone(), code), (json!("404: the config has no such endpoint"), Some(1)));
    Ok(())
}

/// Dead letters of both gateways are delivered again all of one endpoint or one.
#[test]
fn dead_letters_are_redelivered_per_endpoint_or_one() -> Result<()> {
    let site = Site::start(2, json!({}))?;
    site.receiver.script("billing", &json!({"then": {"status": 400}}))?;
    for number in 0..2 {
        site.send(number, "payment_verified", 3)?;
        site.wait_for(number, "three dead letters", |status| status["dead_letters"] == 3)?;
    }
    let first = site.receiver.records("billing", 0)?[0].id.clone();
    site.receiver.script("billing", &json!({}))?;
    let (reports, code) = site.json(&["redeliver", "--json", "--delivery", &format!("{first}.billing")])?;
    assert_eq!(code, Some(0), "{reports}");
    assert_eq!(reports[0]["note"], "1 redelivered");
    assert_eq!(reports[1]["note"], "has no such dead letter");
    let (reports, code) = site.json(&["redeliver", "--json", "--endpoint", "audit"])?;
    assert_eq!((code, &reports[0]["note"]), (Some(0), &json!("0 redelivered")));
    let (reports, code) = site.json(&["redeliver", "--json", "--since", "1h", "--endpoint", "billing"])?;
    assert_eq!(code, Some(0), "{reports}");
    assert_eq!(reports[0]["changes"], json!([{"of": "dead letters", "was": 2, "now": 0}]));
    assert_eq!(reports[1]["changes"], json!([{"of": "dead letters", "was": 3, "now": 0}]));
    // Six that failed, and the same six again.
    site.receiver.wait_for("billing", 12, DEADLINE)?;
    assert_eq!(site.receiver.counters("billing")?.delivered, 6);
    let (reports, code) = site.json(&["redeliver", "--json", "--delivery", &format!("{first}.billing")])?;
    assert_eq!(code, Some(1), "nobody has it any more: {reports}");
    Ok(())
}

/// A drain waits for what is pending says what is held and ends with on.
#[test]
fn drain_waits_for_pending_tells_held_and_ends_with_on() -> Result<()> {
    let site = Site::start(2, json!({}))?;
    site.receiver.script("billing", &json!({"then": {"delay": 0.5}}))?;
    for number in 0..2 {
        site.send(number, "payment_verified", 3)?;
    }
    let (reports, code) = site.json(&["drain", "--json"])?;
    assert_eq!(code, Some(0), "{reports}");
    assert_eq!(reports[1]["changes"][0], json!({"of": "state", "was": "taking events", "now": "draining"}));
    assert_eq!(reports[1]["changes"][1]["now"], 0);
    assert_eq!(site.receiver.counters("billing")?.delivered, 6);
    assert!(site.send(0, "payment_verified", 1).is_err(), "new events are refused");
    assert_eq!(site.gatepost(&["on"])?.status.code(), Some(0));
    site.gatepost(&["pause"])?;
    site.send(0, "payment_verified", 1)?;
    let (reports, code) = site.json(&["drain", "--json"])?;
    assert_eq!(code, Some(1), "{reports}");
    let note = "503: 2 deliveries are held (paused, disabled or rolled back) and are lost with the process";
    assert_eq!(reports[0]["note"], note);
    assert_eq!(reports[1]["confirmed"], true);
    Ok(())
}

/// A drain that is not over in time says how much is pending and goes on refusing.
#[test]
fn timed_out_drain_tells_pending_and_keeps_refusing() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    // Two that end while it drains, however late that begins, and one that does not before its timeout of 10 s.
    let replies = json!([{"delay": 1}, {"delay": 3}, {"act": "hang"}]);
    site.receiver.script("billing", &json!({"replies": replies}))?;
    site.send(0, "payment_verified", 3)?;
    let output = site.gatepost(&["drain", "--timeout", "5s"])?;
    let (shown, said) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{said}");
    assert!(shown.contains("  not in time: 1 still pending; new events stay refused\n"), "{shown}");
    assert!(said.contains(" pending; waiting up to 5s\n") && said.contains(": 1 pending\n"), "{said}");
    assert_eq!(site.status(0)?["draining"], true);
    Ok(())
}

/// On a terminal what stops deliveries is asked first and a no changes nothing.
#[test]
fn terminal_asks_before_stopping_deliveries() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let off = |typed: &str| session(&site, &["off"], (24, 80), "[y/N]", typed);
    let asked = off("\\n")?;
    assert_eq!(asked.code, 1, "{asked:?}");
    assert!(asked.written.contains("enabled, 0 pending, 0 dead letters"), "{asked:?}");
    assert!(asked.written.contains("Nothing was changed."), "{asked:?}");
    assert_eq!(site.status(0)?["state"], "enabled");
    let asked = off("y\\n")?;
    assert_eq!(asked.code, 0, "{asked:?}");
    assert_eq!(site.status(0)?["state"], "disabled");
    let unasked = session(&site, &["off", "--yes"], (24, 80), "confirmed", "")?;
    assert!(!unasked.written.contains("[y/N]"), "{unasked:?}");
    Ok(())
}

/// A gateway without a journal is in no fleet, and says so.
#[test]
fn gateway_without_a_journal_is_in_no_fleet() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let url = surface(&site.gateways[0])?;
    let (shown, _) = text(&site.gatepost(&["fleet"])?);
    let why = "404: the config has no journal: this gateway is in no fleet";
    assert_eq!(shown, format!("{url}  UNKNOWN\n  {why}\n"));
    let (readings, code) = site.json(&["fleet", "--json"])?;
    assert_eq!((code, &readings[0]["error"], &readings[0]["fleet"]), (Some(1), &json!(why), &Value::Null));
    Ok(())
}
