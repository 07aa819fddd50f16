//! The facts: what is known of each event and each delivery, by what was sent, kept and received.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gatepost_core::store::{Cas, SharedStore, StoreError};

use super::invariant::{Broken, Invariant, broken};
use crate::plan::Plan;
use crate::receivers::End;

/// An event that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The type of the event.
    pub event: String,
    /// How often the event was sent. Under one idempotency key an event whose first answer was lost may be kept twice,
    /// with one id.
    pub times: u32,
}

/// An event that stands, or stood, in shared data.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// How often the event was accepted from a producer.
    pub times: u32,
    /// How often the producer was told that the event had failed, after which the same key tries again.
    pub failures: u32,
    /// The names of the endpoints that the event goes to.
    pub endpoints: BTreeSet<String>,
}

/// An attempt that was received.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The number of the attempt, from 1.
    pub number: u32,
    /// When the attempt left.
    pub at: Duration,
    /// How the attempt ended.
    pub end: End,
}

/// What is known of a delivery.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// When the delivery was accepted for the first and for the last time, by a producer's request or by an operator's
    /// redelivery.
    pub accepted: Option<(Duration, Duration)>,
    /// The last attempt since the last redelivery.
    pub last: Option<Attempt>,
    /// The number of attempts since the last redelivery.
    pub sends: u32,
    /// When the gateway could first know that the receiver took the delivery; since the last redelivery.
    pub taken: Option<Duration>,
    /// The receiver took the delivery at some time.
    pub was_taken: bool,
    /// The number of letters that were written for the delivery since the last redelivery.
    pub letters: u32,
    /// The number of attempts at the sink.
    pub sink_sends: u32,
    /// How often an operator had the delivery made again.
    pub redelivered: u32,
}

/// All that is known of a run's events and deliveries.
#[derive(Debug, Default)]
pub struct Facts {
    /// The events that were sent, by the bodies that leave for them: each event has a body of its own.
    pub sent: BTreeMap<Vec<u8>, Sent>,
    bodies: BTreeMap<String, Vec<u8>>,
    ids: BTreeMap<Vec<u8>, String>,
    /// The events that were kept, by id.
    pub kept: BTreeMap<String, Kept>,
    deliveries: BTreeMap<(String, String), Delivery>,
    /// The number of VMs that were lost to attempts of an event, by the event's id.
    pub deaths: BTreeMap<String, u32>,
    /// The number of things done to the process, each of which may cost a delivery one attempt more.
    pub disruptions: u32,
}

impl Facts {
    /// Notes the id of an event, and checks that an id belongs to one event, and that an event has one id.
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

    /// Notes that the producer of an event was told, or may have been told, that the event has failed.
    pub fn failed(&mut self, body: &[u8]) {
        let kept = self.ids.get(body).and_then(|id| self.kept.get_mut(id));
        kept.into_iter().for_each(|kept| kept.failures += 1);
    }

    /// Whether nothing goes wrong with this event, and it was not sent again, as it may be after it had failed.
    pub fn is_calm(&self, plan: &Plan, id: &str) -> bool {
        let sent = self.bodies.get(id).and_then(|body| self.sent.get(body));
        plan.is_calm() && sent.is_none_or(|sent| sent.times <= 1)
    }

    /// What is known of a delivery.
    pub fn delivery(&self, id: &str, endpoint: &str) -> Option<&Delivery> {
        self.deliveries.get(&(id.to_owned(), endpoint.to_owned()))
    }

    /// What is known of a delivery, to be changed.
    pub fn delivery_mut(&mut self, id: &str, endpoint: &str) -> &mut Delivery {
        self.deliveries.entry((id.to_owned(), endpoint.to_owned())).or_default()
    }

    /// The number of deliveries that reached their receiver.
    pub fn delivered(&self) -> usize {
        self.deliveries.values().filter(|delivery| delivery.was_taken).count()
    }

    /// Whether the receiver took this delivery, as far as the gateway can know at this time.
    pub fn is_delivered(&self, id: &str, endpoint: &str, at: Duration) -> bool {
        self.delivery(id, endpoint).is_some_and(|delivery| delivery.taken.is_some_and(|taken| taken <= at))
    }

    /// Whether a letter was written for this delivery.
    pub fn is_dead(&self, id: &str, endpoint: &str) -> bool {
        self.delivery(id, endpoint).is_some_and(|delivery| delivery.letters > 0)
    }

    /// Notes that an operator has a delivery made again: its schedule begins anew.
    pub fn redelivered(&mut self, id: &str, endpoint: &str) {
        let delivery = self.delivery_mut(id, endpoint);
        delivery.redelivered += 1;
        (delivery.last, delivery.sends, delivery.taken, delivery.letters) = (None, 0, None, 0);
    }
}

/// A copy of shared data, as it was written, for functions that read records. The copy cannot be changed through them.
#[derive(Debug, Default)]
pub struct Mirror {
    values: BTreeMap<String, Vec<u8>>,
    /// The size of all keys and values, in bytes.
    pub bytes: usize,
}

impl Mirror {
    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// Puts a value that was written into the copy.
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
