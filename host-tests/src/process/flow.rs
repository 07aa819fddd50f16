//! What goes through a stream: parts arrive, the filter is shown them, and lets them go on or holds them back. The rules
//! are those of Envoy's filter manager around one filter, the same for requests and answers.

use super::Process;
use crate::abi::{Action, Direction, size};
use crate::fault::Fault;
use crate::guest::Deferred;
use crate::half::{Part, Shown};
use crate::headers::Headers;
use crate::ids::{At, StreamId};
use crate::stream::Answer;
use crate::world::trace::What;

impl Process {
    /// Lets a part of a request or an answer arrive.
    pub(super) fn arrive(&mut self, id: StreamId, direction: Direction, part: Part) -> Result<(), Fault> {
        let now = self.world.clock.elapsed();
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        stream.active_at = now;
        let shown = stream.half(direction).arrive(part);
        shown.map_or(Ok(()), |shown| self.show(id, direction, shown))
    }

    /// Shows the filter something and does as it says.
    fn show(&mut self, id: StreamId, direction: Direction, shown: Shown) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        let (at, context) = (stream.at, stream.context);
        let action = if self.is_alive(at) { self.action(at, context, direction, shown) } else { Ok(Action::Continue) };
        if !self.is_alive(at) {
            self.fail(id)?;
            return action.map(|_| ());
        }
        let action = action?;
        self.settle(at)?;
        let body_while_paused = self.body_while_paused;
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        if direction == Direction::Request && stream.response.has_begun {
            // It was answered meanwhile: nothing goes on.
            return Ok(());
        }
        if stream.half(direction).answered(shown, action == Action::Pause, body_while_paused) {
            self.pass_on(id, direction)?;
            self.settle(at)?;
        }
        Ok(())
    }

    fn action(&mut self, at: At, context: u32, direction: Direction, shown: Shown) -> Result<Action, Fault> {
        let callback = callback(direction, shown);
        let code: Option<u32> = match shown {
            Shown::Headers { count: number, end } | Shown::Body { size: number, end } => {
                self.enter(at, callback, context, (context, size(number), u32::from(end)))?
            }
            Shown::Trailers { count } => self.enter(at, callback, context, (context, size(count)))?,
        };
        let action = code.map_or(Some(Action::Continue), Action::from_code);
        action.ok_or_else(|| Fault::new(at.thread, callback, "it answered with no action the ABI knows"))
    }

    /// Lets go on what is not held back. With the end of a request the application is asked; with that of an answer the
    /// stream is closed.
    fn pass_on(&mut self, id: StreamId, direction: Direction) -> Result<(), Fault> {
        let now = self.world.clock.elapsed();
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        stream.active_at = now;
        let is_all = stream.deliver(direction);
        if let (Direction::Request, Some(gone)) = (direction, &mut stream.forwarded) {
            gone.at = now;
        }
        match (is_all, direction) {
            (false, _) => Ok(()),
            (true, Direction::Request) => self.ask_application(id),
            (true, Direction::Response) => self.close(id),
        }
    }

    /// Ends a pause.
    fn resume(&mut self, id: StreamId, direction: Direction) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        stream.half(direction).resume();
        self.pass_on(id, direction)?;
        while let Some(shown) = self.world.streams.get_mut(&id).and_then(|stream| stream.half(direction).unshown()) {
            self.show(id, direction, shown)?;
        }
        Ok(())
    }

    /// Does what host calls asked for while a callback ran.
    pub(super) fn settle(&mut self, at: At) -> Result<(), Fault> {
        loop {
            let Some(guest) = self.guest(at).filter(|guest| !guest.deferred.is_empty()) else { return Ok(()) };
            match guest.deferred.remove(0) {
                Deferred::Reply(stream, answer) => self.reply(stream, answer)?,
                Deferred::Continue(stream, direction) => self.resume(stream, direction)?,
                Deferred::Close(stream) => self.reset(stream)?,
                Deferred::Delete(root) => self.delete_root(at, root)?,
            }
        }
    }

    /// Answers in the application's place: through the filter, unless it has been shown an answer already. What has gone
    /// to the client cannot be taken back: then the stream is reset.
    pub(super) fn reply(&mut self, id: StreamId, answer: Answer) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        if stream.response.has_begun {
            return self.answer_directly(id, answer);
        }
        let Answer { headers, body, .. } = answer;
        let end = body.is_empty();
        self.arrive(id, Direction::Response, Part::Headers { headers, end })?;
        if !end {
            self.arrive(id, Direction::Response, Part::Body { bytes: body, end: true })?;
        }
        Ok(())
    }

    /// Answers past the filter.
    pub(super) fn answer_directly(&mut self, id: StreamId, answer: Answer) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        if stream.response.headers_gone {
            return self.reset(id);
        }
        stream.response.headers = answer.headers.clone();
        stream.response.has_begun = true;
        stream.received = Some(answer);
        self.close(id)
    }

    /// A stream whose VM is lost cannot go on: Envoy answers it 503.
    pub(super) fn fail(&mut self, id: StreamId) -> Result<(), Fault> {
        self.answer_directly(id, Answer::local(503, &Headers::default(), Vec::new()))
    }

    /// Breaks a stream off: the client keeps what it has.
    pub(super) fn reset(&mut self, id: StreamId) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        let at = stream.at;
        self.world.note(at.thread, What::Reset { stream: id });
        self.close(id)
    }
}

fn callback(direction: Direction, shown: Shown) -> &'static str {
    match (direction, shown) {
        (Direction::Request, Shown::Headers { .. }) => "proxy_on_request_headers",
        (Direction::Request, Shown::Body { .. }) => "proxy_on_request_body",
        (Direction::Request, Shown::Trailers { .. }) => "proxy_on_request_trailers",
        (Direction::Response, Shown::Headers { .. }) => "proxy_on_response_headers",
        (Direction::Response, Shown::Body { .. }) => "proxy_on_response_body",
        (Direction::Response, Shown::Trailers { .. }) => "proxy_on_response_trailers",
    }
}
