//! The retry schedule: when the next attempt of a delivery is made, if there is one.

use std::time::Duration;

use crate::outcome::StatusSet;

/// The retry policy of an endpoint: when an attempt is made again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The waits before attempts 1, 2, 3 …; never empty. The length of the list is the number of attempts.
    pub delays: Vec<Duration>,
    /// The jitter, 0 to 1: a wait is lengthened at random by up to this share of itself.
    pub jitter: f64,
    /// The statuses that are tried again.
    pub statuses: StatusSet,
}

impl Default for RetryPolicy {
    /// The default policy: three attempts within six seconds bridge a restart; the statuses are those that say "later"
    /// (RFC 9110, RFC 6585).
    fn default() -> Self {
        Self {
            delays: [0, 2, 4].map(Duration::from_secs).to_vec(),
            jitter: 0.0,
            statuses: StatusSet::default().with([408, 429]).with_class(5),
        }
    }
}

/// The wait before the next attempt, counted from the end of the one before it, once `made` attempts have been made;
/// `None` when the schedule has no more. The receiver's `Retry-After` can lengthen the wait, never shorten it.
/// `chance`, uniform in 0..1, draws the jitter, which only ever lengthens: the schedule is a promise to the receiver.
pub fn next_wait(policy: &RetryPolicy, made: u32, retry_after: Option<Duration>, chance: f64) -> Option<Duration> {
    let delay = policy.delays.get(made as usize)?;
    let jittered = delay.mul_f64(1.0 + policy.jitter * chance);
    Some(jittered.max(retry_after.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::{RETRY_AFTER_MAX, StatusSet};

    fn policy(jitter: f64) -> RetryPolicy {
        RetryPolicy { delays: [0, 2, 4].map(Duration::from_secs).to_vec(), jitter, statuses: StatusSet::default() }
    }

    /// The default schedule is at once then two then four seconds then no more.
    #[test]
    fn default_schedule_is_now_two_and_four_seconds() {
        let waits: Vec<_> = (0..5).map(|made| next_wait(&policy(0.0), made, None, 0.9)).collect();
        let seconds = [Some(0), Some(2), Some(4), None, None].map(|wait| wait.map(Duration::from_secs));
        assert_eq!(waits, seconds);
    }

    #[test]
    fn the_later_of_retry_after_and_the_schedule_counts() {
        let second = |asked| next_wait(&policy(0.0), 1, Some(Duration::from_secs(asked)), 0.0);
        assert_eq!(second(3), Some(Duration::from_secs(3)));
        assert_eq!(second(1), Some(Duration::from_secs(2)));
    }

    #[test]
    fn retry_after_buys_no_further_attempt() {
        assert_eq!(next_wait(&policy(0.0), 3, Some(RETRY_AFTER_MAX), 0.0), None);
    }

    proptest! {
        #[test]
        fn jitter_lengthens_a_wait_by_at_most_its_share(jitter in 0.0..=1.0, chance in 0.0..1.0, made in 0u32..3) {
            let plain = policy(0.0).delays[made as usize];
            let wait = next_wait(&policy(jitter), made, None, chance).unwrap();
            prop_assert!(wait >= plain && wait <= plain.mul_f64(1.0 + jitter));
        }
    }
}
