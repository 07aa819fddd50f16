//! The requests whose body is still coming: how many of them a worker holds, and how much of each.
//!
//! Anyone can begin a request and never end it, and 27 bytes on the wire can stand for 55 KB of headers (HPACK, RFC
//! 7541). So what a worker holds of such requests has a budget, and a request beyond it is answered 503. Commands,
//! messages and events have a budget each: whoever uses up one leaves the others as they are.
//!
//! # Bounds
//! A worker keeps the headers of a request while its body comes if they are small, [`HEADERS_KEPT`] at most; it reads
//! large ones again once the body is here, for Envoy has them all that time. In a VM 1,024 requests of a kind take at
//! most 1,024 x 16 KiB = 16 MiB (128 headers of 32 bytes, each two allocations). The bodies are Envoy's memory: 64 MiB
//! for each kind and worker, or four bodies of `limits.body`, if that is more.

use std::cell::Cell;
use std::rc::Rc;

/// The largest headers that are kept while a body comes, by [`Headers::size`](crate::headers::Headers::size): those of
/// a usual request several times over.
pub const HEADERS_KEPT: usize = 4 * 1024;

/// The largest number of messages, or of events, whose body is coming: 100 a second that take ten seconds each.
const REQUESTS: usize = 1024;
/// The largest body of a command to the admin surface, in bytes: a command is a line.
pub const COMMAND_MAX: usize = 16 * 1024;
/// The largest number of commands whose body is coming: operators are few, and a command's body is a line.
const COMMANDS: usize = 64;
/// The largest size of the bodies of messages, or of events, in bytes.
const BYTES: usize = 64 << 20;

/// The budgets of a worker's requests whose body is coming.
#[derive(Debug)]
pub struct Budgets {
    /// The budget of commands to the admin surface.
    pub commands: Rc<Budget>,
    /// The budget of messages that are to be verified.
    pub messages: Rc<Budget>,
    /// The budget of events.
    pub events: Rc<Budget>,
}

impl Budgets {
    /// Budgets with nothing in them; `body_max` is the largest body of a message or an event, in bytes.
    pub fn new(body_max: usize) -> Self {
        let bytes = BYTES.max(body_max.saturating_mul(4));
        Self {
            commands: Budget::new(COMMANDS, COMMANDS * (HEADERS_KEPT + COMMAND_MAX)),
            messages: Budget::new(REQUESTS, bytes),
            events: Budget::new(REQUESTS, bytes),
        }
    }
}

/// A budget: how many requests, and how many bytes of them, may be held at a time.
#[derive(Debug)]
pub struct Budget {
    requests_max: usize,
    bytes_max: usize,
    requests: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn new(requests_max: usize, bytes_max: usize) -> Rc<Self> {
        Rc::new(Self { requests_max, bytes_max, requests: Cell::default(), bytes: Cell::default() })
    }

    /// Reserves room for one more request, of whose headers so many bytes are kept; `None`: there is none.
    pub fn reserve(self: &Rc<Self>, headers: usize) -> Option<Reservation> {
        if self.requests.get() >= self.requests_max {
            return None;
        }
        let mut reservation = Reservation { budget: Rc::clone(self), headers, bytes: 0 };
        self.requests.set(self.requests.get() + 1);
        reservation.hold_body(0).then_some(reservation)
    }
}

/// The room of one request in a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Rc<Budget>,
    headers: usize,
    /// All that is held, in bytes.
    bytes: usize,
}

impl Reservation {
    /// Holds so many bytes of the body; returns false, and changes nothing, if there is no room for them.
    pub fn hold_body(&mut self, body: usize) -> bool {
        let bytes = self.headers.saturating_add(body);
        let others = self.budget.bytes.get().saturating_sub(self.bytes);
        let fits = others.checked_add(bytes).filter(|sum| *sum <= self.budget.bytes_max);
        if let Some(sum) = fits {
            self.budget.bytes.set(sum);
            self.bytes = bytes;
        }
        fits.is_some()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.requests.set(self.budget.requests.get().saturating_sub(1));
        self.budget.bytes.set(self.budget.bytes.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kind_that_is_used_up_leaves_the_others() {
        let budgets = Budgets::new(16);
        let held: Vec<_> = (0..REQUESTS).filter_map(|_| budgets.messages.reserve(1)).collect();
        assert_eq!(held.len(), REQUESTS);
        assert!(budgets.messages.reserve(0).is_none());
        assert!(budgets.events.reserve(0).is_some() && budgets.commands.reserve(0).is_some());
        drop(held);
        assert!(budgets.messages.reserve(0).is_some());
    }

    #[test]
    fn four_of_the_largest_bodies_always_fit() {
        let budgets = Budgets::new(32 << 20);
        let held: Vec<_> = (0..5).map_while(|_| budgets.events.reserve(32 << 20)).collect();
        assert_eq!(held.len(), 4);
    }

    proptest! {
        /// However requests begin, grow, shrink and end, the sums stay those of what is held, and within the limits.
        #[test]
        fn sums_are_those_of_what_is_held(steps in proptest::collection::vec((0usize..3, 0usize..8, 0usize..60), 0..200)) {
            let budget = Budget::new(5, 100);
            let mut held: Vec<Reservation> = Vec::new();
            for (step, which, bytes) in steps {
                let sum: usize = held.iter().map(|one| one.bytes).sum();
                match (step, which < held.len()) {
                    (0, _) => {
                        let fits = held.len() < 5 && sum + bytes <= 100;
                        let reserved = budget.reserve(bytes);
                        prop_assert_eq!(reserved.is_some(), fits);
                        held.extend(reserved);
                    }
                    (1, true) => {
                        let others = sum - held[which].bytes;
                        let fits = others + held[which].headers + bytes <= 100;
                        prop_assert_eq!(held[which].hold_body(bytes), fits);
                    }
                    (_, true) => drop(held.remove(which)),
                    _ => {}
                }
                prop_assert_eq!(budget.requests.get(), held.len());
                prop_assert_eq!(budget.bytes.get(), held.iter().map(|one| one.bytes).sum::<usize>());
            }
        }
    }
}
