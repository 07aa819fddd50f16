//! The admin surface: how operators see and change what the gateway does, over HTTP.
//!
//! The surface works on shared data alone, so any worker answers for all workers, and so does a separate filter whose
//! config has no endpoint. No answer holds a secret or a payload. A change is in force on every worker within a second,
//! and is one line of the log.

use serde::Serialize;

use crate::admin::about::{About, AboutEndpoint};
use crate::admin::control::{Control, StateOverride};
use crate::answer::{Answer, Problem, json};
use crate::config::{Admin, Problems, Role};
use crate::egress::operational::{News, NewsKind};
use crate::egress::state::EndpointKeys;
use crate::ingress::request::AdminRefusal;
use crate::journal::documents::FleetKnowledge;
use crate::json::quoted;
use crate::store::keys::Keys;
use crate::store::{SharedStore, StoreError, World};
use answers::{Drained, Health, Process};
use token::{Bearer, Throttle};

pub mod about;
pub mod answers;
mod commands;
pub mod control;
mod fleet;
mod history;
mod hours;
mod letters;
mod page;
mod query;
mod rollout;
mod status;
mod tell;
pub mod token;

/// A request to the admin surface.
#[derive(Clone, Copy, Debug)]
pub struct AdminRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path behind `admin.path`, without the query.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// The header `authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
    /// What the gateway knows of its fleet's decisions.
    pub fleet: FleetKnowledge,
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was changed: the answer.
    Answer(Answer),
    /// Something was changed: the answer, a line for the log, and the names of the endpoints that the request rolled
    /// back.
    Changed(Answer, String, Vec<String>),
    /// The request was refused for this reason: the answer.
    Refused(Answer, AdminRefusal),
    /// A drain has begun: a line for the log. The answer comes once nothing is pending any more.
    Drain(String),
}

/// A result whose error is the problem that a request is refused with.
type Result<T> = std::result::Result<T, Box<Problem>>;

impl From<StoreError> for Box<Problem> {
    fn from(error: StoreError) -> Self {
        Self::new(Problem::unavailable(1, format!("shared data did not do what was asked: {error}")))
    }
}

/// Answers a request to the admin surface of the filter with these keys.
pub fn handle(world: &mut World<'_>, keys: &Keys, admin: &Admin, request: &AdminRequest<'_>) -> Outcome {
    let mut surface = Surface {
        world,
        keys,
        admin,
        request,
        role: Role::Read,
        holder: String::new(),
        is_untold: false,
        rolled_back: Vec::new(),
        refused: None,
    };
    let outcome = surface.route();
    let refused = surface.refused;
    let (holder, untold) = (&surface.holder, if surface.is_untold { " operational_event=dropped" } else { "" });
    let line = |what: String| format!("{what} token={holder}{untold}");
    match outcome {
        Ok(Outcome::Changed(answer, what, names)) => Outcome::Changed(answer, line(what), names),
        Ok(Outcome::Drain(what)) => Outcome::Drain(line(what)),
        Ok(outcome) => outcome,
        Err(problem) => {
            let answer = named(world.store, keys, *problem);
            match refused {
                Some(refusal) => Outcome::Refused(answer, refusal),
                None => Outcome::Answer(answer),
            }
        }
    }
}

/// The answer to a refused request: the problem, and the name of the process, once it is known.
pub fn named(store: &mut dyn SharedStore, keys: &Keys, mut problem: Problem) -> Answer {
    problem.process = About::read(store, keys).ok().flatten().map(|about| about.process());
    problem.into()
}

struct Surface<'a, 'w> {
    world: &'a mut World<'w>,
    keys: &'a Keys,
    admin: &'a Admin,
    request: &'a AdminRequest<'a>,
    /// The role of the request's token, once the token is known.
    role: Role,
    /// The name of the request's token in the log: the beginning of its SHA-256.
    holder: String,
    /// The operational events about a change could not be kept.
    is_untold: bool,
    /// The endpoints that the request rolled back.
    rolled_back: Vec<String>,
    /// Why the request was refused, if it was for its token.
    refused: Option<AdminRefusal>,
}

