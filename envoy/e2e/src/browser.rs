//! A real browser: Chromium, driven over [WebDriver](https://www.w3.org/TR/webdriver2/) by ChromeDriver.

use std::env;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_kit::process::Process;
use gatepost_kit::{http, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with one window and a profile of its own; all of it ends when this is dropped.
pub struct Browser {
    session: String,
    http: ureq::Agent,
    /// Held for its end, which comes after the session's.
    _driver: Process,
    /// Held open: the driver may say more.
    _output: BufReader<ChildStdout>,
    _profile: TempDir,
    /// Two cores bear one browser: a second one would only make both slow.
    _alone: MutexGuard<'static, ()>,
}

/// Keys without a character of their own, as WebDriver writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To the next control.
    Tab,
    /// Presses what has the focus.
    Enter,
    /// Chooses what has the focus.
    Space,
    /// Leaves a dialog.
    Escape,
}

impl Key {
    fn character(self) -> char {
        match self {
            Self::Tab => '\u{e004}',
            Self::Enter => '\u{e007}',
            Self::Space => ' ',
            Self::Escape => '\u{e00c}',
        }
    }
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Of the window, in CSS pixels.
    pub width: u32,
    /// Of the window, in CSS pixels.
    pub height: u32,
    /// Does who looks prefer a dark page?
    pub dark: bool,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}, {}", self.width, self.height, if self.dark { "dark" } else { "light" })
    }
}

impl Browser {
    /// Starts one, or says on stderr that there is none and gives back `None`.
    ///
    /// # Errors
    /// When it does not start; also when there is none, where `CI` is set: there it must be.
    pub fn start() -> Result<Option<Self>> {
        static ONE: Mutex<()> = Mutex::new(());
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let driver = match Process::spawn(&mut command) {
            Ok(driver) => driver,
            Err(error) if env::var("CI").is_ok_and(|value| value == "true") => {
                return Err(error.context("chromedriver does not start; install chromium and chromium-driver"));
            }
            Err(error) => {
                eprintln!("SKIPPED: nothing was shown of the page; install chromium and chromium-driver ({error})");
                return Ok(None);
            }
        };
        let mut output = BufReader::new(driver.stdout().context("chromedriver has no stdout")?);
        let port = port(&mut output)?;
        let profile = tempfile::tempdir()?;
        let capabilities = capabilities(&profile);
        let http = http::client();
        let url = format!("http://127.0.0.1:{port}/session");
        let begun = exchange(http.post(&url).send_json(capabilities)?).context("Chromium does not start")?;
        let id = begun.get("sessionId").and_then(Value::as_str).context("a session has an id")?;
        let session = format!("{url}/{id}");
        Ok(Some(Self { session, http, _driver: driver, _output: output, _profile: profile, _alone: alone }))
    }

    fn post(&self, path: &str, command: &Value) -> Result<Value> {
        exchange(self.http.post(format!("{}/{path}", self.session)).send_json(command)?)
            .with_context(|| path.to_owned())
    }

    /// A command of the Chrome DevTools Protocol.
    ///
    /// # Errors
    /// When the browser refuses it.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Opens a page and waits until it has loaded.
    ///
    /// # Errors
    /// When it does not load.
    pub fn open(&self, url: &str) -> Result<()> {
        self.post("url", &json!({"url": url})).map(drop)
    }

