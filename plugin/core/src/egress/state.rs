//! The state of an endpoint in shared data, common to all workers: its breaker, whether its receiver is gone (410), and
//! its token bucket.
//!
//! `<name>/breaker/<endpoint>` is read before every attempt, so the breaker and a 410 cost one read together;
//! `<name>/rate/<endpoint>` exists only for endpoints with a `rate`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::egress::breaker::{Admission, Breaker, Effect, Permit, Position, Probe, Signal};
use crate::egress::endpoint::Endpoint;
use crate::egress::rate::TokenBucket;
use crate::store::keys::{Keys, StoreKey, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::Instant;

/// The longest wait until a shut gate is asked again: another worker, or an operator, may have opened it.
pub const RECHECK: Duration = Duration::from_secs(1);

/// The longest wait until a gate is asked again while another worker's probe is under way: the end of a probe is near.
pub const RECHECK_PROBE: Duration = Duration::from_millis(100);

/// The shared record of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// The circuit breaker of the endpoint.
    pub breaker: Breaker,
    /// The digest of the config entry whose receiver answered 410.
    gone: Option<u64>,
    /// An operator's override of the config's `disabled`: the operator's value, and the config's value at the time.
    disabled: Option<(bool, bool)>,
}

impl Stored for EndpointRecord {
    const NAME: &'static str = "breaker";
}

impl Record for EndpointRecord {
    const VERSION: u8 = 1;
}

/// What was decided of an endpoint by operators and its receiver: what a fleet's gateways share of its record. Breakers
/// are each gateway's own, since gateways see different networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDecision {
    /// An operator's override of the config's `disabled`: the operator's value, and the config's value at the time.
    pub disabled: Option<(bool, bool)>,
    /// The digest of the config entry whose receiver answered 410.
    pub gone: Option<u64>,
}

impl EndpointRecord {
    /// What was decided of the endpoint.
    pub fn decision(&self) -> EndpointDecision {
        EndpointDecision { disabled: self.disabled, gone: self.gone }
    }

    /// Puts what was decided elsewhere in the place of what was decided here.
    pub fn decide(&mut self, EndpointDecision { disabled, gone }: EndpointDecision) {
        (self.disabled, self.gone) = (disabled, gone);
    }

    /// Whether the receiver has answered 410 to the endpoint whose entry in the config has this digest. A changed entry
    /// is given another chance.
    pub fn is_gone(&self, digest: u64) -> bool {
        self.gone == Some(digest)
    }

    /// An operator's override of the config's `disabled`, which lapses once the config's value is another one.
    pub fn disabled_override(&self, configured: bool) -> Option<bool> {
        self.disabled.filter(|(_, over)| *over == configured).map(|(disabled, _)| disabled)
    }

    /// Whether an attempt may leave now. What the record holds of a breaker is left over from an earlier config, or was
    /// not used yet, where the endpoint has none.
    pub fn admission(&self, has_breaker: bool, now: Instant) -> Admission {
        if has_breaker {
            self.breaker.admission(now)
        } else {
            Admission::Admit(Permit::Closed { epoch: self.breaker.epoch() })
        }
    }

    /// When to look again at an endpoint that is disabled or whose breaker is open; `None`: it is neither.
    fn held_until(&self, endpoint: &Endpoint, now: Instant) -> Option<Instant> {
        if self.is_disabled(endpoint) {
            return Some(now.plus(RECHECK));
        }
        let Admission::Wait { until } = self.admission(endpoint.breaker.is_some(), now) else { return None };
        let recheck = if self.breaker.position() == Position::HalfOpen { RECHECK_PROBE } else { RECHECK };
        Some(until.min(now.plus(recheck)))
    }

    /// Whether the deliveries of this endpoint wait.
    pub fn is_disabled(&self, endpoint: &Endpoint) -> bool {
        self.disables(endpoint.disabled, endpoint.digest)
    }

    /// Whether the deliveries wait of an endpoint whose entry in the config has this `disabled` and this digest.
    pub fn disables(&self, configured: bool, digest: u64) -> bool {
        self.disabled_override(configured).unwrap_or(configured || self.is_gone(digest))
    }
}

/// The gate before an attempt: whether the attempt may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptGate {
    /// Yes.
    Open(Permit),
    /// Not before `until`; the wait costs none of the delivery's attempts.
    Shut {
        /// When to ask again.
        until: Instant,
    },
}

/// The keys of one endpoint's records in shared data.
#[derive(Clone, Debug)]
pub struct EndpointKeys {
    breaker: StoreKey<EndpointRecord>,
    rate: StoreKey<TokenBucket>,
}

impl EndpointKeys {
    /// The keys of `endpoint`.
    pub fn new(keys: &Keys, endpoint: &str) -> Self {
        Self { breaker: keys.of(endpoint), rate: keys.of(endpoint) }
    }

