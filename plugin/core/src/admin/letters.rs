//! Dead letters: listed, delivered again, thrown away.
//!
//! A redelivery is the same event to the same endpoint, with the same id and a schedule that begins anew. The event is
//! put into a partition that is then left for any worker to adopt, so it makes no difference which worker, or which
//! filter, answers; the letter goes once the event is kept.

use super::answers::{self, Letters, Redelivered};
use super::tell::fresh;
use super::{Outcome, Result, Surface, problem, success};
use crate::admin::about::About;
use crate::egress::dead_letter::{self, Letter, Listed};
use crate::ledger::record::StateRecord;
use crate::time::{Now, WallTime};

/// The filter of dead letters.
struct LetterFilter {
    endpoint: Option<String>,
    /// The filter lets no letter through that died before this time.
    since: WallTime,
    /// The name of the only delivery that is let through.
    delivery: Option<String>,
}

impl LetterFilter {
    fn wants(&self, letter: &Letter) -> bool {
        self.delivery.as_ref().is_none_or(|delivery| *delivery == letter.delivery())
            && letter.died >= self.since
            && self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == letter.endpoint)
    }
}

impl Surface<'_, '_> {
    pub(super) fn list_letters(&mut self, about: &About) -> Result<Outcome> {
        let (filter, limit) = (self.filter(about)?, self.limit()?);
        // `total` counts all letters that the filter lets through, whatever the limit of the answer.
        let (mut dead_letters, mut total) = (Vec::new(), 0);
        for listed in dead_letter::list(self.world.store, self.keys)? {
            let Some((letter, payload)) = dead_letter::open(self.world.store, self.keys, listed)? else { continue };
            if !filter.wants(&letter) {
                continue;
            }
            total += 1;
            if dead_letters.len() < limit {
                dead_letters.push(shown(&letter, payload.len()));
            }
        }
        Ok(Outcome::Answer(success(&Letters { process: about.process(), dead_letters, total })))
    }

    pub(super) fn redeliver_all(&mut self, about: &About) -> Result<Outcome> {
        let filter = self.filter(about)?;
        let letters = dead_letter::list(self.world.store, self.keys)?;
        let mut line = format!("redeliver={}", filter.endpoint.as_deref().unwrap_or("all"));
        if filter.since > WallTime::default() {
            line += &format!(" since={}", filter.since);
        }
        self.redeliver(about, &letters, &filter, line)
    }

    pub(super) fn redeliver_one(&mut self, about: &About, delivery: &str) -> Result<Outcome> {
        let (listed, letter) = self.find(delivery)?;
        self.endpoint(about, &letter.endpoint)?;
        let delivery = Some(delivery.to_owned());
        let only = LetterFilter { endpoint: None, since: WallTime::default(), delivery };
        self.redeliver(about, &[listed], &only, format!("redeliver={}", letter.delivery()))
    }

    pub(super) fn discard_letter(&mut self, about: &About, delivery: &str) -> Result<Outcome> {
        let (listed, _) = self.find(delivery)?;
        dead_letter::discard(self.world.store, self.keys, &[listed])?;
        self.changed(about, format!("discard={delivery}"))
    }

    fn filter(&self, about: &About) -> Result<LetterFilter> {
        Ok(LetterFilter { endpoint: self.named_endpoint(about)?, since: self.since()?, delivery: None })
    }

    /// Finds the dead letter of a delivery by the delivery's name.
    fn find(&mut self, delivery: &str) -> Result<(Listed, Letter)> {
        for listed in dead_letter::list(self.world.store, self.keys)? {
            let is_meant = |letter: &Letter| letter.delivery() == delivery;
            let opened = dead_letter::open(self.world.store, self.keys, listed)?;
            if !opened.is_some_and(|(letter, _)| is_meant(&letter)) {
                continue;
            }
            // Once more, and only if nobody has put another letter into its slot.
            let opened = dead_letter::open_listed(self.world.store, self.keys, listed)?;
            if let Some((letter, _)) = opened.filter(|(letter, _)| is_meant(letter)) {
                return Ok((listed, letter));
            }
        }
        Err(problem(404, "Not Found", "there is no such dead letter (any more)"))
    }

    fn redeliver(&mut self, about: &About, letters: &[Listed], filter: &LetterFilter, line: String) -> Result<Outcome> {
        let Now { mono, wall } = self.world.now;
        let mut partition = self.partition()?;
        let (mut kept, mut skipped, mut failed) = (Vec::new(), 0, None);
        for listed in letters {
            let (letter, payload) = match dead_letter::open_listed(self.world.store, self.keys, *listed) {
                Ok(Some(opened)) => opened,
                Ok(None) => continue,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            if !filter.wants(&letter) {
                continue;
            }
            if about.endpoints.iter().all(|endpoint| endpoint.name != letter.endpoint) {
                skipped += 1;
                continue;
            }
            let state = StateRecord {
                is_journaled: false,
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
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // After a failure, too, the letters kept as events so far are delivered, and the others stay dead letters.
        let discarded = dead_letter::discard(self.world.store, self.keys, &kept);
        partition.release(self.world.store, kept.is_empty())?;
        discarded?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let line = format!("{line} letters={}", kept.len());
        // Letters whose endpoint is gone from the config stay where they are.
        let body = Redelivered { process: about.process(), redelivered: kept.len() as u64, skipped };
        Ok(Outcome::Changed(success(&body), line, Vec::new()))
    }
}

fn shown(letter: &Letter, bytes: usize) -> answers::LetterView {
    answers::LetterView {
        delivery: letter.delivery(),
        id: letter.meta.id.to_string(),
        event: letter.meta.event_type.clone(),
        endpoint: letter.endpoint.clone(),
        reason: letter.reason.label().into(),
        attempts: letter.attempts.into(),
        response_status: letter.response_status,
        accepted_at: letter.accepted,
        died_at: letter.died,
        bytes: bytes as u64,
    }
}
