//! The books of a receiver: what it decides of a request, and what it remembers.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use gatepost_core::time::WallTime;

use super::mode::{Delay, Mode};
use super::record::{Reception, Record};
use super::verify::{ReceiverCheck, Verifier};

/// A request, whole.
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

/// How to answer a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Wait so long before.
    pub delay: Duration,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

/// What a receiver decides and remembers.
pub struct Inbox {
    verifier: Verifier,
    rejects_replays: bool,
    mode: Mode,
    taken: Taken,
    records: VecDeque<Record>,
    /// Records that were forgotten, since only the last [`RECORDS_MAX`] are kept.
    forgotten: usize,
}

impl Inbox {
    /// An empty one.
    pub fn new(verifier: Verifier, rejects_replays: bool, mode: Mode) -> Self {
        Self { verifier, rejects_replays, mode, taken: Taken::default(), records: VecDeque::new(), forgotten: 0 }
    }

    /// How it answers.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// Lets it answer otherwise from now on.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// The requests so far, oldest first, without the first `since`.
    pub fn records(&self, since: usize) -> impl Iterator<Item = &Record> {
        self.records.iter().skip(since.saturating_sub(self.forgotten))
    }

    /// How many there were, those forgotten included.
    pub fn received(&self) -> usize {
        self.forgotten + self.records.len()
    }

    /// Verifies a request, decides how to answer, and writes it down.
    pub fn take(&mut self, request: &Request<'_>, now: WallTime) -> (Record, Reply) {
        let mut record = self.record(request, now);
        let reply = match self.verifier.verify(request.headers, request.body, now) {
            Ok(known) => self.answer(&mut record, &known),
            Err(problem) => {
                (record.verdict, record.problem) = (Reception::Refused, Some(problem.to_string()));
                Reply { status: 401, problem: record.problem.clone(), ..Reply::default() }
            }
        };
        record.status = reply.status;
        self.write_down(record.clone());
        (record, reply)
    }

    /// Answers what verified. What it is known by is remembered once it was answered 2xx: the sender tries the others
    /// again.
    fn answer(&mut self, record: &mut Record, known: &[String]) -> Reply {
        let delay = self.mode.delay.map_or(Duration::ZERO, |Delay(delay)| delay);
        if self.verifier.checks(ReceiverCheck::Replay) && known.iter().any(|mark| self.taken.contains(mark)) {
            record.verdict = Reception::Duplicate;
            let problem = self.rejects_replays.then(|| "this id was taken before".to_owned());
            return Reply { status: if self.rejects_replays { 409 } else { 200 }, delay, problem, retry_after: None };
        }
        let failure = self.mode.next_failure();
        let status = failure.unwrap_or(200);
        if (200..300).contains(&status) {
            known.iter().for_each(|mark| self.taken.insert(mark));
        }
        Reply { status, delay, retry_after: failure.and(self.mode.retry_after), problem: None }
    }

    /// Writes down a request that is no webhook.
    pub fn refuse(&mut self, request: &Request<'_>, now: WallTime, status: u16, problem: &str) -> (Record, Reply) {
        let reply = Reply { status, problem: Some(problem.to_owned()), ..Reply::default() };
        let (verdict, problem) = (Reception::Refused, reply.problem.clone());
        let record = Record { verdict, problem, status, ..self.record(request, now) };
        self.write_down(record.clone());
        (record, reply)
    }

    fn record(&self, request: &Request<'_>, now: WallTime) -> Record {
        let header = |name: &str| {
            let value = request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            value.unwrap_or_default()
        };
        let labels = self.verifier.labels();
        let first = |names: &[&str]| names.iter().map(|name| header(name)).find(|value| !value.is_empty());
        Record {
            at: now,
            arrived: Instant::now(),
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            event: first(&labels.event).unwrap_or_default(),
            id: first(&labels.id).unwrap_or_default(),
            attempt: header(&self.verifier.scheme.attempt).parse().ok(),
            timestamp: header(labels.timestamp),
            signature: header(labels.signature),
            bytes: request.body.len(),
            verdict: Reception::Verified,
            problem: None,
            status: 200,
        }
    }

