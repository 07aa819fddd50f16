//! The admin surface: how operators see and change what the gateway does, over HTTP.
//!
//! It works on shared data alone, so any worker answers for all of them, and so does a filter of its own that has no
//! endpoint in its config. Nothing it answers holds a secret or a payload. What it changes is in force on every worker
//! within a second, and is one line of the log.

use sha2::{Digest, Sha256};

use crate::about::{About, AboutEndpoint};
use crate::answer::Answer;
use crate::config::{self, Admin, Problems, Role};
use crate::control::{Control, StateOverride};
use crate::endpoint::Keys;
use crate::engine::World;
use crate::json::write::{NONE, Writer, quoted};
use crate::store::StoreError;

mod letters;
mod status;

/// Bodies are commands of a line.
pub const BODY_MAX: usize = 16 * 1024;

/// A request to the surface.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// What follows `admin.path`, without the query.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// The header `authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// What follows from a request.
#[derive(Debug)]
pub enum Outcome {
    /// This answer.
    Answer(Answer),
    /// The same, and a line for the log: something was changed.
    Changed(Answer, String),
    /// An answer once nothing is pending any more, and a line for the log.
    Drain(String),
}

/// Refused, with this answer.
type Result<T> = std::result::Result<T, Answer>;

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        Self::unavailable(1, &format!("shared data did not do what was asked: {error}"))
    }
}

/// Splits a request's path at the surface's: what follows it and the query; `None` when it is another's.
pub fn split<'a>(admin: &Admin, path: &'a str) -> Option<(&'a str, &'a str)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let rest = path.strip_prefix(admin.path.as_str())?;
    (rest.is_empty() || rest.starts_with('/')).then_some((rest, query))
}

/// Answers a request, in the name of the plugin `prefix`.
pub fn handle(world: &mut World<'_>, prefix: &str, admin: &Admin, request: &Request<'_>) -> Outcome {
    (Surface { world, prefix, admin, request }).route().unwrap_or_else(Outcome::Answer)
}

struct Surface<'a, 'w> {
    world: &'a mut World<'w>,
    prefix: &'a str,
    admin: &'a Admin,
    request: &'a Request<'a>,
}

impl Surface<'_, '_> {
    fn route(mut self) -> Result<Outcome> {
        let words: Vec<&str> = self.request.path.split('/').skip(1).collect();
        if words == ["health"] {
            self.only("GET")?;
            return self.health();
        }
        let role = self.role()?;
        let method = match words.as_slice() {
            ["status"] | ["dead-letters"] => "GET",
            ["state"] => "PUT",
            ["endpoints", _] => "PATCH",
            ["endpoints", _, "breaker"]
            | ["dead-letters", "redeliver"]
            | ["dead-letters", _, "redeliver"]
            | ["drain"] => "POST",
            ["dead-letters", _] | ["overrides"] => "DELETE",
            _ => return Err(Answer::problem(404, "Not Found", "the admin surface has nothing at this path")),
        };
        self.only(method)?;
        if role < Role::Operate && method != "GET" {
            let detail = "this token may look, but not change anything";
            return Err(Answer::problem(403, "Forbidden", detail));
        }
        match words.as_slice() {
            ["status"] => self.status(),
            ["state"] => self.set_state(),
            ["endpoints", name] => self.set_endpoint(name),
            ["endpoints", name, "breaker"] => self.set_breaker(name),
            ["dead-letters"] => self.list_letters(),
            ["dead-letters", "redeliver"] => self.redeliver_all(),
            ["dead-letters", delivery, "redeliver"] => self.redeliver_one(delivery),
            ["dead-letters", delivery] => self.discard_letter(delivery),
            ["drain"] => self.drain(),
            _ => self.delete_overrides(),
        }
    }

    fn only(&self, method: &'static str) -> Result<()> {
        if self.request.method == method {
            return Ok(());
        }
        Err(Answer::problem(405, "Method Not Allowed", &["expected ", method].concat()).with("allow", method))
    }

    /// What the holder of the request's token may do. Every token is compared, whole, whatever it begins with: what is
    /// compared are digests.
    fn role(&self) -> Result<Role> {
        const SCHEME: &[u8] = b"Bearer ";
        let token = self.request.authorization.and_then(|value| value.split_at_checked(SCHEME.len()));
        let token =
            token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map_or(&b""[..], |(_, token)| token);
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for token in &self.admin.tokens {
            let difference = token.digest.iter().zip(digest).fold(0, |sum, (a, b)| sum | (a ^ b));
            found = if std::hint::black_box(difference) == 0 { found.max(Some(token.role)) } else { found };
        }
        found.ok_or_else(|| {
            let detail = "the admin surface wants a token: Authorization: Bearer ...";
            Answer::problem(401, "Unauthorized", detail).with("www-authenticate", "Bearer")
        })
    }

