//! What producers and senders have under way, and the application that verified messages go to.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Application, Reply, StreamId};

/// The path of signed messages.
pub(crate) const PATH: &str = "/hooks";

/// A request whose answer is not known yet.
pub(crate) struct Open {
    pub stream: StreamId,
    pub at: Duration,
    pub path: &'static str,
    pub event: String,
    /// The body that leaves for the event.
    pub body: Vec<u8>,
    pub key: Option<String>,
    /// The number of the configuration that has the request; `None`: not known, on a connection that was kept alive.
    pub config: Option<usize>,
}

/// An idempotency key that was used.
#[derive(Clone)]
pub(crate) struct Keyed {
    pub path: &'static str,
    pub event: String,
    pub body: String,
    /// The first 2xx answer: the event's id, and the body.
    pub first: Option<(String, Vec<u8>)>,
}

/// The application: a request on the inbound path is taken, refused, or not answered. The application has a random
/// generator of its own, as the sender has, so that the events of a seed are the same as without the two.
pub(crate) fn application(seed: u64) -> Application {
    let mut rng = Rng::with_seed(seed ^ 0x0a11);
    Application::by(move |request| {
        let at_once = |status| Reply::status(status).after(Duration::ZERO);
        if request.header(":path") != PATH {
            return at_once(200);
        }
        let later = Duration::from_millis(rng.u64(1..4_000));
        match rng.u8(0..12) {
            0..5 => at_once(200),
            5 | 6 => Reply::status(202).after(later),
            7 => at_once(500),
            8 => Reply::status(404).after(later),
            9 => Reply::disconnect(),
            10 => Reply::reset().after(later),
            _ => Reply::hang(),
        }
    })
}

/// What is known of a message.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// The requests with the message that are with the application, and since when.
    pub with_application: Vec<(StreamId, Duration)>,
    /// When the request came that the application took.
    pub taken: Option<Duration>,
    /// A client left before its answer: only the gateway knows how the message stands now.
    pub is_unsure: bool,
}

/// The sender of messages, each known by its number.
pub(crate) struct Sender {
    pub rng: Rng,
    pub messages: BTreeMap<u32, Message>,
    pub next: u32,
}

impl Sender {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0x5e9d), messages: BTreeMap::new(), next: 0 }
    }

    /// Forgets all messages: the process has ended, and those that it had seen may come again.
    pub fn forget(&mut self) {
        self.messages.clear();
    }
}
