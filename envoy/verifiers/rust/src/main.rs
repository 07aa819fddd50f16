//! Verifies and signs webhooks with a library that other people published, called as its README says. The lines on stdin
//! and stdout are those of `../python/verifier.py`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

/// The crate does not tell its version: this does.
const LOCK: &str = include_str!("../Cargo.lock");

#[derive(Deserialize)]
struct Question {
    #[serde(flatten)]
    task: Task,
    library: String,
    scheme: String,
    secret: String,
    body: String,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Task {
    Verify { headers: HashMap<String, String> },
    Sign { id: String, timestamp: i64 },
}

fn main() -> Result<(), Box<dyn Error>> {
    let locked =
        LOCK.split_once("name = \"standardwebhooks\"\nversion = \"").and_then(|(_, rest)| rest.split_once('"'));
    let (version, _) = locked.ok_or("Cargo.lock names no standardwebhooks")?;
    say(&json!({"libraries": [{"name": "standardwebhooks", "version": version, "scheme": "standard"}]}))?;
    for line in io::stdin().lock().lines() {
        say(&answer(&serde_json::from_str(&line?)?)?)?;
    }
    Ok(())
}

fn say(value: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")?;
    stdout.flush()
}

fn answer(question: &Question) -> Result<Value, Box<dyn Error>> {
    let Question { task, library, scheme, secret, body } = question;
    if (library.as_str(), scheme.as_str()) != ("standardwebhooks", "standard") {
        return Err(format!("no {library} for {scheme} here").into());
    }
    let webhook = Webhook::new(secret)?;
    let body = STANDARD.decode(body)?;
    match task {
        Task::Verify { headers } => Ok(match webhook.verify(&body, &map(headers)?) {
            Ok(()) => json!({"ok": true}),
            Err(error) => json!({"ok": false, "error": error.to_string()}),
        }),
        Task::Sign { id, timestamp } => {
            let signature = webhook.sign(id, *timestamp, &body)?;
            Ok(json!({"headers": {
                HEADER_WEBHOOK_ID: id,
                HEADER_WEBHOOK_TIMESTAMP: timestamp.to_string(),
                HEADER_WEBHOOK_SIGNATURE: signature,
            }}))
        }
    }
}

fn map(headers: &HashMap<String, String>) -> Result<HeaderMap, Box<dyn Error>> {
    let pairs = headers.iter();
    pairs.map(|(name, value)| Ok((name.parse::<HeaderName>()?, HeaderValue::from_str(value)?))).collect()
}
