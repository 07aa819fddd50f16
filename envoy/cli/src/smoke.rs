//! `gatepost smoke`: the four things a gateway must do, done once: deliver, retry, give up, and leave a dead receiver
//! alone.
//!
//! Against a gateway that runs it uses an endpoint of its own, whose receiver it is itself, so nothing it does is seen
//! by another endpoint's breaker, guard or receiver.
//!
//! - [`target`]: the gateway, as far as smoke talks to it.
//! - [`own`]: a gateway started for it.
//! - `ready`: brings the endpoint into the state that the scenarios begin in, and cleans up behind them.
//! - `scenarios`: the four.

pub mod own;
mod ready;
mod scenarios;
pub mod target;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::checklist::{Check, Checklist, Verdict};
use crate::given;
use crate::receive::Receiver;
use crate::terminal::tell;
use target::Target;

/// The arguments of `gatepost smoke`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where the gateway takes events; without it smoke starts a gateway of its own
    #[arg(long, value_name = "URL", value_parser = base_url)]
    gateway: Option<String>,
    /// Its admin surface; unless given, /gatepost at the same place
    #[arg(long, value_name = "URL", requires = "gateway", value_parser = base_url)]
    admin: Option<String>,
    /// The environment variable that holds the token of the admin surface
    #[arg(long, value_name = "NAME", default_value = "GATEPOST_ADMIN_TOKEN")]
    token_env: String,
    /// A header of each event, such as "authorization: Bearer …"; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The user and password that a producer is let in with
    #[arg(long, value_name = "USER:PASSWORD")]
    user: Option<String>,
    /// The path of smoke's route; {event} stands for the event type
    #[arg(long, default_value = "/smoke/{event}", value_parser = event_path)]
    path: String,
    /// The name of smoke's endpoint
    #[arg(long, default_value = "smoke")]
    endpoint: String,
    /// The environment variable that holds the endpoint's secret
    #[arg(long, value_name = "NAME", default_value = "SMOKE_SECRET")]
    secret_env: String,
    /// Where smoke listens as the receiver: what the endpoint's cluster points to
    #[arg(long, default_value = "127.0.0.1:9009")]
    listen: SocketAddr,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
The scenarios: an event is delivered, signed; a receiver that answers 503 is tried again after 2 s and 4 s, then
the event is a dead letter; one that answers 400 is not tried again; one that keeps failing is left alone until
one probe has succeeded. They take about 15 s. Exit code 0: all passed; 1: not; 2: wrong usage.

