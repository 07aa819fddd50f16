//! Dead letters: listed, delivered again, thrown away.
//!
//! A redelivery is the same event to the same endpoint, with its first id and a schedule that begins anew. It is put
//! into a partition that is then left for any worker to adopt, so it makes no difference which worker, or which filter,
//! answers; the letter goes once the event is kept.

use super::tell::fresh;
use super::{Outcome, Result, Surface, begin, end, problem};
use crate::about::About;
use crate::dead_letter::{self, Letter, Listed};
use crate::delivery::StateRecord;
use crate::json::write::{NONE, Writer};
use crate::time::{Now, WallTime};

/// Which letters are wanted.
struct Filter {
    endpoint: Option<String>,
    /// None that died before.
    since: WallTime,
}

impl Filter {
    fn wants(&self, letter: &Letter) -> bool {
        letter.died >= self.since && self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == letter.endpoint)
    }
}

impl Surface<'_, '_> {
    pub(super) fn list_letters(&mut self, about: &About) -> Result<Outcome> {
        let (filter, limit) = (self.filter(about)?, self.limit()?);
        let mut body = begin(about);
        body.array("dead_letters");
        let mut total: u64 = 0;
        for listed in dead_letter::list(self.world.store, self.prefix)? {
            let Some((letter, payload)) = dead_letter::open(self.world.store, self.prefix, listed)? else { continue };
            if !filter.wants(&letter) {
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

    pub(super) fn redeliver_all(&mut self, about: &About) -> Result<Outcome> {
        let filter = self.filter(about)?;
        let letters = dead_letter::list(self.world.store, self.prefix)?;
        let mut line = ["redeliver=", filter.endpoint.as_deref().unwrap_or("all")].concat();
        if filter.since > WallTime::default() {
            line.extend([" since=", &filter.since.to_string()]);
        }
        self.redeliver(about, &letters, &filter, line)
    }

    pub(super) fn redeliver_one(&mut self, about: &About, delivery: &str) -> Result<Outcome> {
        let (listed, letter) = self.find(delivery)?;
        self.endpoint(about, &letter.endpoint)?;
        let any = Filter { endpoint: None, since: WallTime::default() };
        self.redeliver(about, &[listed], &any, ["redeliver=", delivery].concat())
    }

    pub(super) fn discard_letter(&mut self, about: &About, delivery: &str) -> Result<Outcome> {
        let (listed, _) = self.find(delivery)?;
        dead_letter::discard(self.world.store, self.prefix, &[listed])?;
        self.changed(about, ["discard=", delivery].concat())
    }

    fn filter(&self, about: &About) -> Result<Filter> {
        Ok(Filter { endpoint: self.named_endpoint(about)?, since: self.since()? })
    }

    /// The letter of a delivery.
    fn find(&mut self, delivery: &str) -> Result<(Listed, Letter)> {
        for listed in dead_letter::list(self.world.store, self.prefix)? {
            let letter = dead_letter::open(self.world.store, self.prefix, listed)?.map(|(letter, _)| letter);
            if let Some(letter) = letter.filter(|letter| letter.delivery() == delivery) {
                return Ok((listed, letter));
            }
        }
        Err(problem(404, "Not Found", "there is no such dead letter (any more)"))
    }

    fn redeliver(&mut self, about: &About, letters: &[Listed], filter: &Filter, line: String) -> Result<Outcome> {
        let Now { mono, wall } = self.world.now;
        let mut partition = self.partition()?;
        let (mut kept, mut skipped, mut failed) = (Vec::new(), 0, None);
        for listed in letters {
            let Some((letter, payload)) = dead_letter::open(self.world.store, self.prefix, *listed)? else { continue };
            if !filter.wants(&letter) {
                continue;
            }
            if about.endpoints.iter().all(|endpoint| endpoint.name != letter.endpoint) {
                skipped += 1;
                continue;
            }
            let state = StateRecord {
                id: letter.meta.id,
                accepted: mono,
                accepted_wall: wall,
                trials: 0,
                event_type: letter.meta.event_type.as_str(),
                route: "",
                deliveries: vec![fresh(&letter.endpoint, mono)],
            };
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
        let line = [line.as_str(), " letters=", itoa::Buffer::new().format(kept.len())].concat();
        Ok(Outcome::Changed(end(body), line, Vec::new()))
    }
}

fn show(body: &mut Writer, letter: &Letter, bytes: usize) {
    body.object(NONE);
    body.text("delivery", &letter.delivery());
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
