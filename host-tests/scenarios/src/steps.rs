//! What many scenarios do.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::gateway::plain;
use crate::{Answer, Gateway, OPERATE, Reply, Request, Seen, Start, config, endpoint};

/// What was observed, a line each.
pub type Observed = Result<Vec<String>>;

/// What events carry where it does not matter.
pub const BODY: &str = r#"{"amount": 42}"#;

/// A lease, and all that has to happen after it on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// One endpoint, by its defaults.
pub fn plain_start() -> Start {
    billing(json!({}))
}

/// One endpoint whose entry has these keys too.
pub fn billing(more: Value) -> Start {
    config(&[endpoint("billing", more)])
}

/// Three attempts, a second apart, and a breaker that stays out of it.
pub fn patient() -> Start {
    billing(json!({"retry": {"delays": ["0s", "1s", "1s"]}, "breaker": {"failures": 100}}))
}

/// Configurations that differ in what their attempts call themselves.
pub fn named(agent: &str) -> Start {
    patient().with(json!({"user_agent": agent}))
}

/// One whose calls may be under way for as long as an update and a drain take.
pub fn unhurried(agent: &str) -> Start {
    billing(json!({"timeout": "30s"})).with(json!({"user_agent": agent}))
}

/// The same configuration, its producers waiting for the end of their events.
pub fn waiting(start: Start) -> Start {
    start.with(json!({"routes": [route("ingest", "/events/{event}", json!({"ack": "delivered"}))]}))
}

/// A route whose last capture is the event type, with more keys.
pub fn route(name: &str, path: &str, more: Value) -> Value {
    let mut route = json!({"name": name, "match": {"path": path}, "event": "{event}"});
    crate::merge(&mut route, more);
    route
}

/// Makes a request and waits for the answer.
pub fn send(gateway: &mut dyn Gateway, request: &Request) -> Result<Answer> {
    let ticket = gateway.begin(request)?;
    gateway.finish(ticket)
}

/// The event `paid`.
pub fn paid() -> Request {
    Request::event("/events/paid", BODY)
}

/// Posts the event `paid`.
pub fn post(gateway: &mut dyn Gateway) -> Result<Answer> {
    send(gateway, &paid())
}

/// Says something to the admin surface, in the name of who may change things; `null`: without a body.
pub fn operate(gateway: &mut dyn Gateway, method: &str, path: &str, command: &Value) -> Result<Answer> {
    let body = if command.is_null() { String::new() } else { command.to_string() };
    let request = Request::new(method, &format!("/gatepost/{path}")).body(body);
    send(gateway, &request.header("authorization", &format!("Bearer {OPERATE}")))
}

/// Waits until the gateway has begun to deliver, on every thread.
pub fn begun(gateway: &mut dyn Gateway) -> Result<()> {
    let health = Request::new("GET", "/gatepost/health");
    until(gateway, "it begins", |gateway| Ok((send(gateway, &health)?.status == 200).then_some(())))?;
    first_ticks(gateway)
}

/// Opens these connections, even ones to one worker and odd ones to the other: on the real gateway that takes a while,
/// and what is to follow each other at once would not.
pub fn connected(gateway: &mut dyn Gateway, connections: usize) -> Result<()> {
    for connection in 0..connections {
        send(gateway, &Request::new("GET", "/gatepost/health").over(connection))?;
    }
    Ok(())
}

/// Loads another configuration and waits until it has begun on every thread; says whether it is taken.
pub fn update(gateway: &mut dyn Gateway, to: &Start) -> Result<String> {
    let taken = gateway.update(to)?;
    first_ticks(gateway)?;
    Ok(format!("taken: {taken}"))
}

/// Which configuration is the newest is settled by the first ticks: a thread's is a second after it was configured.
fn first_ticks(gateway: &mut dyn Gateway) -> Result<()> {
    pass(gateway, 1500)
}

/// The value at a JSON pointer of the admin surface's status, as text.
pub fn status(gateway: &mut dyn Gateway, pointer: &str) -> Result<String> {
    let answer = operate(gateway, "GET", "status", &Value::Null)?;
    Ok(answer.json.pointer(pointer).map_or_else(|| "-".to_owned(), plain))
}