A gateway that runs needs an endpoint and a route for it, in the filter's config:

  routes:
    - {name: smoke, match: {path: \"/smoke/{event}\"}, event: \"smoke.{event}\", endpoints: [smoke]}
  endpoints:
    - {name: smoke, cluster: smoke, url: \"http://127.0.0.1:9009/smoke\", secrets: [{env: SMOKE_SECRET}],
       events: [\"smoke.**\"], breaker: {failures: 3, window: 30s, open: 5s}, retry: {delays: [0s, 2s, 4s]}}

in Envoy's config a cluster `smoke` at 127.0.0.1:9009 and a route that lets /smoke reach the filter (a path below
that of your events needs none: --path '/events/smoke/{event}'), and SMOKE_SECRET in both environments. Smoke
resumes that endpoint's rollout at 100 %, closes its breaker, and discards the dead letters it made. It touches no
other endpoint; an endpoint that subscribes to gatepost.** is told of smoke's breaker and dead letters.

Examples:
  gatepost smoke                                     # a gateway of its own, from a checkout
  gatepost smoke --gateway http://127.0.0.1:10000 --admin http://127.0.0.1:10001/gatepost --user shop:demo
  gatepost smoke --gateway https://hooks.example.com --header \"authorization: Bearer $TOKEN\" --json";

/// Runs the scenarios; says the exit code.
///
/// # Errors
/// When smoke itself cannot do its part: there is no secret, it cannot listen, or its own gateway does not start.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut list = Checklist::default();
    let subject = match &options.gateway {
        Some(url) => {
            let receiver =
                Receiver::quiet(options.listen, given::secret_of_variable("--secret-env", &options.secret_env)?)?;
            let target = options.target(url)?;
            play(&target, &receiver, &mut list);
            url.clone()
        }
        None => {
            tell!("starting a gateway");
            let own = own::start()?;
            play(&own.target, &own.receiver, &mut list);
            format!("{} (its own)", own.target.events())
        }
    };
    list.print(&subject, options.json)?;
    Ok(if list.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Brings the endpoint into its first state, plays the scenarios, cleans up.
fn play(target: &Target, receiver: &Receiver, list: &mut Checklist) {
    tell!("looking at the gateway");
    let ready = time("gateway", || ready::prepare(target, receiver));
    let is_ready = ready.verdict == Verdict::Pass;
    list.push(if is_ready {
        ready
    } else {
        ready.advising("`gatepost smoke --help` says what it needs, and how to say where")
    });
    let mut goes_on = is_ready;
    for (name, what, scenario) in scenarios::ALL {
        if !goes_on {
            list.push(Check::new(Verdict::Skip, name, what));
            continue;
        }
        tell!("{name}: {what}");
        // What a scenario left behind is not the next one's.
        let played = time(name, || {
            ready::begin(target, receiver)?;
            scenario(target, receiver)
        });
        // Where one event does not arrive, or reaches another endpoint, none of the others need be sent.
        goes_on = name != scenarios::FIRST || played.verdict == Verdict::Pass;
        list.push(played);
    }
    if is_ready {
        list.push(time("clean up", || ready::clean_up(target, receiver)));
    }
}

fn time(name: &str, check: impl FnOnce() -> Result<String>) -> Check {
    let start = Instant::now();
    let done = match check() {
        Ok(seen) => Check::new(Verdict::Pass, name, seen),
        Err(error) => Check::new(Verdict::Fail, name, format!("{error:#}")),
    };
    Check { seconds: Some(start.elapsed().as_secs_f64()), ..done }
}

impl Options {
    fn target(&self, url: &str) -> Result<Target> {
        let admin = self.admin.clone().unwrap_or_else(|| format!("{url}/gatepost"));
        let name = &self.token_env;
        let token = given::text("--token-env", &given::of_variable("--token-env", name)?)?;
        let mut headers = self.header.clone();
        if let Some(user) = &self.user {
            headers.push(("authorization".to_owned(), target::basic(user)));
        }
        Ok(Target::new(url, &self.path, headers, &admin, &token, &format!("${name}"), &self.endpoint))
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let fits = !rest.is_empty() && !rest.contains(['?', '#', '@']) && !rest.contains(char::is_whitespace);
    if fits { Ok(url.to_owned()) } else { Err("expected a URL such as http://127.0.0.1:10000".to_owned()) }
}

fn event_path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/') && text.contains("{event}");
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected a path with {event} in it, such as /smoke/{event}".to_owned())
    }
}

/// `name: value`.
///
/// # Errors
/// When it is not that.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let read = || -> Result<(String, String)> {
        let (name, value) = text.split_once(':').context("no colon")?;
        let (name, value) = (name.trim(), value.trim());
        ureq::http::HeaderName::try_from(name)?;
        ureq::http::HeaderValue::try_from(value)?;
        Ok((name.to_owned(), value.to_owned()))
    };
    read().map_err(|_| "expected \"name: value\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_help_are_those_its_own_gateway_runs_with() {
        let lines = HELP.lines().skip_while(|line| *line != "  routes:").take_while(|line| !line.is_empty());
        let mut shown: serde_json::Value = serde_saphyr::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        shown["enabled"] = true.into();
        let secret = &mut shown["endpoints"][0]["secrets"][0];
        assert_eq!(secret["env"], "SMOKE_SECRET");
        *secret = serde_json::json!({"value": own::SECRET});
        assert_eq!(shown, own::plugin());
    }

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        let read = header("authorization:  Bearer a:b ").unwrap();
        assert_eq!(read, ("authorization".to_owned(), "Bearer a:b".to_owned()));
        for wrong in ["authorization", "a b: c", "a: b\nc", ""] {
            assert!(header(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_gateway_is_named_by_a_url_without_query_or_user() {
        assert_eq!(base_url("http://127.0.0.1:10000/").unwrap(), "http://127.0.0.1:10000");
        for wrong in ["127.0.0.1:10000", "http://", "http://a/?b", "http://user@a"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }
}
