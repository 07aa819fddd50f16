//! One direction of a stream, as Envoy's filter manager keeps it for one filter: what has arrived and is buffered, which
//! callbacks are due, and what goes on. Requests and answers follow the same rules.

use std::mem;

use crate::headers::Headers;

/// A part of a request or an answer, as it arrives.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Headers { headers: Headers, end: bool },
    Body { bytes: Vec<u8>, end: bool },
    Trailers(Headers),
}

/// What a callback shows the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Headers { count: usize, end: bool },
    Body { size: usize, end: bool },
    Trailers { count: usize },
}

/// What goes on from the filter, to the application or to the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The headers go on now, before all else.
    pub(crate) headers: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    /// That was the last of it, which is said once.
    pub(crate) end: bool,
}

/// How the filter answered its last callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Going,
    /// Nothing goes on, but the filter is shown what arrives: `StopIteration`.
    Held,
    /// Nothing goes on, and the filter is shown nothing: `StopAllIteration`.
    HeldWhole,
}

/// One direction of a stream: the request or the answer.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: Headers,
    /// The part of the body that has arrived and not gone on.
    pub(crate) buffered: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) has_begun: bool,
    pub(crate) headers_gone: bool,
    /// The whole of it has arrived.
    pub(crate) has_ended: bool,
    /// Whether the filter may read the headers now; the same for body and trailers.
    pub(crate) shows_headers: bool,
    pub(crate) shows_body: bool,
    pub(crate) shows_trailers: bool,
    /// The callback for the last piece of the body runs: trailers may be added.
    pub(crate) at_last_piece: bool,
    flow: Flow,
    has_unshown_body: bool,
    has_unshown_trailers: bool,
    is_gone: bool,
}

impl Half {
    /// Takes in what has arrived; says what the filter is to be shown, if anything.
    pub(crate) fn arrive(&mut self, part: Part) -> Option<Shown> {
        let is_whole = self.flow == Flow::HeldWhole;
        match part {
            Part::Headers { headers, end } => {
                (self.headers, self.has_begun, self.has_ended) = (headers, true, end);
                Some(self.show(Shown::Headers { count: self.headers.len(), end }))
            }
            Part::Body { bytes, end } => {
                self.buffered.extend(bytes);
                self.has_ended = end;
                self.has_unshown_body |= is_whole;
                (!is_whole).then(|| self.show_body(end))
            }
            Part::Trailers(trailers) => {
                (self.trailers, self.has_ended, self.has_unshown_trailers) = (trailers, true, is_whole);
                (!is_whole).then(|| self.show(Shown::Trailers { count: self.trailers.len() }))
            }
        }
    }

    /// What the filter answered to what it was shown; says whether something goes on. A pause in the headers holds the
    /// rest back too, unless `body_while_paused`.
    pub(crate) fn answered(&mut self, shown: Shown, pauses: bool, body_while_paused: bool) -> bool {
        self.at_last_piece = false;
        let shows = match shown {
            Shown::Headers { .. } => &mut self.shows_headers,
            Shown::Body { .. } => &mut self.shows_body,
            Shown::Trailers { .. } => &mut self.shows_trailers,
        };
        *shows = pauses;
        self.flow = match shown {
            _ if !pauses => Flow::Going,
            Shown::Headers { .. } if !body_while_paused => Flow::HeldWhole,
            _ => Flow::Held,
        };
        !pauses
    }

    pub(crate) fn is_held(&self) -> bool {
        self.flow != Flow::Going
    }

    /// Would this much more of a body be buffered beyond the limit?
    pub(crate) fn overflows(&self, more: usize, limit: usize) -> bool {
        self.flow == Flow::Held && self.buffered.len() + more > limit
    }

    /// Ends a pause. What the filter was not shown meanwhile is for it to see before it goes on.
    pub(crate) fn resume(&mut self) {
        self.flow = Flow::Going;
    }

    /// What is to be shown after a pause has ended, one thing at a time.
    pub(crate) fn unshown(&mut self) -> Option<Shown> {
        if self.is_held() {
            return None;
        }
        if mem::take(&mut self.has_unshown_body) {
            return Some(self.show_body(self.has_ended && !self.has_unshown_trailers));
        }
        let has_trailers = mem::take(&mut self.has_unshown_trailers);
        has_trailers.then(|| self.show(Shown::Trailers { count: self.trailers.len() }))
    }

