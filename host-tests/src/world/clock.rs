//! Virtual time: both clocks of the process stand still until a test lets time pass.

use std::time::Duration;

/// Where the wall clock stands when a process starts: 2026-01-01T00:00:00Z, in nanoseconds since the Unix epoch.
const WALL_START_NANOS: u64 = 1_767_225_600_000_000_000;
/// Where the monotonic clock stands then. Not 0, as it is not in Envoy: it counts from the machine's boot.
const MONOTONIC_START_NANOS: u64 = 86_400_000_000_000;

/// The clocks of one process, shared by all its VMs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    elapsed: Duration,
    /// What steps have made of the wall clock.
    wall_offset_nanos: i64,
}

impl Clock {
    /// Clocks whose wall clock is off by so much.
    pub(crate) fn off_by(wall_offset_nanos: i64) -> Self {
        Self { elapsed: Duration::ZERO, wall_offset_nanos }
    }

    /// Time since the process started.
    pub fn elapsed(self) -> Duration {
        self.elapsed
    }

    /// Nanoseconds since the Unix epoch.
    pub fn wall_nanos(self) -> u64 {
        (WALL_START_NANOS + self.elapsed_nanos()).saturating_add_signed(self.wall_offset_nanos)
    }

    /// Nanoseconds since the base of the monotonic clock.
    pub fn monotonic_nanos(self) -> u64 {
        MONOTONIC_START_NANOS + self.elapsed_nanos()
    }

    /// The time since the process started at which [`monotonic_nanos`](Self::monotonic_nanos) shows this.
    pub fn elapsed_at(monotonic_nanos: u64) -> Duration {
        Duration::from_nanos(monotonic_nanos.saturating_sub(MONOTONIC_START_NANOS))
    }

    /// Moves both clocks forward to `elapsed` after the start.
    pub(crate) fn move_to(&mut self, elapsed: Duration) {
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// Steps the wall clock, as a correction from outside does.
    pub(crate) fn step_wall(&mut self, millis: i64) {
        self.wall_offset_nanos = self.wall_offset_nanos.saturating_add(millis.saturating_mul(1_000_000));
    }

    /// The 584 years a `u64` spans outlast every simulation.
    fn elapsed_nanos(self) -> u64 {
        u64::try_from(self.elapsed.as_nanos()).unwrap_or(u64::MAX / 2)
    }
}
