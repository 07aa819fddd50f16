//! The page, in a real browser: what an operator sees there is so, and what is confirmed there happens.
//!
//! `GATEPOST_SCREENSHOTS=envoy/docs cargo test -p gatepost-e2e page::screens` makes the pictures in `envoy/docs` again.

mod audit;
mod fleet;
mod scene;
mod screens;

use anyhow::Result;
use gatepost_e2e::browser::Key;
use gatepost_e2e::{Event, Setup};
use gatepost_kit::wait;
use serde_json::{Value, json};

use scene::{DEADLINE, PageScene, TOKEN};

/// A failure is final, and nothing opens the breaker.
fn strict() -> Value {
    json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}})
}

#[test]
fn page_refuses_a_wrong_token_and_forgets_a_good_one() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing"], &strict(), json!({}))? else { return Ok(()) };
    let browser = &scene.browser;
    assert!(!browser.text("main")?.contains("Endpoints"), "there is nothing to see without a token");
    browser.enter("#token", "demo-admin-demo-admin-demo-admins")?;
    browser.click("#login button")?;
    browser.wait_for("#refused", "knows no such token")?;
    assert!(browser.errors()?.iter().all(|line| line.contains("401")), "the refusal is all that went wrong");

    scene.sign_in()?;
    browser.wait_for("#state", "enabled")?;
    let kept = "return [document.cookie, localStorage.length, sessionStorage.length, \
                document.documentElement.outerHTML.includes('demo-admin-demo-admin-demo-admin'), \
                document.getElementById('token').value]";
    assert_eq!(browser.run(kept, &json!([]))?, json!(["", 0, 0, false, ""]), "the token is nowhere to be found");
    browser.click("#forget")?;
    browser.wait_for("#login", "Admin token")?;
    assert_eq!(browser.run("return document.body.textContent.includes('billing')", &json!([]))?, false);
    scene.is_clean()
}

/// A pause that is confirmed pauses the gateway and one that is cancelled does not.
#[test]
fn confirmed_pause_pauses_and_cancelled_one_does_not() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing"], &strict(), json!({}))? else { return Ok(()) };
    let browser = &scene.browser;
    scene.sign_in()?;
    browser.click("[data-verb=Pause]")?;
    browser.wait_for("#dialog", "New events are accepted and held")?;
    browser.click("#cancel")?;
    assert_eq!(scene.operator.status("/state")?, "enabled");

    browser.click("[data-verb=Pause]")?;
    browser.enter("#reason", "<b>the ledger</b> is down")?;
    browser.click("#confirm")?;
    browser.wait_for("#state", "paused")?;
    browser.wait_for("#why", "“<b>the ledger</b> is down”")?;
    assert_eq!(
        (scene.operator.status("/state")?, scene.operator.status("/reason")?),
        (json!("paused"), json!("<b>the ledger</b> is down"))
    );
    // What is paused by somebody else is told here too.
    scene.operator.done("PUT", "state", &json!({"state": "disabled"}))?;
    browser.wait_for("#news", "The gateway is disabled.")?;
    browser.click("[data-verb='Delete overrides']")?;
    browser.click("#confirm")?;
    browser.wait_for("#state", "enabled")?;
    scene.is_clean()
}

#[test]
fn dead_letters_are_redelivered_and_discarded_from_the_page() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing", "audit"], &strict(), json!({}))? else { return Ok(()) };
    let browser = &scene.browser;
    scene.receiver.script("billing", &json!({"then": {"status": 400}}))?;
    scene.send(3)?;
    scene.sign_in()?;
    browser.wait_for("#letters caption", "3 of 3 dead letters")?;
    browser.wait_for("#attention", "billing has dead letters")?;
    scene.receiver.script("billing", &json!({}))?;
    browser.click("#letters button[data-discard]")?;
    browser.wait_for("#dialog", "gone for good")?;
    browser.click("#confirm")?;
    browser.wait_for("#letters caption", "2 of 2 dead letters")?;
    browser.click("#letters button:not([data-discard])")?;
    browser.click("#confirm")?;
    browser.wait_for("#letters tbody", "billing")?;
    browser.wait_for("#news", "1 dead letter on the way again.")?;
    browser.wait_for("#letters caption", "1 of 1 dead letter")?;
    browser.click("#redeliver")?;
    browser.wait_for("#dialog", "All dead letters of all endpoints, now 1")?;
    browser.click("#confirm")?;
    let counters = || scene.receiver.counters("billing");
    wait::until("two are redelivered", DEADLINE, || Ok((counters()?.delivered == 2).then_some(())))?;
    scene.operator.wait_for_status("/dead_letters", &json!(0))?;
    browser.wait_for("#attention", "nothing")?;
    scene.is_clean()
}