/// Looks until there is something to see.
pub fn until<T>(
    gateway: &mut dyn Gateway,
    what: &str,
    mut look: impl FnMut(&mut dyn Gateway) -> Result<Option<T>>,
) -> Result<T> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(seen) = look(gateway)? {
            return Ok(seen);
        }
        if waited >= LIMIT {
            bail!("waited {LIMIT:?} in vain: {what}");
        }
        gateway.pass(PAUSE)?;
        waited += PAUSE;
    }
}

/// Waits until an endpoint has seen so many attempts; all of them.
pub fn wait_for(gateway: &mut dyn Gateway, endpoint: &str, attempts: usize) -> Result<Vec<Seen>> {
    let what = format!("{attempts} attempts at {endpoint}");
    until(gateway, &what, |gateway| Ok((gateway.arrived(endpoint)? >= attempts).then_some(())))?;
    gateway.seen(endpoint)
}

/// Waits until the status says this at a JSON pointer.
pub fn wait_for_status(gateway: &mut dyn Gateway, pointer: &str, value: &str) -> Result<()> {
    until(gateway, &format!("{pointer} is {value}"), |gateway| Ok((status(gateway, pointer)? == value).then_some(())))
}

/// Waits until there are so many dead letters; each as a line, oldest first.
pub fn letters(gateway: &mut dyn Gateway, count: usize) -> Observed {
    let listed = until(gateway, &format!("{count} dead letters"), |gateway| {
        let answer = operate(gateway, "GET", "dead-letters", &Value::Null)?;
        Ok((answer.text("total") == count.to_string()).then_some(answer.json))
    })?;
    let letters = listed.get("dead_letters").and_then(Value::as_array).into_iter().flatten();
    let part = |letter: &Value, key: &str| letter.get(key).map_or("-".to_owned(), plain);
    Ok(letters
        .map(|letter| {
            let (attempts, status) = (part(letter, "attempts"), part(letter, "response_status"));
            let what = [part(letter, "event"), part(letter, "endpoint"), part(letter, "reason")].join(" ");
            format!("dead letter: {what}, {attempts} attempts, last answer {status}")
        })
        .collect())
}

/// Attempts as lines: what differs from one to the next, and how many whole seconds after it.
pub fn lines(seen: &[Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before: Option<&Seen> = None;
    for attempt in seen {
        let verified = if attempt.verified { "verified" } else { "NOT verified" };
        let wait = before.map_or(Duration::ZERO, |before| attempt.at.saturating_sub(before.at));
        let id = if before.is_none_or(|before| before.id() == attempt.id()) { "same id" } else { "another id" };
        let (number, event) = (attempt.attempt(), attempt.header("x-webhook-event"));
        lines.push(format!("+{} s: attempt {number} of {event}, {verified}, {id}", seconds(wait)));
        before = Some(attempt);
    }
    lines
}

/// Whole seconds. Clocks may be a little apart, and where time is not exact more seconds count as well.
pub fn seconds(time: Duration) -> u64 {
    (time + Duration::from_millis(250)).as_secs()
}

/// The numbers of attempts, in order.
pub fn numbers(seen: &[Seen]) -> String {
    let numbers: Vec<&str> = seen.iter().map(Seen::attempt).collect();
    format!("attempts {}", numbers.join(", "))
}

/// Posts one event; the answer, then the attempts at the billing endpoint.
pub fn one(gateway: &mut dyn Gateway, replies: &[Reply], attempts: usize) -> Observed {
    gateway.script("billing", replies)?;
    let mut observed = vec![post(gateway)?.line()];
    observed.extend(lines(&wait_for(gateway, "billing", attempts)?));
    Ok(observed)
}

/// The same, and that nothing follows within three seconds.
pub fn one_and_no_more(gateway: &mut dyn Gateway, replies: &[Reply], attempts: usize) -> Observed {
    let mut observed = one(gateway, replies, attempts)?;
    gateway.pass(Duration::from_secs(3))?;
    observed.push(in_all(gateway, "billing")?);
    Ok(observed)
}

/// How many attempts an endpoint has seen so far.
pub fn in_all(gateway: &mut dyn Gateway, endpoint: &str) -> Result<String> {
    Ok(format!("{} attempts in all", gateway.arrived(endpoint)?))
}

/// Lets some milliseconds pass in which nothing is to happen.
pub fn pass(gateway: &mut dyn Gateway, millis: u64) -> Result<()> {
    gateway.pass(Duration::from_millis(millis))
}

/// The signature of scheme `timestamped`: computed from what is signed alone.
pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let code = hmac_sha256::HMAC::mac([timestamp.as_bytes(), b".", body].concat(), secret);
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}