    /// The gateway this surface answers for.
    fn about(&mut self) -> Result<About> {
        About::read(self.world.store, self.prefix)?.ok_or_else(|| {
            let detail = ["no configuration of a filter named ", self.prefix, " has begun to deliver yet"].concat();
            Answer::unavailable(1, &detail)
        })
    }

    fn endpoint(&self, about: &About, name: &str) -> Result<AboutEndpoint> {
        let found = about.endpoints.iter().find(|endpoint| endpoint.name == name);
        found.cloned().ok_or_else(|| Answer::problem(404, "Not Found", "the config has no such endpoint"))
    }

    fn health(&mut self) -> Result<Outcome> {
        let about = self.about()?;
        let draining = Control::read(self.world.store, self.prefix)?.draining;
        let mut body = begin(&about);
        body.text("status", if draining { "draining" } else { "ok" });
        Ok(Outcome::Answer(end(body)))
    }

    fn set_state(&mut self) -> Result<Outcome> {
        let (state, reason) = config::state_command(self.request.body).map_err(bad_request)?;
        let (over, at) = (self.about()?.enabled, self.world.now.wall);
        let line = ["state=", state.label(), " reason=", &quoted(&reason)].concat();
        let new = StateOverride { state, over, reason, at };
        Control::change(self.world.store, self.prefix, |control| control.set_state(new.clone()))?;
        self.changed(line)
    }

    fn set_endpoint(&mut self, name: &str) -> Result<Outcome> {
        let disabled = config::endpoint_command(self.request.body).map_err(bad_request)?;
        let about = self.about()?;
        let endpoint = self.endpoint(&about, name)?;
        Keys::new(self.prefix, name).override_disabled(self.world.store, endpoint.disabled, Some(disabled))?;
        self.changed(["endpoint=", name, " disabled=", if disabled { "true" } else { "false" }].concat())
    }

    fn set_breaker(&mut self, name: &str) -> Result<Outcome> {
        let open = config::breaker_command(self.request.body).map_err(bad_request)?;
        let about = self.about()?;
        let endpoint = self.endpoint(&about, name)?;
        let (store, now) = (&mut *self.world.store, self.world.now.mono);
        Keys::new(self.prefix, name).force_breaker(store, now, open.then_some(endpoint.open))?;
        self.changed(["endpoint=", name, " breaker=", if open { "open" } else { "closed" }].concat())
    }

    fn delete_overrides(&mut self) -> Result<Outcome> {
        let about = self.about()?;
        Control::change(self.world.store, self.prefix, |control| *control = Control::default())?;
        for endpoint in &about.endpoints {
            let keys = Keys::new(self.prefix, &endpoint.name);
            keys.override_disabled(self.world.store, endpoint.disabled, None)?;
        }
        self.changed("overrides=none".to_owned())
    }

    fn drain(&mut self) -> Result<Outcome> {
        self.about()?;
        Control::change(self.world.store, self.prefix, |control| control.draining = true)?;
        Ok(Outcome::Drain("drain=true".to_owned()))
    }

    /// The answer to a change is how things stand now.
    fn changed(&mut self, line: String) -> Result<Outcome> {
        Ok(Outcome::Changed(self.standing()?, line))
    }
}

/// The answer to a drain, with what is still pending.
pub fn drained(about: &About, pending: usize) -> Answer {
    if pending > 0 {
        let pending = pending.to_string();
        let detail = [&pending, " deliveries are still pending; new events stay refused, and this may be asked again"];
        return Answer::unavailable(1, &detail.concat());
    }
    let mut body = begin(about);
    body.text("status", "drained");
    end(body)
}

/// Begins an answer with which process it is.
fn begin(about: &About) -> Writer {
    let mut body = Writer::default();
    body.object(NONE);
    body.text("instance", &about.instance.map(|id| id.to_string()).unwrap_or_default());
    body.text("started_at", &about.started.to_string());
    body
}

fn end(mut body: Writer) -> Answer {
    body.end_object();
    Answer {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())],
        body: body.finish(),
    }
}

fn bad_request(problems: Problems) -> Answer {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Answer::bad_request(&lines.join("; "))
}

/// The value of a key of the query, as it stands there.
fn parameter<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
