//! `gatepost watch`, against two real Envoys.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use gatepost_kit::process::Process;
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::site::{DEADLINE, Site, surface};
use crate::terminal::session;

/// Once as JSON tells rates of what was sent meanwhile and names what is wrong.
#[test]
fn once_as_json_tells_rates_and_names_problems() -> Result<()> {
    let breaker = json!({"failures": 2, "open": "60s"});
    let endpoint = |name: &str, breaker: &Value| {
        json!({"name": name, "cluster": name, "url": format!("http://r/{name}"), "events": ["payment_*"],
               "secrets": [{"value": format!("demo-{name}")}], "retry": {"delays": ["0s"]}, "breaker": breaker})
    };
    let endpoints = [endpoint("billing", &breaker), endpoint("audit", &json!({}))];
    let site = Site::start(2, json!({"endpoints": endpoints}))?;
    site.receiver.script("billing", &json!({"then": {"status": 503}}))?;
    let (answered, start) = (site.answered(0)?, Instant::now());
    let watch = site.command(&["watch", "--once", "--json", "--interval", "5s"])?.stdout(Stdio::piped()).spawn()?;
    wait::until("the first reading", DEADLINE, || Ok((site.answered(0)? > answered).then_some(())))?;
    site.send(0, "payment_verified", 2)?;
    site.wait_for(0, "the breaker opens", |status| status["endpoints"][0]["breaker"]["state"] == "open")?;
    let output = watch.wait_with_output()?;
    let took = start.elapsed().as_secs_f64();
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let (first, second) = (&report["gateways"][0], &report["gateways"][1]);
    assert_eq!(first["gateway"], surface(&site.gateways[0])?);
    assert_eq!(second["troubles"], json!([]), "nothing is wrong with the other one");
    assert_eq!(second["rates"]["accepted"], 0.0);
    let what: Vec<&str> =
        first["troubles"].as_array().context("troubles")?.iter().filter_map(|one| one["what"].as_str()).collect();
    assert!(what.iter().any(|what| what.starts_with("breaker open; the next probe in ")), "{what:?}");
    assert!(what.contains(&"2 dead letters; deliver them with `gatepost redeliver`"), "{what:?}");
    let failed = first["endpoint_rates"]["billing"]["failed"].as_f64().context("a rate")?;
    // Two, between readings that are five seconds apart or more.
    assert!(failed >= 2.0 / took && failed <= 2.0 / 5.0, "{failed} within {took} s");
    Ok(())
}

#[test]
fn a_gateway_that_is_down_stays_a_row_and_the_exit_code_is_1() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let up = surface(&site.gateways[0])?;
    let arguments = ["watch", "--interval", "100ms", "--gateway", &up, "--gateway", "http://127.0.0.1:1/gatepost"];
    let output = site.gatepost(&arguments)?;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "no terminal: like --once");
    assert!(shown.starts_with("gatepost  2 gateways, 1 down"), "{shown}");
    assert!(shown.contains("\nx 127.0.0.1:1/gatepost  DOWN for "), "{shown}");
    assert!(shown.contains("nothing listens there"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    Ok(())
}

/// A gateway that restarts is shown as down and then as another process.
#[test]
fn restarted_gateway_is_shown_down_then_as_a_new_process() -> Result<()> {
    let mut site = Site::start(1, json!({}))?;
    let instance = site.status(0)?["instance"].clone();
    let mut command = site.command(&["watch", "--json", "--interval", "200ms"])?;
    let watch = Process::spawn(command.stdout(Stdio::piped()))?;
    let mut lines = BufReader::new(watch.stdout().context("its output")?).lines();
    let mut next = || -> Result<Value> { Ok(serde_json::from_str(&lines.next().context("a line")??)?) };
    assert_eq!(next()?["gateways"][0]["status"]["instance"], instance);
    let mut next_where = |key: &str, is: bool| -> Result<Value> {
        let start = Instant::now();
        loop {
            let gateway = next()?["gateways"][0].clone();
            if gateway[key] == is {
                return Ok(gateway);
            }
            ensure!(start.elapsed() < DEADLINE, "{key} is never {is}: {gateway}");
        }
    };
    let listened = site.end(0)?;
    next_where("reached", false)?;
    site.start_again(0, &listened)?;
    let gateway = next_where("restarted", true)?;
    assert_ne!(gateway["status"]["instance"], instance);
    assert!(gateway["troubles"][0]["what"].as_str().is_some_and(|what| what.starts_with("restarted ")));
    Ok(())
}

/// On a terminal it draws in place within 80 columns and restores it at the end.
#[test]
fn terminal_is_drawn_in_place_and_restored_at_the_end() -> Result<()> {
    let site = Site::start(2, json!({}))?;
    for (typed, what) in [("q", "q"), ("\\x03", "Ctrl-C"), ("SIGTERM", "SIGTERM")] {
        let seen = session(&site, &["watch", "--interval", "100ms"], (24, 80), "enabled", typed)?;
        assert_eq!((seen.code, seen.restored), (0, true), "{what}: {seen:?}");
        // A screen of its own and back, the cursor hidden and shown again.
        assert_eq!(seen.written.matches("\u{1b}[?1049h").count(), 1, "{what}");
        assert!(seen.written.trim_end().ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{what}: {seen:?}");
        assert!(!seen.written.contains("\u{1b}[2J"), "{what}: what is cleared flickers");
        let screens = seen.written.split("\u{1b}[1;1H").skip(1);
        let text = screens.last().context("a screen")?;
        let plain = String::from_utf8(anstream::adapter::strip_bytes(text.as_bytes()).into_vec())?;
        assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    }
    Ok(())
}

#[test]
fn with_no_color_a_terminal_gets_no_colours() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    site.gatepost(&["pause"])?;
    let arguments = ["watch", "--interval", "100ms"];
    let red_or_yellow = |written: &str| written.contains("\u{1b}[33m") || written.contains("\u{1b}[31m");
    let coloured = session(&site, &arguments, (24, 80), "paused", "q")?;
    assert!(red_or_yellow(&coloured.written), "{coloured:?}");
    let plain = crate::terminal::session_with(&site, &arguments, (24, 80), "paused", "q", &[("NO_COLOR", "1")])?;
    assert!(!red_or_yellow(&plain.written), "{plain:?}");
    Ok(())
}
