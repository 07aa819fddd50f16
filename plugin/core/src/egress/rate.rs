//! The token bucket of an endpoint, shared by all workers: attempts beyond it wait, none is dropped.
//!
//! Kept as the generic cell rate algorithm (ITU-T I.371): a single time, the *theoretical arrival time*, stands for the
//! whole bucket, so taking a token is one compare-and-swap of eight bytes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Record;
use crate::store::keys::Stored;
use crate::time::Instant;

/// The rate and the size of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a second; more than 0.
    pub per_second: f64,
    /// The bucket's size; at least 1.
    pub burst: u32,
}

impl Rate {
    /// The part of the rate that is one gateway's, where so many share it. A bucket holds one token at least.
    pub fn shared_by(&self, gateways: u32) -> Self {
        let gateways = gateways.max(1);
        Self { per_second: self.per_second / f64::from(gateways), burst: (self.burst / gateways).max(1) }
    }
}

/// A token bucket, full at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    theoretical_arrival: Instant,
}

impl Stored for TokenBucket {
    const NAME: &'static str = "rate";
}

impl Record for TokenBucket {
    const VERSION: u8 = 1;
}

impl TokenBucket {
    /// Takes a token, or says when there will be one.
    ///
    /// # Errors
    /// The time of the next token.
    pub fn take(&mut self, now: Instant, rate: &Rate) -> Result<(), Instant> {
        let interval = Duration::from_secs_f64(1.0 / rate.per_second);
        let tolerance = interval.saturating_mul(rate.burst.saturating_sub(1));
        let earliest = self.theoretical_arrival.minus(tolerance);
        if earliest > now {
            return Err(earliest);
        }
        self.theoretical_arrival = self.theoretical_arrival.max(now).plus(interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::recorded::assert_recorded;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    proptest! {
        #[test]
        fn the_gateways_parts_are_no_more_than_the_rate(per_second in 0.1..1000f64, burst in 1..1000u32, gateways in 1..50u32) {
            let part = Rate { per_second, burst }.shared_by(gateways);
            prop_assert!(part.per_second * f64::from(gateways) <= per_second * 1.000_001);
            prop_assert!(part.burst * gateways <= burst.max(gateways));
        }
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_token_at_a_time() {
        let rate = Rate { per_second: 10.0, burst: 3 };
        let mut bucket = TokenBucket::default();
        let start = at(10_000);
        assert_eq!([0; 3].map(|_| bucket.take(start, &rate)), [Ok(()); 3]);
        assert_eq!(bucket.take(start, &rate), Err(at(10_100)));
        assert_eq!(bucket.take(at(10_100), &rate), Ok(()));
        assert_eq!(bucket.take(at(10_100), &rate), Err(at(10_200)));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_lets_more_through_than_burst_and_rate(
            gaps in proptest::collection::vec(0u64..300, 1..300), per_second in 1u32..100, burst in 1u32..20,
        ) {
            let rate = Rate { per_second: f64::from(per_second), burst };
            let (mut bucket, mut now, mut taken) = (TokenBucket::default(), 0, Vec::new());
            for gap in gaps {
                now += gap;
                if bucket.take(at(now), &rate).is_ok() {
                    taken.push(now);
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let allowed = f64::from(burst) + (to - from) as f64 / 1000.0 * f64::from(per_second) + 1e-6;
                    prop_assert!((j - i + 1) as f64 <= allowed);
                }
            }
        }

        #[test]
        fn the_time_it_names_is_when_the_token_is_there(millis in 0u64..10_000, per_second in 1u32..1000) {
            let rate = Rate { per_second: f64::from(per_second), burst: 1 };
            let mut bucket = TokenBucket::default();
            prop_assert!(bucket.take(at(millis), &rate).is_ok());
            let next = bucket.take(at(millis), &rate).unwrap_err();
            prop_assert!(bucket.take(next, &rate).is_ok());
        }
    }

    /// A bucket is read and written as the previous release wrote it.
    #[test]
    fn bucket_format_matches_previous_release() {
        assert_recorded("rate", &TokenBucket { theoretical_arrival: at(1_000_000) });
    }
}
