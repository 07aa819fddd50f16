//! The steps that many scenarios share.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::gateway::plain;
use crate::{Answer, Gateway, OPERATE, Reply, Request, Seen, Start, config, endpoint};

/// The lines that were observed.
pub type Observed = Result<Vec<String>>;

/// The body of events, where their content does not matter.
pub const BODY: &str = r#"{"amount": 42}"#;

/// The longest wait for something to be observed: a lease, and all that has to happen after it on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The setup with one endpoint, `billing`, which has the defaults.
pub fn plain_start() -> Start {
    billing(json!({}))
}

/// The setup with one endpoint, `billing`, whose entry has these keys too.
pub fn billing(more: Value) -> Start {
    config(&[endpoint("billing", more)])
}

/// The setup with one endpoint that has three attempts, a second apart, and a breaker that does not open.
pub fn patient() -> Start {
    billing(json!({"retry": {"delays": ["0s", "1s", "1s"]}, "breaker": {"failures": 100}}))
}

/// The setup whose attempts have this `user-agent`, which tells configurations apart.
pub fn named(agent: &str) -> Start {
    patient().with(json!({"user_agent": agent}))
}

/// The setup with this `user-agent` whose calls may be under way for as long as an update and a drain take.
pub fn unhurried(agent: &str) -> Start {
    billing(json!({"timeout": "30s"})).with(json!({"user_agent": agent}))
}

/// This setup with producers that wait for the end of their events' deliveries.
pub fn waiting(start: Start) -> Start {
    start.with(json!({"routes": [route("ingest", "/events/{event}", json!({"ack": "delivered"}))]}))
}

/// The config entry of a route whose capture `event` is the event type, with more keys.
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

/// A request with the event `paid`.
pub fn paid() -> Request {
    Request::event("/events/paid", BODY)
}

/// Posts the event `paid`.
pub fn post(gateway: &mut dyn Gateway) -> Result<Answer> {
    send(gateway, &paid())
}

/// Sends a command to the admin surface with the token that may change things; a `null` command has no body.
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

/// Opens so many connections, those with even numbers to one worker and those with odd numbers to the other. On the
/// real gateway this takes a while, and requests that are to follow each other at once would not.
pub fn connected(gateway: &mut dyn Gateway, connections: usize) -> Result<()> {
    for connection in 0..connections {
        send(gateway, &Request::new("GET", "/gatepost/health").over(connection))?;
    }
    Ok(())
}

/// Loads another configuration and waits until it has begun on every thread. Returns a line that says whether it was
/// taken.
pub fn update(gateway: &mut dyn Gateway, to: &Start) -> Result<String> {
    let taken = gateway.update(to)?;
    first_ticks(gateway)?;
    Ok(format!("taken: {taken}"))
}

/// Waits for the first tick of every thread, a second after the thread was configured: the first ticks settle which
/// configuration is the newest.
fn first_ticks(gateway: &mut dyn Gateway) -> Result<()> {
    pass(gateway, 1500)
}

/// The value at a JSON pointer of the admin surface's status, as text.
pub fn status(gateway: &mut dyn Gateway, pointer: &str) -> Result<String> {
    let answer = operate(gateway, "GET", "status", &Value::Null)?;
    Ok(answer.json.pointer(pointer).map_or_else(|| "-".to_owned(), plain))
}

/// Looks until `look` finds something, and returns it; fails if that takes too long.
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

/// Waits until an endpoint has seen so many attempts, and returns all that it has seen.
pub fn wait_for(gateway: &mut dyn Gateway, endpoint: &str, attempts: usize) -> Result<Vec<Seen>> {
    let what = format!("{attempts} attempts at {endpoint}");
    until(gateway, &what, |gateway| Ok((gateway.arrived(endpoint)? >= attempts).then_some(())))?;
    gateway.seen(endpoint)
}

/// Waits until the admin surface's status has this value at a JSON pointer.
pub fn wait_for_status(gateway: &mut dyn Gateway, pointer: &str, value: &str) -> Result<()> {
    until(gateway, &format!("{pointer} is {value}"), |gateway| Ok((status(gateway, pointer)? == value).then_some(())))
}

/// Waits until there are so many dead letters. Returns each as a line, oldest first.
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

/// Attempts as lines: for each the whole seconds since the one before, its number, its event type, whether it verifies,
/// and whether it has the same id as the one before.
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

/// The whole seconds of a time, with a tolerance of 250 ms: clocks may be a little apart.
pub fn seconds(time: Duration) -> u64 {
    (time + Duration::from_millis(250)).as_secs()
}

/// A line with the numbers of attempts, in order.
pub fn numbers(seen: &[Seen]) -> String {
    let numbers: Vec<&str> = seen.iter().map(Seen::attempt).collect();
    format!("attempts {}", numbers.join(", "))
}

/// Posts one event. Returns the line of the answer, then those of the attempts at the billing endpoint.
pub fn one(gateway: &mut dyn Gateway, replies: &[Reply], attempts: usize) -> Observed {
    gateway.script("billing", replies)?;
    let mut observed = vec![post(gateway)?.line()];
    observed.extend(lines(&wait_for(gateway, "billing", attempts)?));
    Ok(observed)
}

/// Does the same as [`one`], and then waits three seconds. The last line is the number of attempts, which shows that
/// none followed.
pub fn one_and_no_more(gateway: &mut dyn Gateway, replies: &[Reply], attempts: usize) -> Observed {
    let mut observed = one(gateway, replies, attempts)?;
    gateway.pass(Duration::from_secs(3))?;
    observed.push(in_all(gateway, "billing")?);
    Ok(observed)
}

/// A line with the number of attempts that an endpoint has seen so far.
pub fn in_all(gateway: &mut dyn Gateway, endpoint: &str) -> Result<String> {
    Ok(format!("{} attempts in all", gateway.arrived(endpoint)?))
}

/// Lets some milliseconds pass in which nothing is to happen.
pub fn pass(gateway: &mut dyn Gateway, millis: u64) -> Result<()> {
    gateway.pass(Duration::from_millis(millis))
}

/// The signature of scheme `timestamped`, computed without the filter's code.
pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let code = hmac_sha256::HMAC::mac([timestamp.as_bytes(), b".", body].concat(), secret);
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}
