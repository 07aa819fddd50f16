//! The retry schedule: when the next attempt of a delivery is made, if there is one.

use std::time::Duration;

use crate::outcome::{RETRY_AFTER_MAX, StatusSet};

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

/// A schedule by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryPreset {
    /// Three attempts within six seconds: a restart of the receiver is bridged, and an outage is not.
    Quick,
    /// Eight attempts within a day and a half, the schedule that Standard Webhooks proposes, and Svix uses: an outage over
    /// night is bridged.
    Standard,
    /// Ten attempts within three days: a weekend is bridged.
    Patient,
}

impl RetryPreset {
    /// The words for the presets in the config.
    pub const ALL: [(&str, Self); 3] =
        [("quick", Self::Quick), ("standard", Self::Standard), ("patient", Self::Patient)];

    /// The waits before the attempts.
    pub fn delays(self) -> Vec<Duration> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const PATIENT: [u64; 10] =
            [0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 20 * HOUR];
        let (waits, count): (&[u64], usize) = match self {
            Self::Quick => (&[0, 2, 4], 3),
            Self::Standard => (&PATIENT, 8),
            Self::Patient => (&PATIENT, 10),
        };
        waits.iter().take(count).map(|seconds| Duration::from_secs(*seconds)).collect()
    }

    /// The jitter. Long waits have some, so that what failed in one outage does not come back in one moment.
    pub fn jitter(self) -> f64 {
        if self == Self::Quick { 0.0 } else { 0.2 }
    }
}

impl From<RetryPreset> for RetryPolicy {
    /// The statuses are those that say "later" (RFC 9110, RFC 6585).
    fn from(preset: RetryPreset) -> Self {
        let statuses = StatusSet::default().with([408, 429]).with_class(5);
        Self { delays: preset.delays(), jitter: preset.jitter(), statuses }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPreset::Quick.into()
    }
}

impl RetryPolicy {
    /// The `max_age` that goes with the schedule: the longer of a day and one and a half times the sum of the waits, which
    /// leaves room for jitter, an open breaker and a queue.
    pub fn default_max_age(&self) -> Duration {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let sum: Duration = self.delays.iter().sum();
        DAY.max(sum + sum / 2)
    }

    /// The longest wait before an attempt, by the schedule with its jitter or by a receiver's `Retry-After`.
    pub fn longest(&self) -> Duration {
        let delay = self.delays.iter().max().copied().unwrap_or_default();
        delay.mul_f64(1.0 + self.jitter).max(RETRY_AFTER_MAX)
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

    /// The presets are the published schedules, and each may live as long as its last attempt needs.
    #[test]
    fn presets_are_their_schedules_and_outlived_by_max_age() {
        let shown = |preset: RetryPreset| {
            let policy = RetryPolicy::from(preset);
            let hours = policy.default_max_age().as_secs_f64() / 3600.0;
            let waits: Vec<u64> = policy.delays.iter().map(Duration::as_secs).collect();
            (waits, policy.jitter, (hours * 10.0).round() / 10.0)
        };
        assert_eq!(shown(RetryPreset::Quick), (vec![0, 2, 4], 0.0, 24.0));
        let standard = vec![0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400];
        assert_eq!(shown(RetryPreset::Standard), (standard.clone(), 0.2, 47.4));
        assert_eq!(shown(RetryPreset::Patient), ([standard, vec![72_000, 72_000]].concat(), 0.2, 107.4));
        for (_, preset) in RetryPreset::ALL {
            let policy = RetryPolicy::from(preset);
            let longest: Duration = policy.delays.iter().map(|wait| wait.mul_f64(1.0 + policy.jitter)).sum();
            assert!(policy.default_max_age() > longest);
        }
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
            prop_assert!(wait <= policy(jitter).longest());
        }
    }
}
