//! What is known of each event and each delivery, by what was sent, kept and received.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gatepost_core::store::{Cas, SharedStore, StoreError};

use super::invariant::{Broken, Invariant, broken};
use crate::plan::Plan;
use crate::receivers::End;

/// An event that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its type.
    pub event: String,
    /// How often. Under one idempotency key an event whose first answer was lost may be kept twice, with one id.
    pub times: u32,
}

/// An event that stands, or stood, in shared data.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// How often it was accepted from a producer.
    pub times: u32,
    /// How often its producer was told that it had failed, after which the same key tries again.
    pub failures: u32,
    /// The endpoints it is for.
    pub endpoints: BTreeSet<String>,
}

/// An attempt that was received.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Its number.
    pub number: u32,
    /// When.
    pub at: Duration,
    /// How it ended.
    pub end: End,
}

/// One delivery, as its receiver sees it.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// When it was accepted for the first and for the last time, by a producer's request or by an operator's redelivery.
    pub accepted: Option<(Duration, Duration)>,
    /// The last attempt, since it was last redelivered.
    pub last: Option<Attempt>,
    /// Attempts, since it was last redelivered.
    pub sends: u32,
    /// When the gateway could first know that it was taken; since it was last redelivered.
    pub taken: Option<Duration>,
    /// It was taken at some time.
    pub was_taken: bool,
    /// Letters that were written for it.
    pub letters: u32,
    /// Attempts at the sink.
    pub sink_sends: u32,
    /// How often an operator had it delivered again.
    pub redelivered: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Facts {
    /// Events by the bodies that leave for them: each has one of its own.
    pub sent: BTreeMap<Vec<u8>, Sent>,
    bodies: BTreeMap<String, Vec<u8>>,
    ids: BTreeMap<Vec<u8>, String>,
    /// Events by id.
    pub kept: BTreeMap<String, Kept>,
    deliveries: BTreeMap<(String, String), Delivery>,
    /// VMs that were lost to attempts of an event.
    pub deaths: BTreeMap<String, u32>,
    /// Things done to the process, each of which may cost a delivery one attempt more.
    pub disruptions: u32,
}

impl Facts {
    /// An id belongs to one event, and an event has one id.
    pub fn identify(&mut self, id: &str, body: &[u8]) -> Result<(), Broken> {
        match (self.bodies.get(id), self.ids.get(body)) {
            (Some(other), _) if other != body => broken(Invariant::OneId, format!("{id} names two events")),
            (_, Some(other)) if other != id => {
                broken(Invariant::OneId, format!("{} has another id: {id}", String::from_utf8_lossy(body)))
            }
            (Some(_), _) => Ok(()),
            (None, _) => {
                self.bodies.insert(id.to_owned(), body.to_vec());
                self.ids.insert(body.to_vec(), id.to_owned());
                Ok(())
            }
        }
    }

    /// The producer of an event was told that it has failed, or may have been.
    pub fn failed(&mut self, body: &[u8]) {
        let kept = self.ids.get(body).and_then(|id| self.kept.get_mut(id));
        kept.into_iter().for_each(|kept| kept.failures += 1);
    }

    /// Does nothing go wrong with this event, nor was it sent again, which it may be after it had failed?
    pub fn is_calm(&self, plan: &Plan, id: &str) -> bool {
        let sent = self.bodies.get(id).and_then(|body| self.sent.get(body));
        plan.is_calm() && sent.is_none_or(|sent| sent.times <= 1)
    }

    /// A delivery.
    pub fn delivery(&self, id: &str, endpoint: &str) -> Option<&Delivery> {
        self.deliveries.get(&(id.to_owned(), endpoint.to_owned()))
    }

    /// The same, to change it.
    pub fn delivery_mut(&mut self, id: &str, endpoint: &str) -> &mut Delivery {
        self.deliveries.entry((id.to_owned(), endpoint.to_owned())).or_default()
    }

    /// Deliveries that reached their receiver.
    pub fn delivered(&self) -> usize {
        self.deliveries.values().filter(|delivery| delivery.was_taken).count()
    }

    /// Did the receiver take this delivery, as far as the gateway can know at this time?
    pub fn is_delivered(&self, id: &str, endpoint: &str, at: Duration) -> bool {
        self.delivery(id, endpoint).is_some_and(|delivery| delivery.taken.is_some_and(|taken| taken <= at))
    }

    /// Was a letter written for this delivery?
    pub fn is_dead(&self, id: &str, endpoint: &str) -> bool {
        self.delivery(id, endpoint).is_some_and(|delivery| delivery.letters > 0)
    }

    /// An operator has it delivered again: its schedule begins anew.
    pub fn redelivered(&mut self, id: &str, endpoint: &str) {
        let delivery = self.delivery_mut(id, endpoint);
        delivery.redelivered += 1;
        (delivery.last, delivery.sends, delivery.taken, delivery.letters) = (None, 0, None, 0);
    }
}

/// Shared data as it was written, for the readers of records. It cannot be changed through them.
#[derive(Debug, Default)]
pub struct Mirror {
    values: BTreeMap<String, Vec<u8>>,
    /// Bytes of all keys and values.
    pub bytes: usize,
}

impl Mirror {
    /// A value.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// Takes over a write.
    pub fn put(&mut self, key: &str, value: &[u8]) {
        match self.values.get_mut(key) {
            Some(old) => {
                self.bytes = self.bytes - old.len() + value.len();
                value.clone_into(old);
            }
            None => {
                self.bytes += key.len() + value.len();
                self.values.insert(key.to_owned(), value.to_vec());
            }
        }
    }
}

impl SharedStore for Mirror {
    fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
        Ok(self.values.get(key).map(|value| (value.clone(), Cas(1))))
    }

    fn set(&mut self, _key: &str, _value: &[u8], _cas: Option<Cas>) -> Result<(), StoreError> {
        Err(StoreError::CasMismatch)
    }
}