    /// Sets the size of the window and what its user prefers.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn look(&self, view: View) -> Result<()> {
        let size =
            json!({"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// What a function body returns in the page, `arguments` in hand.
    ///
    /// # Errors
    /// When it throws.
    pub fn run(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.post("execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// The text that a user sees of the first element that fits a CSS selector; empty while there is none.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn text(&self, selector: &str) -> Result<String> {
        let text = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", &json!([selector]))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until an element's text holds this.
    ///
    /// # Errors
    /// When it does not within half a minute, with the text it had then.
    pub fn wait_for(&self, selector: &str, text: &str) -> Result<()> {
        let seen = wait::until(&format!("{selector} shows {text:?}"), PATIENCE, || {
            Ok(self.text(selector)?.contains(text).then_some(()))
        });
        seen.with_context(|| format!("{selector} shows {:?}", self.text(selector).unwrap_or_default()))
    }

    /// Clicks the middle of what a selector finds, as a mouse does; it waits until it is there to be clicked.
    ///
    /// # Errors
    /// When it is not within half a minute, or is covered by something else.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("element/{element}/click"), &json!({})).map(drop)
    }

    /// Types into what a selector finds.
    ///
    /// # Errors
    /// When there is nothing that takes text.
    pub fn enter(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("element/{element}/value"), &json!({"text": text})).map(drop)
    }

    fn element(&self, selector: &str) -> Result<String> {
        const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
        const SHOWN: &str =
            "return [...document.querySelectorAll(arguments[0])].find(found => found.checkVisibility()) ?? null";
        wait::until(&format!("{selector} is shown"), PATIENCE, || {
            let found = self.run(SHOWN, &json!([selector]))?;
            Ok(found.get(ELEMENT).and_then(Value::as_str).map(str::to_owned))
        })
    }

    /// Presses keys, one after another, wherever the focus is.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn press(&self, keys: &[Key]) -> Result<()> {
        self.type_keys(keys.iter().map(|key| key.character()))
    }

    /// Types text wherever the focus is.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.type_keys(text.chars())
    }

    fn type_keys(&self, keys: impl Iterator<Item = char>) -> Result<()> {
        let actions: Vec<Value> = keys
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.post("actions", &keyboard).map(drop)
    }

    /// What the browser has logged since the last time: errors of scripts, of loading, of the security policy.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn errors(&self) -> Result<Vec<String>> {
        let log = self.post("se/log", &json!({"type": "browser"}))?;
        let entries = log.as_array().context("a log is a list")?.iter();
        Ok(entries.filter_map(|entry| entry.get("message")?.as_str().map(str::to_owned)).collect())
    }

    /// The page as a PNG, also what is below the window, as far as `height` CSS pixels.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn screenshot(&self, height: u32) -> Result<Vec<u8>> {
        let size = "const {scrollWidth, scrollHeight} = document.documentElement; \
                    return {x: 0, y: 0, width: scrollWidth, height: Math.min(scrollHeight, arguments[0]), scale: 1}";
        let clip = self.run(size, &json!([height]))?;
        let shot = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.devtools("Page.captureScreenshot", &shot)?;
        let data = answer.get("data").and_then(Value::as_str).context("a screenshot has data")?;
        Ok(STANDARD.decode(data)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver then ends the browser; killed before, it would leave it behind.
        let _ = self.http.delete(&self.session).call();
    }
}

/// ChromeDriver's first lines tell which port it took.
fn port(output: &mut impl BufRead) -> Result<u16> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        ensure!(output.read_line(&mut line)? > 0, "chromedriver did not start: {said}");
        if let Some((_, port)) = line.trim_end().trim_end_matches('.').rsplit_once("successfully on port ") {
            return port.parse().map_err(|_| anyhow!("a port in {line:?}"));
        }
        said.push_str(&line);
    }
}

/// Without the flags about networking Chromium looks for its maker's hosts at every start.
fn capabilities(profile: &TempDir) -> Value {
    let profile = format!("--user-data-dir={}", profile.path().display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        // Else a picture is as wide as the window without them.
        "--hide-scrollbars",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // The browser ends with the driver, however that ends.
        "--remote-debugging-pipe",
        profile.as_str(),
    ];
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": {"args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    }}})
}

fn exchange(mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
    let status = response.status();
    let mut answer: Value = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json()?;
    let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
    if status != 200 {
        let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
        bail!("WebDriver answered {status}: {}", message.lines().next().unwrap_or_default());
    }
    Ok(value)
}

/// Longer than the page takes for anything: it asks every two seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Screenshots in Base64.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;
