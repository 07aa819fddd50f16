//! The invariants: what must hold in every run.

use std::fmt;

/// Declares the invariants with their sentences, in one place.
macro_rules! invariants {
    ($($(#[doc = $doc:literal])* $name:ident = $sentence:literal,)*) => {
        /// An invariant: what must hold in every run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[doc = $doc])* $name,)*
        }

        impl Invariant {
            /// All invariants.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The invariant in a few words, which stay the same.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }
        }
    };
}

invariants! {
    /// The filter starts, and takes every good configuration.
    Starts = "a good configuration is taken",
    /// The filter does not trap, whatever its host does.
    NoTrap = "the filter never traps",
    /// An answer has a status and a body as the contract says.
    Answers = "a request is answered as the contract says",
    /// An accepted event stands in shared data before its answer leaves.
    Kept = "an accepted event is kept before its answer leaves",
    /// An event has one id, and an id one event.
    OneId = "one id an event",
    /// The same idempotency key gives the same answer.
    OneEventAKey = "one event an idempotency key",
    /// The answer of a route with `ack: delivered` says how the event has ended.
    Waited = "200 says that all is delivered, 502 that one has failed",
    /// No producer and no operator waits for ever.
    AnsweredInTime = "a producer that waits is answered in time",
    /// An attempt carries the body of its event, byte for byte.
    Body = "a body is the one that was sent",
    /// An attempt carries the type and the content type of its event.
    Headers = "an attempt carries its event's type and content type",
    /// An attempt is signed over the bytes that are sent, by each secret.
    Signature = "every attempt is signed by every secret",
    /// An attempt is signed with the time at which it leaves.
    Timestamp = "a timestamp is that of its attempt",
    /// A delivery has no more attempts than its schedule.
    AttemptsAtMost = "attempts never above the schedule",
    /// The attempts of a delivery are numbered 1, 2, 3.
    AttemptsCount = "attempts count up",
    /// No attempt leaves sooner than the schedule and `Retry-After` say.
    Delays = "delays never below the schedule or Retry-After",
    /// No delivery older than `max_age` is attempted.
    MaxAge = "no attempt past max_age",
    /// A receiver takes a delivery once, where nothing goes wrong.
    Once = "delivered once where nothing goes wrong",
    /// No attempt leaves while its breaker is open.
    WhileOpen = "no attempt while a breaker is open",
    /// One attempt leaves while its breaker is half-open.
    OneProbe = "one probe in half-open",
    /// A breaker moves by one transition at a time, along the arrows.
    BreakerMoves = "a breaker moves along its arrows, one epoch at a time",
    /// A breaker opens by its failures, no sooner and no later.
    BreakerOpens = "a breaker opens by its failures",
    /// An open breaker stays open for the time `open` of its policy.
    BreakerStaysOpen = "an open breaker stays open for its time",
    /// The admin surface shows the same from every VM, and what is so.
    SameFromEveryVm = "every VM shows the same, and what is so",
    /// Attempts are those of the newest configuration.
    Generation = "only the newest configuration sends",
    /// Nothing leaves while the filter is paused or disabled.
    Stopped = "nothing leaves a second after it was stopped",
    /// Nothing leaves for an endpoint that an operator or a 410 has disabled.
    EndpointDisabled = "nothing leaves for an endpoint a second after it was disabled",
    /// The answers of a filter that is disabled, paused or draining say so.
    StoppedAnswers = "a gateway that is off, paused or draining says so",
    /// The letter of a redelivered delivery leaves the ring.
    Redelivered = "a letter that is redelivered leaves the ring, with its id",
    /// Attempts stay within the endpoint's `rate`.
    Rate = "never above the rate and its burst",
    /// Attempts under way stay within the endpoint's `max_in_flight`.
    InFlight = "never more attempts in flight than max_in_flight",
    /// Only the holder of its lease writes a partition.
    OneWriter = "only its holder writes a partition",
    /// A lease changes hands only when its holder has given it up, or has not renewed it in time.
    Lease = "no living worker loses its partition",
    /// A partition that is given up as empty is empty.
    FreedEmpty = "a partition that is freed is empty",
    /// The slot of an event is not touched until the event's deliveries have ended.
    SlotInUse = "the slot of a live event is not touched",
    /// A delivery ends by a 2xx or with a letter.
    Settled = "a delivery ends by a 2xx or with a letter",
    /// A letter says why its delivery failed.
    LetterReason = "a dead letter died of what it says",
    /// A letter holds the bytes of its event.
    LetterWhole = "a dead letter holds its event",
    /// A letter leaves the ring only by the limits and by operators.
    LetterStays = "a letter goes only for a newer one or by an operator",
    /// Letters stay within `limits.dead_letters` and `limits.dead_letter_bytes`.
    RingBounded = "dead letters stay within their limits",
    /// Pending deliveries stay within `limits.pending`, `limits.pending_bytes` and the endpoint's `pending`.
    PendingBounded = "what is pending stays within its limits",
    /// Slots are used from the lowest free one on, and given back.
    KeysBounded = "the lowest free slot is used, and a freed one holds a byte",
    /// All of shared data together stays within the arithmetic of the limits.
    BytesBounded = "shared data stays within the arithmetic of the limits",
    /// An event that kills VMs is given up after three VMs.
    Poison = "an event that kills VMs is given up after three",
    /// The sink of an endpoint, its `dead_letter`, gets letters, which are signed and sent as the schedule says.
    Sink = "a sink gets letters, signed and within the schedule",
    /// No unverified message reaches the application, and no client's claim that a request was verified.
    Verified = "nothing unverified reaches the application",
    /// Of two requests with one message one at a time is with the application.
    OneAtATime = "a message is with the application once at a time",
    /// A message that the application has taken does not reach it again within `ttl`.
    TakenOnce = "a message that the application has taken it does not get again",
    /// A message that was not taken reaches the application, and a sender is answered as its message stands, where
    /// nothing goes wrong.
    Acknowledged = "a message that it has not taken it gets, and its sender hears how it stands",
    /// An event that is to outlive its gateway is in the journal before its producer is answered and before it is attempted.
    Committed = "an event is in the journal before its answer and its first attempt",
    /// A segment of the journal leaves it when all its deliveries have ended, or when nobody was told that it is there.
    SegmentStays = "a segment goes only when its deliveries have ended",
    /// An attempt is made by the gateway that owns the event's segment: by its lease, or by its claim.
    OneOwner = "an attempt is made by the owner of its segment",
    /// Only the owner of a segment changes anything of it.
    Fenced = "who has lost its lease changes nothing in the journal",
    /// A gateway that has answered a drain owns no segment.
    GivenUp = "who says that it is drained holds nothing in the journal",
    /// In the end the journal holds only who is alive, markers of what may come late, and dead letters.
    JournalEmpty = "in the end the journal holds only who is alive, their markers, and dead letters",
    /// A message goes on to the application of the gateway that has it by its claim in etcd.
    Claimed = "a message of the fleet goes on only under its claim",
    /// What is kept or let through by the memory of one process is counted there.
    MemoryCounted = "what only memory knows of is counted",
    /// An operator's order, given to one gateway, stands in etcd a second later.
    OrderStands = "an order given to one gateway is the fleet's a second later",
    /// Once all is quiet, all gateways show what etcd's documents say.
    SameAtEveryGateway = "every gateway shows what operators have decided for the fleet",
    /// In the end no event is pending, and nobody waits for an answer.
    Ends = "all that is accepted comes to an end",
    /// In the end each accepted delivery was taken or is a letter.
    NothingVanishes = "no accepted delivery vanishes",
    /// The swarm itself works.
    Harness = "the harness itself",
}

impl Invariant {
    /// Whether the invariant is broken by a build that does not start or by the swarm's own mistakes, and never by a
    /// defect of the filter alone.
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
    /// The invariant.
    pub invariant: Invariant,
    /// What was seen.
    pub seen: String,
}

/// Makes the error of a broken invariant.
///
/// # Errors
/// Always the broken invariant.
pub fn broken<T>(invariant: Invariant, seen: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, seen: seen.into() })
}
