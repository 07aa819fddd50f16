//! The names of what must hold.

use std::fmt;

/// Declares the invariants with their sentences, in one place.
macro_rules! invariants {
    ($($(#[doc = $doc:literal])* $name:ident = $sentence:literal,)*) => {
        /// What must hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[doc = $doc])* $name,)*
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// In a few words that stay the same.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }
        }
    };
}

invariants! {
    /// It starts, and takes every good configuration.
    Starts = "a good configuration is taken",
    /// Whatever its host does.
    NoTrap = "the filter never traps",
    /// Statuses and their bodies.
    Answers = "a request is answered as the contract says",
    /// Before its answer leaves, an event stands in shared data.
    Kept = "an accepted event is kept before its answer leaves",
    /// An event has one id, and an id one event.
    OneId = "one id an event",
    /// The same key gives the same answer.
    OneEventAKey = "one event an idempotency key",
    /// `ack: delivered` says what is so.
    Waited = "200 says that all is delivered, 502 that one has failed",
    /// Nobody waits for ever.
    AnsweredInTime = "a producer that waits is answered in time",
    /// Byte for byte.
    Body = "a body is the one that was sent",
    /// Type, content type.
    Headers = "an attempt carries its event's type and content type",
    /// Over the bytes that are sent, by each secret.
    Signature = "every attempt is signed by every secret",
    /// That of the attempt.
    Timestamp = "a timestamp is that of its attempt",
    /// Of a delivery.
    AttemptsAtMost = "attempts never above the schedule",
    /// 1, 2, 3.
    AttemptsCount = "attempts count up",
    /// And `Retry-After`.
    Delays = "delays never below the schedule or Retry-After",
    /// `max_age`.
    MaxAge = "no attempt past max_age",
    /// Where nothing goes wrong.
    Once = "delivered once where nothing goes wrong",
    /// Open: none.
    WhileOpen = "no attempt while a breaker is open",
    /// Half-open: one.
    OneProbe = "one probe in half-open",
    /// By one at a time, along the arrows.
    BreakerMoves = "a breaker moves along its arrows, one epoch at a time",
    /// It opens by its failures, no sooner and no later.
    BreakerOpens = "a breaker opens by its failures",
    /// `open`.
    BreakerStaysOpen = "an open breaker stays open for its time",
    /// From every VM.
    SameFromEveryVm = "every VM shows the same, and what is so",
    /// Of the newest configuration.
    Generation = "only the newest configuration sends",
    /// Paused, disabled.
    Stopped = "nothing leaves a second after it was stopped",
    /// By an operator or a 410.
    EndpointDisabled = "nothing leaves for an endpoint a second after it was disabled",
    /// Disabled, paused, draining.
    StoppedAnswers = "a gateway that is off, paused or draining says so",
    /// By its letter.
    Redelivered = "a letter that is redelivered leaves the ring, with its id",
    /// `rate`.
    Rate = "never above the rate and its burst",
    /// `max_in_flight`.
    InFlight = "never more attempts in flight than max_in_flight",
    /// The holder of its lease.
    OneWriter = "only its holder writes a partition",
    /// A lease changes hands only when it may.
    Lease = "no living worker loses its partition",
    /// What is given up as empty is empty.
    FreedEmpty = "a partition that is freed is empty",
    /// Until its deliveries have ended.
    SlotInUse = "the slot of a live event is not touched",
    /// By an answer or a letter.
    Settled = "a delivery ends by a 2xx or with a letter",
    /// By why it says it died.
    LetterReason = "a dead letter died of what it says",
    /// Its bytes.
    LetterWhole = "a dead letter holds its event",
    /// But by the limits and by operators.
    LetterStays = "a letter goes only for a newer one or by an operator",
    /// `limits.dead_letters`, `limits.dead_letter_bytes`.
    RingBounded = "dead letters stay within their limits",
    /// `limits.pending`, `limits.pending_bytes`, `pending`.
    PendingBounded = "what is pending stays within its limits",
    /// Lowest first, and given back.
    KeysBounded = "the lowest free slot is used, and a freed one holds a byte",
    /// All together.
    BytesBounded = "shared data stays within the arithmetic of the limits",
    /// Three VMs.
    Poison = "an event that kills VMs is given up after three",
    /// `dead_letter`.
    Sink = "a sink gets letters, signed and within the schedule",
    /// Not even what says that it was.
    Verified = "nothing unverified reaches the application",
    /// Two requests of one message.
    OneAtATime = "a message is with the application once at a time",
    /// Within `ttl`.
    TakenOnce = "a message that the application has taken it does not get again",
    /// Where nothing goes wrong.
    Acknowledged = "a message that it has not taken it gets, and its sender hears how it stands",
    /// In the end.
    Ends = "all that is accepted comes to an end",
    /// In the end.
    NothingVanishes = "no accepted delivery vanishes",
    /// Ours.
    Harness = "the harness itself",
}

impl Invariant {
    /// No defect of the filter alone breaks these: a build that does not start, and the swarm's own mistakes.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Starts | Self::Harness)
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub seen: String,
}

/// Makes the error of a broken invariant.
///
/// # Errors
/// Always that.
pub fn broken<T>(invariant: Invariant, seen: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, seen: seen.into() })
}
