//! What the guard of a rollout counts in a stretch of time.
//!
//! Durations are counted in buckets, eight to an octave, as in [HdrHistogram](http://hdrhistogram.org): a percentile is
//! off by an eighth at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Ending;

/// The counts of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Deliveries that were delivered.
    pub delivered: u32,
    /// Deliveries that became dead letters.
    pub failed: u32,
    /// Attempts.
    pub attempts: u32,
    /// Attempts answered 401 or 403.
    pub unauthorized: u32,
    /// The histogram of the attempts' durations: the buckets in ascending order, each with its count.
    pub(super) times: Vec<(u8, u32)>,
    /// The longest duration of an attempt, in milliseconds.
    pub(super) longest: u32,
}

impl Counts {
    /// Counts an attempt that ended after this time.
    pub fn add_attempt(&mut self, ending: Ending, took: Duration) {
        self.attempts += 1;
        self.unauthorized += u32::from(matches!(ending, Ending::Status(401 | 403)));
        self.add_time(bucket(took), 1);
        self.longest = self.longest.max(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }

    /// Adds other counts to these.
    pub fn add(&mut self, other: &Self) {
        // What other gateways say is read from outside: no number of theirs may be the end of this one.
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.failed = self.failed.saturating_add(other.failed);
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.unauthorized = self.unauthorized.saturating_add(other.unauthorized);
        self.longest = self.longest.max(other.longest);
        for (bucket, count) in &other.times {
            self.add_time(*bucket, *count);
        }
    }

    fn add_time(&mut self, bucket: u8, count: u32) {
        match self.times.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                self.times.get_mut(at).into_iter().for_each(|(_, counted)| *counted = counted.saturating_add(count))
            }
            Err(at) => self.times.insert(at, (bucket, count)),
        }
    }

    /// Deliveries that have ended.
    pub fn ended(&self) -> u32 {
        self.delivered.saturating_add(self.failed)
    }

    /// The share of deliveries that were delivered; `None`: no delivery has ended.
    pub fn success(&self) -> Option<f64> {
        share(self.delivered, self.ended())
    }

    /// The share of attempts answered 401 or 403; `None`: there were no attempts.
    pub fn unauthorized_share(&self) -> Option<f64> {
        share(self.unauthorized, self.attempts)
    }

    /// The percentile of the attempts' durations, for a `share` such as 0.95; `None`: there were no attempts.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = (f64::from(self.attempts) * share).ceil() as u32;
        let mut below = 0_u32;
        for (bucket, count) in &self.times {
            if below.saturating_add(*count) >= rank.max(1) {
                let (from, to) = (floor(*bucket), floor(bucket.saturating_add(1)));
                let within = f64::from(rank.max(1) - below) / f64::from(*count);
                let millis = from + ((to - from) as f64 * within) as u64;
                return Some(Duration::from_millis(millis.min(self.longest.into())));
            }
            below = below.saturating_add(*count);
        }
        None
    }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// The bucket of a duration: below 8 ms one for each millisecond, from there on eight for each octave.
pub(super) fn bucket(time: Duration) -> u8 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let Some(octave) = millis.checked_ilog2().filter(|octave| *octave >= 3) else { return millis as u8 };
    ((octave - 2) * 8 + (millis >> (octave - 3)) as u32 % 8).min(u32::from(u8::MAX)) as u8
}

/// The shortest duration of a bucket, in milliseconds.
pub(super) fn floor(bucket: u8) -> u64 {
    let (octave, eighth) = (u64::from(bucket) / 8, u64::from(bucket) % 8);
    if octave == 0 { eighth } else { (8 + eighth) << (octave - 1) }
}
