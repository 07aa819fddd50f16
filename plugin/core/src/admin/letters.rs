//! Dead letters: listed, delivered again, thrown away.
//!
//! A redelivery is the same event to the same endpoint, with its first id and a schedule that begins anew. It is put
//! into a partition that is then left for any worker to adopt, so it makes no difference which worker, or which filter,
//! answers; the letter goes once the event is kept.

use super::{Outcome, Result, Surface, begin, end, parameter};
use crate::about::About;
use crate::answer::Answer;
use crate::dead_letter::{self, Letter, Listed};
use crate::delivery::{DeliveryRecord, Stage, StateRecord};
use crate::json::write::{NONE, Writer};
use crate::ledger::Partition;
use crate::time::Now;

/// Letters in one answer, unless it asks for more.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

impl Surface<'_, '_> {
    pub(super) fn list_letters(&mut self) -> Result<Outcome> {
        let about = self.about()?;
        let endpoint = self.filter(&about)?;
        let limit = match parameter(self.request.query, "limit").map(str::parse) {
            None => LIMIT,
            Some(Ok(limit @ 1..=LIMIT_MAX)) => limit,
            Some(_) => return Err(Answer::bad_request("limit: expected a number from 1 to 1000")),
        };
        let mut body = begin(&about);
        body.array("dead_letters");
        let mut total: u64 = 0;
        for listed in dead_letter::list(self.world.store, self.prefix)? {
            let Some((letter, payload)) = dead_letter::open(self.world.store, self.prefix, listed)? else { continue };
            if endpoint.as_ref().is_some_and(|endpoint| *endpoint != letter.endpoint) {
                continue;
            }
            total += 1;
            if total <= limit as u64 {
                show(&mut body, &letter, payload.len());
            }
        }
        body.end_array();
        // All there are, whatever the answer is limited to.
        body.number("total", total);
        Ok(Outcome::Answer(end(body)))
    }

    pub(super) fn redeliver_all(&mut self) -> Result<Outcome> {
        let about = self.about()?;
        let endpoint = self.filter(&about)?;
        let letters = dead_letter::list(self.world.store, self.prefix)?;
        let line = ["redeliver=", endpoint.as_deref().unwrap_or("all")].concat();
        self.redeliver(&about, &letters, |letter| endpoint.as_ref().is_none_or(|name| *name == letter.endpoint), line)
    }

    pub(super) fn redeliver_one(&mut self, delivery: &str) -> Result<Outcome> {
        let about = self.about()?;
        let (listed, letter) = self.find(delivery)?;
        self.endpoint(&about, &letter.endpoint)?;
        self.redeliver(&about, &[listed], |_| true, ["redeliver=", delivery].concat())
    }

    pub(super) fn discard_letter(&mut self, delivery: &str) -> Result<Outcome> {
        let (listed, _) = self.find(delivery)?;
        dead_letter::discard(self.world.store, self.prefix, &[listed])?;
        self.changed(["discard=", delivery].concat())
    }

    /// The endpoint that the query names, if it names one.
    fn filter(&self, about: &About) -> Result<Option<String>> {
        let name = parameter(self.request.query, "endpoint");
        name.map(|name| self.endpoint(about, name).map(|endpoint| endpoint.name)).transpose()
    }

    /// The letter of a delivery.
    fn find(&mut self, delivery: &str) -> Result<(Listed, Letter)> {
        for listed in dead_letter::list(self.world.store, self.prefix)? {
            let letter = dead_letter::open(self.world.store, self.prefix, listed)?.map(|(letter, _)| letter);
            if let Some(letter) = letter.filter(|letter| delivery_id(letter) == delivery) {
                return Ok((listed, letter));
            }
        }
        Err(Answer::problem(404, "Not Found", "there is no such dead letter (any more)"))
    }

    fn redeliver(
        &mut self,
        about: &About,
        letters: &[Listed],
        wanted: impl Fn(&Letter) -> bool,
        line: String,
    ) -> Result<Outcome> {
        let [a, b, c, d, e, f, g, h, ..] = (self.world.random)();
        let nonce = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let Now { mono, wall } = self.world.now;
        let mut partition = Partition::claim(self.world.store, self.prefix, nonce, mono)?;
        let (mut kept, mut skipped, mut failed) = (Vec::new(), 0, None);
        for listed in letters {
            let Some((letter, payload)) = dead_letter::open(self.world.store, self.prefix, *listed)? else { continue };
            if !wanted(&letter) {
                continue;
            }
            if about.endpoints.iter().all(|endpoint| endpoint.name != letter.endpoint) {
                skipped += 1;
                continue;
            }
            let delivery = DeliveryRecord {
                endpoint: letter.endpoint.as_str(),
                attempts: 0,
                response_status: None,
                stage: Stage::Waiting { due: mono },
            };
            let deliveries = vec![delivery];
            let state = StateRecord { id: letter.meta.id, accepted: mono, accepted_wall: wall, trials: 0, deliveries };
            match partition.accept(self.world.store, &letter.meta, &payload, &state) {
                Ok(_) => kept.push(*listed),
                // Those that are kept are delivered; the others stay dead letters.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let discarded = dead_letter::discard(self.world.store, self.prefix, &kept);
        partition.release(self.world.store, kept.is_empty())?;
        discarded?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut body = begin(about);
        body.number("redelivered", kept.len() as u64);
        // Those whose endpoint is gone from the config stay where they are.
        body.number("skipped", skipped);
        Ok(Outcome::Changed(end(body), [line.as_str(), " letters=", itoa::Buffer::new().format(kept.len())].concat()))
    }
}

/// An event goes to an endpoint once: both name the delivery.
fn delivery_id(letter: &Letter) -> String {
    format!("{}.{}", letter.meta.id, letter.endpoint)
}

fn show(body: &mut Writer, letter: &Letter, bytes: usize) {
    body.object(NONE);
    body.text("delivery", &delivery_id(letter));
    body.text("id", &letter.meta.id.to_string());
    body.text("event", &letter.meta.event_type);
    body.text("endpoint", &letter.endpoint);
    body.text("reason", letter.reason.label());
    body.number("attempts", letter.attempts.into());
    body.optional("response_status", letter.response_status.map(u64::from));
    body.text("accepted_at", &letter.accepted.to_string());
    body.text("died_at", &letter.died.to_string());
    body.number("bytes", bytes as u64);
    body.end_object();
}
