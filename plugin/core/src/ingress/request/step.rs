//! The steps of a request: what is to be done next, and for whom.

use super::result::RequestResult;
use crate::answer::{Answer, Problem};
use crate::headers::Headers;
use crate::ids::{RouteId, RuleId};
use crate::inbound::Ticket;
use crate::ingress::event::Offer;
use crate::ingress::payload::Unreadable;

/// The next step of a request.
#[derive(Debug)]
pub enum Step {
    /// Let the request go on as it is, and count it as this.
    Continue(Option<RequestResult>),
    /// Hold the request: more of it is to come, or its answer.
    Pause,
    /// Read what is here, and hand it to [`Request::handle_read`](super::Request::handle_read).
    Read {
        /// The size of the body, in bytes.
        body: usize,
        /// The headers are to be read too, once more.
        headers: bool,
    },
    /// Answer the request, and count it as this.
    Reply(Answer, Option<RequestResult>),
    /// Change the headers; [`Request::handle_changed`](super::Request::handle_changed) says what follows.
    Change(Changes),
    /// Remove the trailers of these names;
    /// [`Request::handle_trailers_removed`](super::Request::handle_trailers_removed) says what follows.
    RemoveTrailers(Vec<String>),
    /// Let the engine decide.
    Work(Work),
}

/// The work that a request is for the engine.
#[derive(Debug)]
pub enum Work {
    /// See whether a request to the admin surface has the right token, before its body is waited for: see
    /// [`Request::handle_operator`](super::Request::handle_operator).
    Authorize {
        /// The headers of the request.
        headers: Box<Headers>,
    },
    /// Carry out a request to the admin surface.
    Command {
        /// The headers of the request.
        headers: Box<Headers>,
        /// The body of the request.
        body: Vec<u8>,
    },
    /// Answer a request to the admin surface that is refused before anybody looks at what it wants.
    RefuseCommand(Problem),
    /// Verify a message.
    Verify {
        /// The rule of the message's path.
        rule: RuleId,
        /// The headers of the message.
        headers: Box<Headers>,
        /// The body of the message.
        body: Vec<u8>,
    },
    /// Take an event.
    Take(Box<Offer>),
    /// Refuse an event on this route, whose body the payload guard cannot read, and nor can the route.
    RefuseEvent(RouteId, Unreadable),
}

/// Changes to the headers of a request before it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The names of headers to remove.
    pub remove: Vec<String>,
    /// A header to set, its name and its value.
    pub set: Option<(String, String)>,
}

/// Who waited for an answer when the stream of a request ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A producer, who waited for the engine's answer; the ticket is that of the message that the event was.
    Producer(Option<Ticket>),
    /// An operator, who waited for the end of a drain.
    Operator,
}
