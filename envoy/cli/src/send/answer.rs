//! What was answered, for a person or as JSON.

use anstyle::Style;
use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::terminal::{Line, say, say_line};

/// What the gateway said.
#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) id: Option<String>,
    pub(super) replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<SentMessage>,
    pub(super) answer: Value,
    /// It is that of an inbound path's application, or of a receiver.
    #[serde(skip)]
    pub(super) is_inbound: bool,
}

/// What was signed: with it the same message can be sent again.
#[derive(Serialize)]
pub(super) struct SentMessage {
    pub(super) id: String,
    pub(super) timestamp_ms: u64,
}

impl Answer {
    /// Was it answered 2xx?
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Prints it for a person.
pub(super) fn show(answer: &Answer) -> Result<()> {
    let body = &answer.answer;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let style = if answer.is_success() { GOOD } else { BAD };
    let what = text(body, "status").or_else(|| text(body, "title"));
    let what = what.unwrap_or_else(|| if answer.is_success() { "answered" } else { "refused" }.to_owned());
    let id = text(body, "id").or_else(|| answer.id.clone()).unwrap_or_default();
    let replayed = if answer.replayed { "  (the answer to the first one with this key)" } else { "" };
    let status = format!("{} {what}", answer.status);
    say_line(&Line::default().and(style, status).and(Style::new(), format!("  {id}{replayed}")))?;
    if let Some(SentMessage { id, timestamp_ms }) = &answer.sent {
        say!("  the same again: --id {id} --timestamp {timestamp_ms}")?;
    }
    for delivery in body.get("deliveries").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| text(delivery, name).unwrap_or_default();
        say!("  {:<20} {}", field("endpoint"), field("status"))?;
    }
    if let Some(detail) = text(body, "detail") {
        say!("  {detail}")?;
    }
    for finding in body.get("findings").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| text(finding, name).unwrap_or_default();
        say!("  {:<20} {}", field("kind"), field("pointer"))?;
    }
    if let Some(seconds) = &answer.retry_after {
        say!("  again in {seconds} s")?;
    }
    if let (Value::String(said), false) = (body, answer.is_success()) {
        say!("  {}", said.chars().take(LONGEST).collect::<String>().trim())?;
    }
    if let Some(hint) = hint(answer) {
        say!("  {hint}")?;
    }
    Ok(())
}

/// What is not the filter's own answer, and so does not say what to do.
fn hint(answer: &Answer) -> Option<&'static str> {
    let own = answer.answer.get("title").is_some() || answer.answer.get("status").is_some();
    match answer.status {
        _ if own => None,
        // The application's own answer, whatever it is.
        _ if answer.is_inbound && answer.status != 413 => None,
        200..300 => Some("this is not an answer of Gatepost: no route of its matches this path"),
        401 | 403 => Some("Envoy lets nobody in without credentials: --user, --token-env or --header"),
        404 => Some("no event route here: look at --gateway, and at match.path of the routes"),
        413 => Some("the body is larger than Envoy's buffer: per_connection_buffer_limit_bytes"),
        _ => None,
    }
}

/// Of an answer that is not JSON, such as a page.
const LONGEST: usize = 300;

const GOOD: Style = anstyle::AnsiColor::Green.on_default().bold();
const BAD: Style = anstyle::AnsiColor::Red.on_default().bold();
