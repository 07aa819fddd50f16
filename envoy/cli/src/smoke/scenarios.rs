//! The four scenarios. Each says what it saw, or what was not as it must be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::ready::poll;
use super::target::Target;
use crate::gateway::DeliveryView;
use crate::receive::{Mode, Receiver, Reception, Record};

/// Plays a scenario.
pub type Scenario = fn(&Target, &Receiver) -> Result<String>;

/// Their names, what they are, and themselves.
pub const ALL: [(&str, &str, Scenario); 4] = [
    (FIRST, "an event is delivered, signed", success),
    ("503", "attempts at 0, +2 and +4 s, then a dead letter", retries),
    ("400", "one attempt, then a dead letter", refusal),
    ("breaker", "opens, lets one probe through, closes", breaker),
];

/// The scenario without which no other makes sense.
pub const FIRST: &str = "success";

fn success(target: &Target, receiver: &Receiver) -> Result<String> {
    let id = target.send("success")?;
    let delivery = ended(target, &id, DELIVERED)?;
    let attempts = of(receiver, &[&id], 0);
    verified(&attempts, &delivery, receiver)?;
    ensure!(delivery.status == "delivered", "it was received, and is {} all the same", delivery.status);
    ensure!(attempts.len() == 1, "it was answered 200, and {} attempts were made", attempts.len());
    numbered(&attempts)?;
    Ok("accepted, delivered in one attempt, signature verified".to_owned())
}

fn retries(target: &Target, receiver: &Receiver) -> Result<String> {
    receiver.set_mode(Mode::failing(None, 503));
    let id = target.send("retries")?;
    let delivery = ended(target, &id, DELAYS.iter().sum::<Duration>() + DELIVERED);
    let attempts = of(receiver, &[&id], 0);
    let waits = waits(&attempts);
    let delivery = delivery.with_context(|| format!("attempts so far: {}", shown(&waits)))?;
    verified(&attempts, &delivery, receiver)?;
    as_scheduled(&waits)?;
    numbered(&attempts)?;
    fresh(&attempts)?;
    dead_letter(target, &id, DELAYS.len(), 503)?;
    Ok(format!("attempts at {}, same id, each signed afresh, then a dead letter", shown(&waits)))
}

fn refusal(target: &Target, receiver: &Receiver) -> Result<String> {
    receiver.set_mode(Mode::failing(None, 400));
    let id = target.send("refusal")?;
    let delivery = ended(target, &id, DELIVERED)?;
    let attempts = of(receiver, &[&id], 0);
    verified(&attempts, &delivery, receiver)?;
    ensure!(attempts.len() == 1, "a 400 is final, and {} attempts were made", attempts.len());
    dead_letter(target, &id, 1, 400)?;
    Ok("one attempt, not tried again, a dead letter".to_owned())
}

fn breaker(target: &Target, receiver: &Receiver) -> Result<String> {
    let before = receiver.received();
    receiver.set_mode(Mode::failing(None, 503));
    let mut ids = Vec::new();
    for _ in 0..FAILURES {
        ids.push(target.send("breaker")?);
    }
    let opened = poll(OPENED, || {
        // Counted from before the answer: a pause after it is none in which the breaker said it stays open.
        let asked = Instant::now();
        let endpoint = target.status()?.1;
        Ok((endpoint.breaker.state == "open").then_some((asked, endpoint.breaker.seconds_left)))
    })?;
    let of_ours = |ids: &[String]| of(receiver, &ids.iter().map(String::as_str).collect::<Vec<_>>(), before);
    let failed = of_ours(&ids);
    if let Some(problem) = failed.iter().find_map(|attempt| attempt.problem.clone()) {
        bail!("an attempt did not verify: {problem}");
    }
    let Some((asked, seconds_left)) = opened else {
        bail!("{} attempts failed, and the breaker is not open; expected {BREAKER}", failed.len());
    };
    let left = Duration::from_secs(seconds_left.unwrap_or_default());
    ensure!(left <= OPEN_MAX, "the breaker is open for {left:?} more, longer than smoke waits; expected {BREAKER}");
    // The probe takes its time: what left beside it would arrive meanwhile.
    receiver.set_mode(Mode::slow(PROBE));
    for _ in 0..WAITING {
        ids.push(target.send("breaker")?);
    }
    let delivered = poll(left + CLOSED, || {
        let taken = of_ours(&ids).iter().filter(|attempt| attempt.status == 200).count();
        let closed = target.status()?.1.breaker.state == "closed";
        Ok((closed && taken >= ids.len()).then_some(()))
    })?;
    let after = of_ours(&ids).split_off(failed.len());
    as_a_breaker(&after, asked, left)?;
    ensure!(
        delivered.is_some(),
        "the receiver is well again, and after {:?} {} of {} deliveries that waited have arrived; the breaker is {}",
        left + CLOSED,
        after.iter().filter(|attempt| attempt.status == 200).count(),
        ids.len(),
        target.status()?.1.breaker.state
    );
    for id in &ids {
        let delivery = ended(target, id, DELIVERED)?;
        ensure!(delivery.status == "delivered", "{id} waited at the breaker, and is {}", delivery.status);
    }
    let silence =
        failed.last().zip(after.first()).map(|(last, probe)| probe.arrived - last.arrived).unwrap_or_default();
    Ok(format!(
        "open after {} failures, silent for {:.1} s, one probe, closed, all {} delivered",
        failed.len(),
        silence.as_secs_f64(),
        ids.len()
    ))
}