/// An endpoint is changed with the keyboard alone and the focus comes back.
#[test]
fn endpoint_is_changed_by_keyboard_and_focus_returns() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing", "audit"], &strict(), json!({}))? else { return Ok(()) };
    let browser = &scene.browser;
    // The field has the focus when the page opens.
    browser.type_text(TOKEN)?;
    browser.press(&[Key::Enter])?;
    browser.wait_for("#link", "live")?;
    let focus = || {
        let name = "const at = document.activeElement; return at.getAttribute('aria-label') ?? at.innerText";
        Ok::<_, anyhow::Error>(browser.run(name, &json!([]))?.as_str().unwrap_or_default().to_owned())
    };
    let tab_to = |name: &str| {
        for _ in 0..40 {
            if focus()? == name {
                return Ok(());
            }
            browser.press(&[Key::Tab])?;
        }
        anyhow::bail!("40 times Tab, and {name:?} has not had the focus")
    };
    tab_to("Change… audit")?;
    browser.press(&[Key::Enter])?;
    browser.wait_for("#asked", "Change audit")?;
    assert_eq!(browser.run("return document.getElementById('confirm').disabled", &json!([]))?, true);
    // The first choice.
    browser.press(&[Key::Space])?;
    browser.wait_for("#effect", "audit: nothing is sent.")?;
    tab_to("Disable")?;
    browser.press(&[Key::Enter])?;
    browser.wait_for("#endpoints", "disabled by an operator")?;
    scene.dialog_closes()?;
    assert_eq!(scene.operator.status("/endpoints/1/disabled_by")?, "operator");
    assert_eq!(focus()?, "Change… audit", "the focus is where it was");

    browser.press(&[Key::Enter])?;
    browser.wait_for("#asked", "Change audit")?;
    browser.press(&[Key::Escape])?;
    assert_eq!(focus()?, "Change… audit", "Escape changes nothing");
    scene.is_clean()
}

#[test]
fn breakers_and_rollouts_are_moved_from_the_page() -> Result<()> {
    let phases = json!([{"percent": 5, "for": "24h"}, {"percent": 25, "for": "48h"}, {"percent": 100}]);
    let more = json!({"rollout": {"phases": phases}});
    let Some(scene) = PageScene::start(&["billing", "audit"], &strict(), more)? else { return Ok(()) };
    let browser = &scene.browser;
    scene.sign_in()?;
    let change = |opener: &str, choice: &str| {
        browser.click(opener)?;
        let pick = "for (const label of document.querySelectorAll('#choices label')) \
                    if (label.innerText.trim() === arguments[0]) return label.firstChild.click() ?? true; \
                    return document.getElementById('choices').innerText";
        anyhow::ensure!(browser.run(pick, &json!([choice]))? == true, "no choice {choice}");
        if choice.contains("percentage") {
            browser.enter("#percent", "12.5")?;
        }
        browser.click("#confirm")?;
        scene.dialog_closes()
    };
    let audit = "[aria-label='Change… audit']";
    browser.wait_for("#endpoints tbody tr", "phase 1 of 3")?;
    change(audit, "Open the breaker")?;
    browser.wait_for("#endpoints tr:nth-child(2)", "open")?;
    assert_eq!(scene.operator.status("/endpoints/1/breaker/state")?, "open");
    change(audit, "Close the breaker")?;
    assert_eq!(scene.operator.status("/endpoints/1/breaker/state")?, "closed");
    change(audit, "Promote to the next phase")?;
    browser.wait_for("#endpoints tr:nth-child(2)", "phase 2 of 3")?;
    change(audit, "Hold the phase")?;
    assert_eq!(scene.operator.status("/endpoints/1/rollout/state")?, "held");
    change(audit, "Set the percentage")?;
    browser.wait_for("#endpoints tr:nth-child(2)", "12.5 %")?;
    change("#all", "Roll back")?;
    browser.wait_for("#attention", "billing is rolled back: operator")?;
    browser.wait_for("#endpoints tr:nth-child(2)", "by an operator")?;
    change("#all", "Resume the rollout")?;
    assert_eq!(scene.operator.status("/endpoints/0/rollout/state")?, "running");
    browser.wait_for("#attention", "nothing")?;
    scene.is_clean()
}

