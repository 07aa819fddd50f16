//! `gatepost receiver`: a receiver that verifies what it gets, shows it, and fails on demand.
//!
//! - [`verify`]: is a request what its sender signed, when it signed it?
//! - [`schemes`]: the same in the schemes of others.
//! - [`mode`]: failures on demand.
//! - [`inbox`]: decides how to answer, and remembers.
//! - [`record`]: what is remembered and shown.
//! - [`server`]: the HTTP around it; other commands start one in their own process.

pub mod inbox;
pub mod mode;
pub mod record;
pub mod schemes;
pub mod server;
pub mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::Result;
use gatepost_core::signature::Scheme;
use gatepost_core::signature::timestamped::DEFAULT_PREFIX;

pub use mode::Mode;
use mode::{Delay, Status};
pub use record::{Reception, Record};
pub use server::{Receiver, Setup};
use verify::ReceiverCheck;

use crate::given::{secret_of_file, secret_of_variable};
use crate::signing::{self, header_prefix};
use crate::terminal::{self, tell};

/// The arguments of `gatepost receiver`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where to listen; port 0 is any free one
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// A secret, in this environment variable; repeat it while a secret is being changed
    #[arg(long, value_name = "NAME", required_unless_present = "secret_file")]
    secret_env: Vec<String>,
    /// A secret, in this file; one line end at its end is not part of it
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// How they are signed; in scheme standard a secret may be a public key
    #[arg(long, value_parser = signing::scheme(), default_value = "timestamped")]
    scheme: Scheme,
    /// The only path that takes webhooks; without it every path does
    #[arg(long, value_parser = path)]
    path: Option<String>,
    /// Let the first N webhooks fail, with --status, then answer 200
    #[arg(long, value_name = "N")]
    fail: Option<u64>,
    /// What a failure is answered with, 503 unless given; without --fail every webhook fails
    #[arg(long)]
    status: Option<Status>,
    /// Wait so long before each answer: 3s, 500ms
    #[arg(long)]
    delay: Option<Delay>,
    /// Retry-After of a failure, in seconds
    #[arg(long, value_name = "S")]
    retry_after: Option<u64>,
    /// What the names of the gateway's headers begin with
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_PREFIX, value_parser = header_prefix)]
    header_prefix: String,
    /// Answer 409 instead of 200 when an id comes again
    #[arg(long)]
    reject_replays: bool,
    /// Leave a check out, to see who notices: `gatepost preflight` must
    #[arg(long, value_name = "CHECK")]
    without: Vec<ReceiverCheck>,
    /// One JSON object a line, for scripts
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Each webhook is one line: when, event, id, attempt, the answer, and whether it verified or exactly why not.
A signature is good from 300 s ago to 30 s ahead; what does not verify is answered 401. An id that was
answered 2xx before is a duplicate, answered 200. GET /health answers 200 and shows no line.
With --scheme it takes what an inbound rule of that scheme would.

Examples:
  SECRET=$(cat secret) gatepost receiver --secret-env SECRET
  gatepost receiver --secret-file secret --listen 0.0.0.0:9000 --path /webhooks/inbound
  gatepost receiver --scheme github --secret-env GITHUB_SECRET     # also standard, stripe, slack
  gatepost receiver --secret-env SECRET --fail 2 --status 503      # then it is well: watch the retries
  gatepost receiver --secret-env SECRET --delay 15s                # longer than the sender waits
  gatepost receiver --secret-env SECRET --json | jq .problem

While it runs, from this machine:
  curl -X PUT localhost:9000/-/mode -d '{\"fail\": 2, \"status\": 503, \"delay\": \"3s\", \"retry_after\": 5}'
  curl -X PUT localhost:9000/-/mode -d '{}'                        # well again
  curl localhost:9000/-/mode                                       # what is left of it
  curl localhost:9000/-/records?since=0                            # the last 10,000 requests, as with --json";

/// Runs until it is stopped, or nobody reads what it prints.
///
/// # Errors
/// When there is no secret, or it cannot listen.
pub fn run(options: &Options) -> Result<()> {
    let (told, records) = mpsc::channel();
    let receiver = Receiver::start(options.setup()?, move |record| {
        // The other end is gone only when this process ends.
        let _ = told.send(record.clone());
    })?;
    let paths = options.path.as_deref().unwrap_or("every path");
    tell!("listening on http://{} ({paths}); Ctrl-C ends it", receiver.address());
    for record in records {
        if options.json {
            terminal::say_json(&record)?
        } else {
            terminal::say_line(&record.line())?
        }
        if !terminal::is_read() {
            return Ok(());
        }
    }
    Ok(())
}

impl Options {
    fn setup(&self) -> Result<Setup> {
        let (secrets, other) = match self.scheme {
            Scheme::Timestamped => {
                let from_env = self.secret_env.iter().map(|name| secret_of_variable("--secret-env", name));
                let from_files = self.secret_file.iter().map(|path| secret_of_file("--secret-file", path));
                (from_env.chain(from_files).collect::<Result<Vec<_>>>()?, None)
            }
            scheme => {
                let secrets = signing::secrets(&self.secret_env, &self.secret_file)?;
                (Vec::new(), Some(signing::verifier(scheme, &self.header_prefix, &secrets)?))
            }
        };
        let mode = Mode { fail: self.fail, status: self.status, delay: self.delay, retry_after: self.retry_after };
        Ok(Setup {
            listen: self.listen,
            secrets,
            other,
            header_prefix: self.header_prefix.clone(),
            path: self.path.clone(),
            mode,
            rejects_replays: self.reject_replays,
            without: self.without.clone(),
        })
    }
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("expected a path such as /hook".to_owned()) }
}