/// What arrived after a breaker was seen open: nothing for as long as it said, then one attempt alone.
fn as_a_breaker(after: &[Record], asked: Instant, left: Duration) -> Result<()> {
    let Some(probe) = after.first() else { return Ok(()) };
    let silence = probe.arrived.saturating_duration_since(asked);
    ensure!(
        silence + EARLY >= left,
        "an attempt arrived {:.1} s after the breaker had said that it stays open for {left:?}",
        silence.as_secs_f64()
    );
    if let Some(second) = after.get(1) {
        let alone = second.arrived.saturating_duration_since(probe.arrived);
        ensure!(
            alone + EARLY >= PROBE,
            "a second attempt arrived {:.1} s after the probe, which had not been answered yet",
            alone.as_secs_f64()
        );
    }
    Ok(())
}

/// Waits until a delivery has ended.
fn ended(target: &Target, id: &str, patience: Duration) -> Result<DeliveryView> {
    let mut last = None;
    let ended = poll(patience, || {
        let delivery = target.delivery(id)?;
        let is_over = ["delivered", "failed", "expired"].contains(&&*delivery.status);
        let found = is_over.then(|| delivery.clone());
        last = Some(delivery);
        Ok(found)
    })?;
    ended.with_context(|| match last {
        Some(last) => format!("after {patience:?} the delivery is {}; {}", last.status, outcomes(&last)),
        None => format!("after {patience:?} nothing is known of the delivery"),
    })
}

/// What the gateway saw of its attempts.
fn outcomes(delivery: &DeliveryView) -> String {
    let outcomes: Vec<&str> = delivery.attempts.iter().map(|attempt| &*attempt.outcome).collect();
    if outcomes.is_empty() {
        "no attempt was made".to_owned()
    } else {
        format!("its attempts: {}", outcomes.join(", "))
    }
}

/// The attempts of these events, in the order they arrived, without the first `since` requests.
fn of(receiver: &Receiver, ids: &[&str], since: usize) -> Vec<Record> {
    let mut records = receiver.records(since);
    records.retain(|record| ids.contains(&record.id.as_str()));
    records
}

/// Did it arrive, and did each attempt verify?
fn verified(attempts: &[Record], delivery: &DeliveryView, receiver: &Receiver) -> Result<()> {
    ensure!(
        !attempts.is_empty(),
        "it is {}, and nothing arrived at {}; {}; does the endpoint's cluster point there?",
        delivery.status,
        receiver.address(),
        outcomes(delivery)
    );
    let refused = attempts.iter().find(|attempt| attempt.verdict == Reception::Refused);
    if let Some(problem) = refused.and_then(|attempt| attempt.problem.as_ref()) {
        bail!("an attempt did not verify: {problem}; is the secret here the gateway's?");
    }
    Ok(())
}

/// When each attempt arrived, after the one before.
fn waits(attempts: &[Record]) -> Vec<Duration> {
    let mut before = None;
    attempts
        .iter()
        .map(|attempt| {
            let wait = before.map_or(Duration::ZERO, |before| attempt.arrived.saturating_duration_since(before));
            before = Some(attempt.arrived);
            wait
        })
        .collect()
}

fn as_scheduled(waits: &[Duration]) -> Result<()> {
    ensure!(
        waits.len() == DELAYS.len(),
        "{} attempts, at {}; expected {}, at {}",
        waits.len(),
        shown(waits),
        DELAYS.len(),
        shown(&DELAYS)
    );
    let is_off = |(wait, delay): (&Duration, &Duration)| *wait + EARLY < *delay || *wait > *delay + LATE;
    // The first wait is measured from itself.
    match waits.iter().zip(&DELAYS).skip(1).position(is_off) {
        None => Ok(()),
        Some(at) => bail!(
            "attempts at {}; expected {} (attempt {} is off); does the endpoint say retry: {{delays: [0s, 2s, 4s]}}?",
            shown(waits),
            shown(&DELAYS),
            at + 2
        ),
    }
}

