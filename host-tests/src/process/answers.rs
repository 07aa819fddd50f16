//! Answers of the application, and what happens to a stream where none comes.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::Process;
use crate::abi::Direction;
use crate::fault::Fault;
use crate::half::Part;
use crate::ids::StreamId;
use crate::reply::{Ending, Reply, Response};
use crate::stream::{Answer, Coming};
use crate::world::schedule::Event;
use crate::world::trace::What;

impl Process {
    /// The application has the whole request.
    pub(super) fn ask_application(&mut self, id: StreamId) -> Result<(), Fault> {
        let world = &mut *self.world;
        let Some(stream) = world.streams.get_mut(&id) else { return Ok(()) };
        let Some(request) = &stream.forwarded else { return Ok(()) };
        let thread = stream.at.thread;
        let reply = world.application.answer(request);
        world.note(thread, What::Forwarded { stream: id });
        let (latency, end) = (reply.latency, reply.end());
        let never = matches!(reply.ending, Ending::Never);
        let Some(coming) = coming(reply, world.application.is_http2) else {
            return self.reply(id, Answer::text(503, "no healthy upstream"));
        };
        if let Some(stream) = world.streams.get_mut(&id) {
            stream.coming = Some(coming);
        }
        let timeout = self.route_timeout;
        if !timeout.is_zero() && (never || end >= timeout) {
            self.world.put_after(timeout, Event::RouteTimeout { stream: id });
        }
        if never {
            return Ok(());
        }
        self.come_after(latency, id)
    }

    /// Lets the next part of the answer come, at once or later.
    fn come_after(&mut self, wait: Duration, id: StreamId) -> Result<(), Fault> {
        if wait.is_zero() {
            return self.come(id);
        }
        self.world.put_after(wait, Event::Answer { stream: id });
        Ok(())
    }

    /// Lets the next part of the answer come, and all that follow it at the same instant.
    pub(super) fn come(&mut self, id: StreamId) -> Result<(), Fault> {
        loop {
            let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
            let at = stream.at;
            let (part, spacing) = match &mut stream.coming {
                None => return Ok(()),
                Some(Coming::Parts { parts, spacing, is_cut }) => {
                    let (part, spacing) = (parts.pop_front(), *spacing);
                    let has_more = part.is_some() && (!parts.is_empty() || *is_cut);
                    match part {
                        Some(part) => (part, has_more.then_some(spacing)),
                        None if mem::take(is_cut) => return self.reset(id),
                        None => return Ok(()),
                    }
                }
                Some(Coming::Local(_)) => {
                    let Some(Coming::Local(answer)) = stream.coming.take() else { return Ok(()) };
                    self.reply(id, answer)?;
                    return self.settle(at);
                }
            };
            if let Part::Body { bytes, .. } = &part
                && self.overflows(id, Direction::Response, bytes.len())
            {
                return self.answer_directly(id, Answer::text(500, "Internal Server Error"));
            }
            self.arrive(id, Direction::Response, part)?;
            match spacing {
                None => return Ok(()),
                Some(Duration::ZERO) => {}
                Some(spacing) => return self.come_after(spacing, id),
            }
        }
    }

    /// The answer has not come in time.
    pub(super) fn time_out(&mut self, id: StreamId) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        if stream.response.has_ended {
            return Ok(());
        }
        let at = stream.at;
        stream.coming = None;
        if stream.response.has_begun {
            self.reset(id)?;
        } else {
            self.reply(id, Answer::text(504, "upstream request timeout"))?;
        }
        self.settle(at)
    }

    /// Nothing may have gone through a stream for too long.
    pub(super) fn check_idle(&mut self, id: StreamId) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        let (at, due) = (stream.at, stream.active_at + self.idle_timeout);
        if self.world.clock.elapsed() < due {
            self.world.schedule.put(due, Event::Idle { stream: id });
            return Ok(());
        }
        let status = if stream.request.has_ended { 504 } else { 408 };
        self.reply(id, Answer::text(status, "stream timeout"))?;
        self.settle(at)
    }
}

/// What comes of a reply; `None` where Envoy does not send at all.
fn coming(reply: Reply, is_http2: bool) -> Option<Coming> {
    let Reply { ending, latency, spacing } = reply;
    let nothing = Coming::Parts { parts: VecDeque::new(), spacing, is_cut: false };
    Some(match ending {
        Ending::Refused => return None,
        Ending::Never => nothing,
        Ending::Local { status, text } => Coming::Local(Answer::text(status, text)),
        Ending::Answer(mut response) => {
            response.headers.add("x-envoy-upstream-service-time", latency.as_millis().to_string());
            let is_cut = response.is_cut;
            Coming::Parts { parts: parts(response, is_http2), spacing, is_cut }
        }
    })
}

/// An answer as it arrives.
fn parts(response: Response, is_http2: bool) -> VecDeque<Part> {
    let Response { headers, mut chunks, trailers, is_cut } = response;
    let ends_in_body = trailers.is_empty() && !is_cut;
    let mut parts = VecDeque::from([Part::Headers { headers, end: chunks.is_empty() && ends_in_body }]);
    if !chunks.is_empty() && ends_in_body && !is_http2 {
        // The end of the body is a piece of its own.
        chunks.push(Vec::new());
    }
    let last = chunks.len().saturating_sub(1);
    parts.extend(
        chunks.into_iter().enumerate().map(|(number, bytes)| Part::Body { bytes, end: number == last && ends_in_body }),
    );
    if !trailers.is_empty() {
        parts.push_back(Part::Trailers(trailers));
    }
    parts
}
