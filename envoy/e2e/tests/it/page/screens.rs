//! The page in each state that matters, as it is seen: wide, on a phone, dark. What is audited here is what is kept as a
//! picture in `envoy/docs`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context, Result};
use gatepost_e2e::browser::View;
use gatepost_e2e::{Event, Protocol};
use serde_json::{Value, json};

use super::audit::audit;
use super::scene::{DEADLINE, PageScene};

const WIDE: View = View { width: 1280, height: 720, dark: false };
const PHONE: View = View { width: 360, height: 740, dark: false };
const DARK: View = View { dark: true, ..WIDE };
const DARK_PHONE: View = View { dark: true, ..PHONE };
/// A picture in the repository.
const PNG_BYTES_MAX: usize = 150 * 1024;
/// What a reader of the docs is shown of a long page.
const PICTURE: u32 = 1000;

impl PageScene {
    /// Looks at the page as it stands in all of these ways; `name` with a picture's is what it is kept as.
    fn look(&self, name: &str, views: &[(View, &str)]) -> Result<()> {
        for (view, picture) in views {
            self.browser.look(*view)?;
            assert_eq!(audit(&self.browser)?, Vec::<String>::new(), "{name}, {view}");
            let Some(directory) = env::var_os("GATEPOST_SCREENSHOTS").filter(|_| !picture.is_empty()) else { continue };
            // A dialog lies over the window, not over what is below it.
            let is_open = self.browser.run("return document.getElementById('dialog').open", &json!([]))? == true;
            let png = self.browser.screenshot(if is_open { view.height } else { PICTURE })?;
            assert!(png.len() < PNG_BYTES_MAX, "{picture}: {} bytes", png.len());
            let path = gatepost_kit::workspace::root()?.join(Path::new(&directory)).join(format!("page-{picture}.png"));
            fs::write(&path, png).with_context(|| path.display().to_string())?;
        }
        self.browser.look(WIDE)
    }
}

/// Replies that take this many seconds, in turn.
fn slow(delays: &[f64], times: usize) -> Value {
    let replies: Vec<Value> = (0..times).flat_map(|_| delays).map(|delay| json!({"delay": delay})).collect();
    json!({"replies": replies, "then": {"delay": 0.02}})
}

/// Healthy troubled and rolled back it can be read by everybody.
#[test]
fn page_is_accessible_healthy_troubled_and_rolled_back() -> Result<()> {
    let policy = json!({
        "retry": {"delays": ["0s", "2s"]}, "breaker": {"failures": 5, "window": "120s", "open": "60s"},
    });
    let phases = json!([{"percent": 50, "for": "24h"}, {"percent": 100}]);
    let guard = json!({"min_success": 0.9, "for": "10s", "min_events": 10, "max_breaker_opens": 20});
    let more = json!({"rollout": {"phases": phases, "guard": guard}});
    let Some(scene) = PageScene::start(&["billing", "audit", "partner-crm"], &policy, more)? else { return Ok(()) };
    let browser = &scene.browser;
    browser.look(WIDE)?;
    scene.look("before the token", &[(WIDE, ""), (PHONE, ""), (DARK, "")])?;

    for (name, delays) in
        [("billing", [0.02, 0.05, 0.03]), ("audit", [0.01, 0.01, 0.02]), ("partner-crm", [0.2, 0.1, 0.4])]
    {
        scene.receiver.script(name, &slow(&delays, 400))?;
    }
    scene.sign_in()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // A producer, until the end.
        let traffic = scope.spawn(|| {
            let mut connection = scene.gateway.connect(Protocol::Http1)?;
            for number in 0_u64.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                connection.send(&Event::new("payment_verified", r#"{"amount": 42}"#))?;
                // Some more, some less: a pace, not a wait.
                thread::sleep(Duration::from_millis(20 + number * 7 % 90));
            }
            anyhow::Ok(())
        });
        // However it ends: the scope waits for the producer.
        let end = End(&is_over);
        let shown = scene.show_all();
        drop(end);
        let traffic = traffic.join().map_err(|_| anyhow::anyhow!("the producer panicked"))?;
        shown.and(traffic)
    })?;
    scene.is_clean()
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl PageScene {
    fn show_all(&self) -> Result<()> {
        let browser = &self.browser;
        // So that the window is full.
        let delivered = || anyhow::Ok(self.receiver.counters("audit")?.delivered);
        gatepost_kit::wait::until("ten seconds of traffic", DEADLINE, || Ok((delivered()? >= 120).then_some(())))?;
        browser.wait_for("#attention", "nothing")?;
        let healthy = [(WIDE, "healthy"), (PHONE, "healthy-phone"), (DARK, "healthy-dark"), (DARK_PHONE, "")];
        self.look("healthy", &healthy)?;

        self.receiver.script("partner-crm", &json!({"then": {"status": 503}}))?;
        browser.wait_for("#attention", "partner-crm: the breaker is open")?;
        self.look("breaker open", &[(WIDE, "breaker-open"), (PHONE, ""), (DARK, "")])?;

        let half = [json!({"status": 200}), json!({"status": 400})];
        let replies: Vec<_> = half.iter().cycle().take(2000).collect();
        self.receiver.script("billing", &json!({"replies": replies}))?;
        browser.wait_for("#attention", "billing is rolled back: success")?;
        browser.wait_for("#letters", "the last answered 400")?;
        self.look("rolled back", &[(WIDE, "rolled-back"), (PHONE, ""), (DARK_PHONE, "")])?;

        browser.click("[data-verb=Disable]")?;
        self.look("a confirmation", &[(WIDE, ""), (PHONE, "confirm-phone"), (DARK, "")])?;
        browser.click("#cancel")?;
        browser.click("[aria-label='Change… billing']")?;
        self.look("a choice", &[(WIDE, ""), (PHONE, ""), (DARK, "")])?;
        browser.click("#choices label:nth-of-type(5)")?;
        self.look("a choice with a number", &[(WIDE, ""), (PHONE, ""), (DARK, "")])?;
        browser.click("#cancel")
    }
}