impl Surface<'_, '_> {
    fn route(&mut self) -> Result<Outcome> {
        let words: Vec<&str> = self.request.path.split('/').skip(1).collect();
        if matches!(words.as_slice(), [] | [""]) {
            self.only("GET")?;
            return Ok(Outcome::Answer(page::answer()));
        }
        if words == ["health"] {
            self.only("GET")?;
            let about = self.about()?;
            return self.health(&about);
        }
        self.role = self.role()?;
        let (method, parameters): (_, &[&str]) = match words.as_slice() {
            ["status"] | ["events", _] | ["fleet"] => ("GET", &[]),
            ["deliveries"] => ("GET", &["endpoint", "event", "status", "since", "limit"]),
            ["dead-letters"] => ("GET", &["endpoint", "since", "limit"]),
            ["hours"] => ("GET", &["endpoint", "hours"]),
            ["state"] => ("PUT", &[]),
            ["rollout"] => ("PUT", &["endpoint"]),
            ["endpoints", _] => ("PATCH", &[]),
            ["rollout", "promote" | "hold" | "resume" | "rollback"] => ("POST", &["endpoint"]),
            ["dead-letters", "redeliver"] => ("POST", &["endpoint", "since"]),
            ["endpoints", _, "breaker"] | ["dead-letters", _, "redeliver"] | ["drain"] => ("POST", &[]),
            ["dead-letters", _] | ["overrides"] => ("DELETE", &[]),
            _ => return Err(problem(404, "Not Found", "the admin surface has nothing at this path")),
        };
        self.only(method)?;
        if self.role < Role::Operate && method != "GET" {
            let detail = "this token may look, but not change anything";
            return Err(problem(403, "Forbidden", detail));
        }
        self.only_parameters(parameters)?;
        let about = &self.about()?;
        self.may_be_decided(&words)?;
        match words.as_slice() {
            ["status"] => self.status(about),
            ["events", id] => self.show_event(about, id),
            ["deliveries"] => self.list_deliveries(about),
            ["hours"] => self.list_hours(about),
            ["fleet"] => self.fleet(about),
            ["state"] => self.set_state(about),
            ["rollout"] => self.set_percent(about),
            ["rollout", word] => self.move_rollout(about, word),
            ["endpoints", name] => self.set_endpoint(about, name),
            ["endpoints", name, "breaker"] => self.set_breaker(about, name),
            ["dead-letters"] => self.list_letters(about),
            ["dead-letters", "redeliver"] => self.redeliver_all(about),
            ["dead-letters", delivery, "redeliver"] => self.redeliver_one(about, delivery),
            ["dead-letters", delivery] => self.discard_letter(about, delivery),
            ["drain"] => self.drain(),
            _ => self.delete_overrides(about),
        }
    }

    /// Refuses what would be decided without knowing what the fleet has decided.
    fn may_be_decided(&self, words: &[&str]) -> Result<()> {
        let detail = match (self.request.fleet, words) {
            (FleetKnowledge::Awaited, ["state" | "overrides"] | ["endpoints", _] | ["rollout", ..]) => {
                "this gateway has just started, and has not read yet what its fleet has decided; try again"
            }
            (FleetKnowledge::Missed, ["overrides"] | ["rollout", ..]) => {
                "this gateway could not read what its fleet has decided since it started, for the journal does not answer"
            }
            _ => return Ok(()),
        };
        Err(Box::new(Problem::unavailable(1, detail)))
    }

    fn only(&self, method: &'static str) -> Result<()> {
        if self.request.method == method {
            return Ok(());
        }
        let refusal = Problem::new(405, "Method Not Allowed", format!("expected {method}"));
        Err(Box::new(refusal.with("allow", method)))
    }

    /// The role of the request's token.
    fn role(&mut self) -> Result<Role> {
        let Bearer { role, holder, has_token } = Bearer::read(self.admin, self.request.authorization);
        self.holder = holder;
        if let Some(role) = role {
            // Whether the store could write that says nothing about the token.
            let _ = Throttle::forgive(self.world.store, self.keys);
            return Ok(role);
        }
        let wait = match has_token {
            true => Throttle::refuse(self.world.store, self.keys, self.world.now.mono).unwrap_or_default(),
            false => None,
        };
        self.refused = has_token.then_some(wait.map_or(AdminRefusal::Token, |_| AdminRefusal::Throttled));
        Err(Box::new(match wait {
            None => {
                let detail = "the admin surface wants a token: Authorization: Bearer ...";
                Problem::new(401, "Unauthorized", detail).with("www-authenticate", "Bearer")
            }
            Some(wait) => {
                let detail = "too many wrong tokens came in a row; a right one is still taken";
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Problem::new(429, "Too Many Requests", detail).with("retry-after", seconds.to_string())
            }
        }))
    }

    /// The description of the gateway that this surface answers for.
    fn about(&mut self) -> Result<About> {
        About::read(self.world.store, self.keys)?.ok_or_else(|| {
            let detail = format!("no configuration of a filter named {} has begun to deliver yet", self.keys.filter());
            Box::new(Problem::unavailable(1, detail))
        })
    }

    fn endpoint(&self, about: &About, name: &str) -> Result<AboutEndpoint> {
        let found = about.endpoints.iter().find(|endpoint| endpoint.name == name);
        found.cloned().ok_or_else(|| problem(404, "Not Found", "the config has no such endpoint"))
    }