fn shown(waits: &[Duration]) -> String {
    let shown = waits.iter().enumerate().map(|(at, wait)| {
        let sign = if at == 0 { "" } else { "+" };
        format!("{sign}{:.1}", wait.as_secs_f64())
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "none".to_owned() } else { format!("{} s", shown.join(", ")) }
}

/// Are they attempts 1, 2, 3?
fn numbered(attempts: &[Record]) -> Result<()> {
    let numbers: Vec<Option<u32>> = attempts.iter().map(|attempt| attempt.attempt).collect();
    let expected: Vec<Option<u32>> = (1..).take(attempts.len()).map(Some).collect();
    let shown = |numbers: &[Option<u32>]| {
        let shown = numbers.iter().map(|number| number.map_or("none".to_owned(), |number| number.to_string()));
        shown.collect::<Vec<_>>().join(", ")
    };
    ensure!(numbers == expected, "the attempts were numbered {}; expected {}", shown(&numbers), shown(&expected));
    Ok(())
}

/// Does each attempt have a later timestamp and another signature than the one before?
fn fresh(attempts: &[Record]) -> Result<()> {
    for (before, after) in attempts.iter().zip(attempts.iter().skip(1)) {
        let times = [before, after].map(|attempt| attempt.timestamp.parse::<u64>().unwrap_or_default());
        ensure!(times[0] < times[1], "the timestamp of an attempt is not later than that of the one before");
        ensure!(before.signature != after.signature, "two attempts carry the same signature");
    }
    Ok(())
}

fn dead_letter(target: &Target, id: &str, attempts: usize, status: u16) -> Result<()> {
    let letters = target.letters()?;
    let letter = letters.get(id).context("it failed for good, and is not among the dead letters")?;
    ensure!(
        letter.attempts == attempts as u64 && letter.response_status == Some(status),
        "its dead letter says {} attempts and status {:?}; expected {attempts} and {status}",
        letter.attempts,
        letter.response_status
    );
    Ok(())
}

/// The waits before the attempts, as `gatepost smoke --help` says.
const DELAYS: [Duration; 3] = [Duration::from_secs(0), Duration::from_secs(2), Duration::from_secs(4)];
/// Two clocks, and a request under way: an attempt may seem this much too early.
const EARLY: Duration = Duration::from_millis(100);
/// A gateway that is busy may be this late; half of it would tell 2 s from 4 s.
const LATE: Duration = Duration::from_millis(1500);
/// An attempt, on a machine that does other things too.
const DELIVERED: Duration = Duration::from_secs(10);

/// So many failures open the breaker.
const FAILURES: usize = 3;
/// Events sent while it is open.
const WAITING: usize = 2;
const BREAKER: &str = "breaker: {failures: 3, window: 30s, open: 5s}";
/// Three events with three attempts each have failed by then.
const OPENED: Duration = Duration::from_secs(10);
/// Longer than smoke waits for a breaker.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// How long the probe is left unanswered.
const PROBE: Duration = Duration::from_secs(1);
/// From half-open to all delivered: the probe, what waits for it, and what is not due yet.
const CLOSED: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: &[f64]) -> Vec<Duration> {
        seconds.iter().map(|seconds| Duration::from_secs_f64(*seconds)).collect()
    }

    /// Waits of 2 and 4 seconds are as scheduled and others are told.
    #[test]
    fn retry_waits_of_2_and_4_s_pass_and_others_are_reported() {
        assert!(as_scheduled(&seconds(&[0.0, 2.01, 4.3])).is_ok());
        let told = |waits: &[f64]| as_scheduled(&seconds(waits)).unwrap_err().to_string();
        assert!(
            told(&[0.0, 1.0, 4.0])
                .starts_with("attempts at 0.0, +1.0, +4.0 s; expected 0.0, +2.0, +4.0 s (attempt 2 is off)")
        );
        assert!(told(&[0.0, 2.0, 8.0]).contains("(attempt 3 is off)"));
        assert!(told(&[0.0, 2.0]).starts_with("2 attempts, at 0.0, +2.0 s; expected 3"));
        assert!(told(&[]).starts_with("0 attempts, at none"));
    }
}