    fn write_down(&mut self, record: Record) {
        if self.records.len() == RECORDS_MAX {
            self.records.pop_front();
            self.forgotten += 1;
        }
        self.records.push_back(record);
    }
}

/// What was answered 2xx is known by; of too many the oldest are forgotten.
#[derive(Default)]
struct Taken {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Taken {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn insert(&mut self, id: &str) {
        if !self.ids.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Some 5 MB.
const RECORDS_MAX: usize = 10_000;
/// Some 10 MB: 300 s at 300 a second.
const IDS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use gatepost_core::secret::Secret;
    use gatepost_core::signature::timestamped::{Timestamped, sign};

    use super::*;

    const NOW: WallTime = WallTime::from_millis(1_764_000_000_000);

    fn inbox(rejects_replays: bool, mode: Mode) -> Inbox {
        let secret = Secret::new(b"secret".to_vec()).unwrap();
        let verifier = Verifier { scheme: Timestamped::default(), secrets: vec![secret], other: None, without: vec![] };
        Inbox::new(verifier, rejects_replays, mode)
    }

    fn send(inbox: &mut Inbox, id: &str, secret: &str) -> (Reception, Reply) {
        let secret = Secret::new(secret.as_bytes().to_vec()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-webhook-signature", sign(&secret, NOW, b"{}").parse().unwrap());
        headers.insert("x-webhook-timestamp", NOW.as_millis().into());
        headers.insert("x-webhook-id", id.parse().unwrap());
        headers.insert("x-webhook-event", "a".parse().unwrap());
        let (record, reply) = inbox.take(&Request { method: "POST", path: "/", headers: &headers, body: b"{}" }, NOW);
        (record.verdict, reply)
    }

    /// An id that was taken is a duplicate and acknowledged or rejected as asked.
    #[test]
    fn duplicate_id_is_acknowledged_or_rejected_as_configured() {
        for (rejects, status) in [(false, 200), (true, 409)] {
            let mut inbox = inbox(rejects, Mode::default());
            assert_eq!(send(&mut inbox, "1", "secret").0, Reception::Verified);
            let (verdict, reply) = send(&mut inbox, "1", "secret");
            assert_eq!((verdict, reply.status), (Reception::Duplicate, status));
            assert_eq!(send(&mut inbox, "2", "secret").0, Reception::Verified);
        }
    }

    #[test]
    fn an_id_that_failed_is_no_duplicate_when_it_comes_again() {
        let mut inbox = inbox(true, Mode { retry_after: Some(7), ..Mode::failing(Some(1), 503) });
        let (verdict, reply) = send(&mut inbox, "1", "secret");
        assert_eq!((verdict, reply.status, reply.retry_after), (Reception::Verified, 503, Some(7)));
        let (verdict, reply) = send(&mut inbox, "1", "secret");
        assert_eq!((verdict, reply.status, reply.retry_after), (Reception::Verified, 200, None));
    }

    #[test]
    fn what_does_not_verify_is_answered_401_and_uses_up_no_failure() {
        let mut inbox = inbox(false, Mode::failing(Some(1), 503));
        let (verdict, reply) = send(&mut inbox, "1", "another");
        assert_eq!((verdict, reply.status), (Reception::Refused, 401));
        assert!(reply.problem.is_some());
        assert_eq!(send(&mut inbox, "1", "secret").1.status, 503);
    }

    /// Of too many records the oldest are forgotten and numbers stay.
    #[test]
    fn oldest_records_are_dropped_and_numbering_continues() {
        let mut inbox = inbox(false, Mode::default());
        for id in 0..RECORDS_MAX + 3 {
            send(&mut inbox, &id.to_string(), "secret");
        }
        assert_eq!((inbox.records(0).count(), inbox.received()), (RECORDS_MAX, RECORDS_MAX + 3));
        let last: Vec<&str> = inbox.records(RECORDS_MAX + 1).map(|record| record.id.as_str()).collect();
        assert_eq!(last, ["10001", "10002"]);
    }

    #[test]
    fn of_too_many_ids_the_oldest_is_forgotten() {
        let mut taken = Taken::default();
        (0..=IDS_MAX).for_each(|id| taken.insert(&id.to_string()));
        assert!(!taken.contains("0") && taken.contains("1") && taken.contains(&IDS_MAX.to_string()));
    }
}