/// A token that may look is shown everything and offered nothing.
#[test]
fn read_only_token_sees_everything_and_is_offered_nothing() -> Result<()> {
    let tokens = json!([{"value": TOKEN}]);
    let own = |setup: Setup| setup.with(json!({"admin": {"tokens": tokens}})).administered();
    let Some(mut scene) = PageScene::begin(&["billing"], &strict(), own)? else { return Ok(()) };
    scene.operator.url = format!("http://{}/gatepost", scene.gateway.address());
    let browser = &scene.browser;
    // A slash at the end is the page too.
    browser.open(&format!("{}/", scene.operator.url))?;
    scene.receiver.script("billing", &json!({"then": {"status": 400}}))?;
    scene.send(1)?;
    scene.sign_in()?;
    browser.wait_for("#looks", "This token may look, but not change anything")?;
    browser.wait_for("#letters", "the last answered 400")?;
    let shown = "return [...document.querySelectorAll('main button')].filter(one => one.checkVisibility()).map(one => one.innerText)";
    assert_eq!(browser.run(shown, &json!([]))?, json!(["Look up"]));
    scene.is_clean()
}

#[test]
fn an_event_is_looked_up_by_its_id() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing"], &strict(), json!({}))? else { return Ok(()) };
    let browser = &scene.browser;
    scene.receiver.script("billing", &json!({"then": {"status": 400}}))?;
    let id = scene.gateway.send(&Event::new("payment_verified", "{}"))?.id()?;
    scene.operator.wait_for_status("/dead_letters", &json!(1))?;
    scene.sign_in()?;
    browser.enter("#id", &id)?;
    browser.click("#find button")?;
    browser.wait_for("#event dl", "payment_verified")?;
    browser.wait_for("#event dl", "ingest")?;
    browser.wait_for("#event tbody", "billing")?;
    browser.wait_for("#event tbody", "failed")?;
    browser.wait_for("#event tbody", "400")?;
    assert_eq!(audit::audit(browser)?, Vec::<String>::new());
    browser.run("document.getElementById('find').reset()", &json!([]))?;
    browser.enter("#id", "2b3c6a55-1c1a-4c1e-9d6f-3f3f5f1c9a10")?;
    browser.click("#find button")?;
    browser.wait_for("#event", "It is not known (any more).")?;
    assert!(browser.errors()?.iter().all(|line| line.contains("404")), "that it is not known is all that went wrong");
    scene.is_clean()
}

/// When the gateway is gone the page says how old is what it shows.
#[test]
fn page_tells_the_age_of_its_data_when_the_gateway_is_gone() -> Result<()> {
    let Some(scene) = PageScene::start(&["billing"], &strict(), json!({}))? else { return Ok(()) };
    scene.sign_in()?;
    let PageScene { browser, gateway, .. } = scene;
    drop(gateway);
    browser.wait_for("#link", "stale since")?;
    browser.wait_for("#link", "the gateway does not answer")?;
    assert!(browser.text("#endpoints")?.contains("billing"), "what was seen last stays in sight");
    Ok(())
}