    /// Reads the shared record of the endpoint.
    ///
    /// # Errors
    /// The store's.
    pub fn shared(&self, store: &mut dyn SharedStore) -> Result<EndpointRecord, StoreError> {
        Ok(read(store, &self.breaker)?.unwrap_or_default())
    }

    /// Puts what was decided elsewhere in the place of what was decided here.
    ///
    /// # Errors
    /// The store's.
    pub fn decide(&self, store: &mut dyn SharedStore, decision: EndpointDecision) -> Result<(), StoreError> {
        update(store, &self.breaker, |record: &mut EndpointRecord| {
            let is_news = record.decision() != decision;
            record.decide(decision);
            (if is_news { Write::Yes } else { Write::No }, ())
        })
    }

    /// Asks whether an attempt of the worker `owner` may leave: `disabled`, then the breaker, then the rate. `shared`
    /// is the endpoint's record as [`shared`](Self::shared) has read it in this callback. Also returns the new position
    /// of the breaker, if the breaker has moved.
    /// `gateways` is the number of gateways that share the rate.
    ///
    /// # Errors
    /// The store's.
    pub fn pass(
        &self,
        store: &mut dyn SharedStore,
        shared: &EndpointRecord,
        endpoint: &Endpoint,
        owner: u64,
        now: Instant,
        gateways: u32,
    ) -> Result<(AttemptGate, Option<Position>), StoreError> {
        if let Some(until) = shared.held_until(endpoint, now) {
            return Ok((AttemptGate::Shut { until }, None));
        }
        let admission = shared.admission(endpoint.breaker.is_some(), now);
        if let Some(until) = self.take_token(store, endpoint, now, gateways)? {
            return Ok((AttemptGate::Shut { until }, None));
        }
        match admission {
            Admission::Admit(permit) => Ok((AttemptGate::Open(permit), None)),
            Admission::Probe | Admission::Wait { .. } => self.claim_probe(store, endpoint, owner, now),
        }
    }

    /// Says until when the gate is shut, as [`pass`](Self::pass) would find it; `None`: it is open. Takes neither a token nor
    /// the breaker's probe. `ahead` are the attempts that are to pass before.
    ///
    /// # Errors
    /// The store's.
    pub fn shut_until(
        &self,
        store: &mut dyn SharedStore,
        shared: &EndpointRecord,
        endpoint: &Endpoint,
        now: Instant,
        (gateways, ahead): (u32, usize),
    ) -> Result<Option<Instant>, StoreError> {
        if let Some(until) = shared.held_until(endpoint, now) {
            return Ok(Some(until));
        }
        if ahead > 0 && shared.admission(endpoint.breaker.is_some(), now) == Admission::Probe {
            return Ok(Some(now.plus(RECHECK_PROBE)));
        }
        let Some(rate) = endpoint.rate.map(|rate| rate.shared_by(gateways)) else { return Ok(None) };
        let mut bucket: TokenBucket = read(store, &self.rate)?.unwrap_or_default();
        Ok((0..=ahead).find_map(|_| bucket.take(now, &rate).err()))
    }

    /// Reports how an attempt ended, as [`Breaker::report`] takes it; returns the new position of the breaker, if the
    /// breaker has moved.
    ///
    /// # Errors
    /// The store's.
    pub fn report(
        &self,
        store: &mut dyn SharedStore,
        endpoint: &Endpoint,
        now: Instant,
        permit: Permit,
        signal: Signal,
        ended: bool,
    ) -> Result<Option<Position>, StoreError> {
        let Some(policy) = &endpoint.breaker else { return Ok(None) };
        self.change(store, &mut |breaker| breaker.report(now, permit, signal, ended, policy))
    }

    /// Gives back a probe that was never sent.
    ///
    /// # Errors
    /// The store's.
    pub fn release_probe(&self, store: &mut dyn SharedStore, probe: Probe) -> Result<(), StoreError> {
        self.change(store, &mut |breaker| breaker.release_probe(probe)).map(|_| ())
    }

    /// Notes that the receiver answered 410; returns whether that has disabled the endpoint, which was not disabled
    /// before.
    ///
    /// # Errors
    /// The store's.
    pub fn set_gone(&self, store: &mut dyn SharedStore, endpoint: &Endpoint) -> Result<bool, StoreError> {
        update(store, &self.breaker, |shared: &mut EndpointRecord| {
            let is_news = !shared.is_disabled(endpoint);
            // An operator may have enabled the endpoint since an earlier 410; this 410 is newer.
            shared.disabled = shared.disabled.filter(|(disabled, _)| *disabled);
            shared.gone = Some(endpoint.digest);
            (if is_news { Write::Yes } else { Write::No }, is_news)
        })
    }