    /// Takes out what goes on now.
    pub(crate) fn release(&mut self) -> Gone {
        let headers = !mem::replace(&mut self.headers_gone, true);
        if self.has_unshown_body {
            return Gone { headers, ..Gone::default() };
        }
        let body = mem::take(&mut self.buffered);
        let end = self.has_ended && !self.has_unshown_trailers && !self.is_gone;
        self.is_gone |= end;
        let trailers = if end { self.trailers.clone() } else { Headers::default() };
        Gone { headers, body, trailers, end }
    }

    fn show_body(&mut self, end: bool) -> Shown {
        self.show(Shown::Body { size: self.buffered.len(), end })
    }

    fn show(&mut self, shown: Shown) -> Shown {
        match shown {
            Shown::Headers { .. } => self.shows_headers = true,
            Shown::Body { end, .. } => (self.shows_body, self.at_last_piece) = (true, end),
            Shown::Trailers { .. } => self.shows_trailers = true,
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: bool = false;
    const HEADERS_ONLY: bool = true;

    fn begun(pauses: bool, body_while_paused: bool) -> Half {
        let mut half = Half::default();
        let headers = Headers::from([(":status", "200")]);
        let shown = half.arrive(Part::Headers { headers, end: false }).unwrap();
        assert_eq!(shown, Shown::Headers { count: 1, end: false });
        half.answered(shown, pauses, body_while_paused);
        half
    }

    fn body(bytes: &str, end: bool) -> Part {
        Part::Body { bytes: bytes.into(), end }
    }

    #[test]
    fn what_is_not_paused_goes_on_piece_by_piece() {
        let mut half = begun(false, HEADERS_ONLY);
        assert_eq!(half.release(), Gone { headers: true, ..Gone::default() });
        let shown = half.arrive(body("one", false)).unwrap();
        assert!(half.answered(shown, false, HEADERS_ONLY));
        assert_eq!(half.release(), Gone { body: b"one".to_vec(), ..Gone::default() });
        let shown = half.arrive(body("", true)).unwrap();
        assert_eq!(shown, Shown::Body { size: 0, end: true });
        assert!(half.answered(shown, false, HEADERS_ONLY));
        assert_eq!(half.release(), Gone { end: true, ..Gone::default() });
    }

    #[test]
    fn a_paused_body_is_shown_whole_each_time() {
        let mut half = begun(true, HEADERS_ONLY);
        for (piece, size) in [("one ", 4), ("two", 7)] {
            let shown = half.arrive(body(piece, false)).unwrap();
            assert_eq!(shown, Shown::Body { size, end: false });
            assert!(!half.answered(shown, true, HEADERS_ONLY));
        }
        half.resume();
        assert_eq!(half.unshown(), None);
        assert_eq!(half.release(), Gone { headers: true, body: b"one two".to_vec(), ..Gone::default() });
    }

    #[test]
    fn headers_that_wait_go_on_with_the_first_piece_that_does() {
        let mut half = begun(true, HEADERS_ONLY);
        let shown = half.arrive(body("one", true)).unwrap();
        assert!(half.answered(shown, false, HEADERS_ONLY));
        assert_eq!(half.release(), Gone { headers: true, body: b"one".to_vec(), end: true, ..Gone::default() });
    }

    /// What a whole pause held back is shown in one piece when it ends.
    #[test]
    fn a_whole_pause_ends_in_one_piece() {
        let mut half = begun(true, WHOLE);
        let trailers = Headers::from([("x-sum", "7")]);
        for part in [body("one ", false), body("two", false), Part::Trailers(trailers.clone())] {
            assert_eq!(half.arrive(part), None);
        }
        half.resume();
        assert_eq!(half.release(), Gone { headers: true, ..Gone::default() });
        let shown = half.unshown().unwrap();
        assert_eq!(shown, Shown::Body { size: 7, end: false });
        assert!(half.answered(shown, false, WHOLE));
        assert_eq!(half.release(), Gone { body: b"one two".to_vec(), ..Gone::default() });
        let shown = half.unshown().unwrap();
        assert_eq!(shown, Shown::Trailers { count: 1 });
        assert!(half.answered(shown, false, WHOLE));
        assert_eq!(half.release(), Gone { trailers, end: true, ..Gone::default() });
    }

    #[test]
    fn what_the_filter_let_go_it_sees_no_more() {
        let mut half = begun(false, HEADERS_ONLY);
        assert!(!half.shows_headers);
        let shown = half.arrive(body("one", true)).unwrap();
        assert!(half.shows_body && half.at_last_piece);
        half.answered(shown, true, HEADERS_ONLY);
        assert!(half.shows_body && !half.at_last_piece);
    }
}
