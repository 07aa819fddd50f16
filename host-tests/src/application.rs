//! The application behind the gateway, as a script.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::reply::Reply;
use crate::stream::Forwarded;

/// The application behind the gateway, as a script: what it replies to each request that the filter lets through.
///
/// It answers once it has the whole request. Over HTTP/1.1, unless [`http2`](Self::http2) says otherwise: there the end
/// of a body is a piece of its own, after the last byte.
pub struct Application {
    script: Box<dyn FnMut(&Forwarded) -> Reply>,
    pub(crate) is_http2: bool,
}

impl Application {
    /// Every request gets this reply.
    pub fn always(reply: Reply) -> Self {
        Self::by(move |_| reply.clone())
    }

    /// The first request gets the first of these replies, and so on; once they are used up, every request is answered 200.
    pub fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::by(move |_| replies.pop_front().unwrap_or_else(|| Reply::status(200)))
    }

    /// A function decides about each request.
    pub fn by(script: impl FnMut(&Forwarded) -> Reply + 'static) -> Self {
        Self { script: Box::new(script), is_http2: false }
    }

    /// Over HTTP/2, where the last piece of a body says that it is the last.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }

    pub(crate) fn answer(&mut self, request: &Forwarded) -> Reply {
        (self.script)(request)
    }
}

impl Default for Application {
    /// Answers 200 at once.
    fn default() -> Self {
        Self::always(Reply::status(200).after(Duration::ZERO))
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("is_http2", &self.is_http2).finish_non_exhaustive()
    }
}