    /// Sets an operator's override of the config's `disabled`, and forgets a 410. `None` removes the override, and
    /// nothing else. Returns whether the override has disabled the endpoint, which was not disabled before.
    /// `configured` and `digest` are the `disabled` and the digest of the endpoint's entry in the config.
    ///
    /// # Errors
    /// The store's.
    pub fn override_disabled(
        &self,
        store: &mut dyn SharedStore,
        configured: bool,
        digest: u64,
        disabled: Option<bool>,
    ) -> Result<bool, StoreError> {
        update(store, &self.breaker, |shared: &mut EndpointRecord| {
            let before = shared.clone();
            let was = before.disables(configured, digest);
            shared.disabled = disabled.map(|disabled| (disabled, configured));
            if disabled.is_some() {
                shared.gone = None;
            }
            (if *shared == before { Write::No } else { Write::Yes }, disabled == Some(true) && !was)
        })
    }

    /// Removes an operator's override that has lapsed, since the config's `disabled` is another one by now.
    ///
    /// # Errors
    /// The store's.
    pub fn forget_lapsed(&self, store: &mut dyn SharedStore, configured: bool) -> Result<(), StoreError> {
        update(store, &self.breaker, |shared: &mut EndpointRecord| {
            let lapsed = shared.disabled.take_if(|(_, over)| *over != configured);
            (if lapsed.is_some() { Write::Yes } else { Write::No }, ())
        })
    }

    /// Moves the breaker for an operator: opens it for the time `open`, or closes it if that is `None`. Returns the new
    /// position of the breaker, if the breaker has moved.
    ///
    /// # Errors
    /// The store's.
    pub fn force_breaker(
        &self,
        store: &mut dyn SharedStore,
        now: Instant,
        open: Option<Duration>,
    ) -> Result<Option<Position>, StoreError> {
        self.change(store, &mut |breaker| match open {
            Some(open) => breaker.open(now, open),
            None if breaker.position() == Position::Closed => Effect::Unchanged,
            None => breaker.close(),
        })
    }

    fn claim_probe(
        &self,
        store: &mut dyn SharedStore,
        endpoint: &Endpoint,
        owner: u64,
        now: Instant,
    ) -> Result<(AttemptGate, Option<Position>), StoreError> {
        update(store, &self.breaker, |shared: &mut EndpointRecord| {
            match shared.breaker.claim_probe(now, owner, endpoint.timeout) {
                Some((probe, effect)) => (Write::Yes, (AttemptGate::Open(Permit::Probe(probe)), moved(effect))),
                None => (Write::No, (AttemptGate::Shut { until: now.plus(RECHECK_PROBE) }, None)),
            }
        })
    }

    /// Takes a token of the endpoint's `rate`; returns the time of the next token if there is none now.
    fn take_token(
        &self,
        store: &mut dyn SharedStore,
        endpoint: &Endpoint,
        now: Instant,
        gateways: u32,
    ) -> Result<Option<Instant>, StoreError> {
        let Some(rate) = endpoint.rate.map(|rate| rate.shared_by(gateways)) else { return Ok(None) };
        update(store, &self.rate, |bucket: &mut TokenBucket| match bucket.take(now, &rate) {
            Ok(()) => (Write::Yes, None),
            Err(until) => (Write::No, Some(until)),
        })
    }

    fn change(
        &self,
        store: &mut dyn SharedStore,
        change: &mut dyn FnMut(&mut Breaker) -> Effect,
    ) -> Result<Option<Position>, StoreError> {
        update(store, &self.breaker, |shared: &mut EndpointRecord| {
            let effect = change(&mut shared.breaker);
            let write = if effect == Effect::Unchanged { Write::No } else { Write::Yes };
            (write, moved(effect))
        })
    }
}

fn moved(effect: Effect) -> Option<Position> {
    match effect {
        Effect::Moved(position) => Some(position),
        Effect::Unchanged | Effect::Counted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recorded::assert_recorded;

    /// What is known of an endpoint is read and written as the previous release wrote it.
    #[test]
    fn endpoint_record_format_matches_previous_release() {
        let at = |second| Instant::default().plus(Duration::from_secs(second));
        assert_recorded("endpoint new", &EndpointRecord::default());
        let mut breaker = Breaker::default();
        breaker.open(at(10), Duration::from_secs(60));
        assert_recorded(
            "endpoint open",
            &EndpointRecord { breaker: breaker.clone(), gone: Some(u64::MAX), disabled: None },
        );
        breaker.claim_probe(at(80), 7, Duration::from_secs(5)).unwrap();
        assert_recorded(
            "endpoint half open",
            &EndpointRecord { breaker: breaker.clone(), gone: None, disabled: Some((true, false)) },
        );
    }
}