    fn health(&mut self, about: &About) -> Result<Outcome> {
        let draining = Control::read(self.world.store, self.keys)?.draining;
        let status = if draining { "draining" } else { "ok" };
        Ok(Outcome::Answer(success(&Health { process: about.process(), status: status.into() })))
    }

    fn set_state(&mut self, about: &About) -> Result<Outcome> {
        let (state, reason) = commands::state_command(self.request.body).map_err(bad_request)?;
        let (over, at) = (about.enabled, self.world.now.wall);
        let line = format!("state={} reason={}", state.label(), quoted(&reason));
        let new = StateOverride { state, over, reason, at };
        Control::change(self.world.store, self.keys, &mut |control| control.set_state(new.clone()))?;
        self.changed(about, line)
    }

    fn set_endpoint(&mut self, about: &About, name: &str) -> Result<Outcome> {
        let disabled = commands::endpoint_command(self.request.body).map_err(bad_request)?;
        let endpoint = self.endpoint(about, name)?;
        let keys = EndpointKeys::new(self.keys, name);
        if keys.override_disabled(self.world.store, endpoint.disabled, endpoint.digest, Some(disabled))? {
            let kind = NewsKind::EndpointDisabled;
            self.tell(about, &[News { kind, endpoint: name, reason: "operator", facts: None }]);
        }
        self.changed(about, format!("endpoint={name} disabled={disabled}"))
    }

    fn set_breaker(&mut self, about: &About, name: &str) -> Result<Outcome> {
        let open = commands::breaker_command(self.request.body).map_err(bad_request)?;
        let endpoint = self.endpoint(about, name)?;
        if !endpoint.has_breaker() {
            let detail = format!("endpoint {name}: it has no breaker (breaker: null); it can be disabled instead");
            return Err(problem(409, "Conflict", detail));
        }
        let (store, now) = (&mut *self.world.store, self.world.now.mono);
        if EndpointKeys::new(self.keys, name).force_breaker(store, now, open.then_some(endpoint.open))?.is_some() {
            let kind = if open { NewsKind::BreakerOpened } else { NewsKind::BreakerClosed };
            self.tell(about, &[News { kind, endpoint: name, reason: "operator", facts: None }]);
        }
        self.changed(about, format!("endpoint={name} breaker={}", if open { "open" } else { "closed" }))
    }

    fn delete_overrides(&mut self, about: &About) -> Result<Outcome> {
        Control::change(self.world.store, self.keys, &mut |control| *control = Control::default())?;
        for endpoint in &about.endpoints {
            let keys = EndpointKeys::new(self.keys, &endpoint.name);
            keys.override_disabled(self.world.store, endpoint.disabled, endpoint.digest, None)?;
        }
        self.delete_rollout_overrides(about)?;
        self.changed(about, "overrides=none".to_owned())
    }

    fn drain(&mut self) -> Result<Outcome> {
        Control::change(self.world.store, self.keys, &mut |control| control.draining = true)?;
        Ok(Outcome::Drain("drain=true".to_owned()))
    }

    /// Answers a change with the gateway's status as it is now.
    fn changed(&mut self, about: &About, line: String) -> Result<Outcome> {
        Ok(Outcome::Changed(self.standing(about)?, line, std::mem::take(&mut self.rolled_back)))
    }
}

/// The answer to a drain request, with the numbers of deliveries that are still pending, and that are held instead.
pub fn drained(store: &mut dyn SharedStore, keys: &Keys, about: &About, pending: usize, held: usize) -> Answer {
    if pending + held == 0 {
        return success(&Drained { process: about.process(), status: "drained".into(), pending: 0, held: 0 });
    }
    let detail = if pending > 0 {
        format!("{pending} deliveries are still pending; new events stay refused, and this may be asked again")
    } else {
        format!("{held} deliveries are held (paused, disabled or rolled back) and are lost with the process")
    };
    let (pending, held) = (Some(pending as u64), Some(held as u64));
    named(store, keys, Problem { pending, held, ..Problem::unavailable(1, detail) })
}

impl About {
    /// The process, as answers name it.
    fn process(&self) -> Process {
        let instance = self.instance.map(|id| id.to_string()).unwrap_or_default();
        Process { instance, started_at: self.started }
    }
}

/// A 200 with this body in JSON.
fn success(body: &impl Serialize) -> Answer {
    let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
    Answer { status: 200, headers, body: json(body) }
}

fn bad_request(problems: Problems) -> Box<Problem> {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Box::new(Problem::bad_request(lines.join("; ")))
}

fn problem(status: u16, title: &'static str, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(status, title, detail))
}
