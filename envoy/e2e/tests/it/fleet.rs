//! Gateways that share a journal on a real etcd: what one has accepted, another delivers.
//!
//! These tests say what must not be missing and what may come twice, never how long it takes: each prints the times that
//! the contract is about.

mod decisions;
mod full;
mod letters;
mod outage;
mod takeover;
mod truth;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use gatepost_e2e::{Setup, endpoint};
use gatepost_kit::etcd::{self, Etcd};
use gatepost_kit::fleet::account::Account;
use gatepost_kit::fleet::load::{Load, Outcome, Producers};
use gatepost_kit::fleet::{Answer, Fleet};
use gatepost_kit::receiver::{Options, Receiver, Record};
use gatepost_kit::wait;
use serde_json::{Value, json};

/// Longer than a lease, a takeover and every retry, on a machine that compiles at the same time.
const ARRIVAL: Duration = Duration::from_secs(120);
const SECRET: &str = "secret-of-a";

/// Two gateways, an etcd, and the receiver of their endpoint `a`, which is the application, too.
struct Stage {
    fleet: Fleet,
    receiver: Receiver,
}

/// What differs from one stage to the next.
struct Plan {
    etcd: etcd::Options,
    /// Laid over the section `journal`; `None`: there is none.
    journal: Option<Value>,
    /// Laid over the endpoint.
    endpoint: Value,
    /// Laid over the filter's config.
    filter: Value,
}

impl Default for Plan {
    /// One member; a short lease, since nothing happens to etcd; an endpoint that is tried often.
    fn default() -> Self {
        Self {
            etcd: etcd::Options::default(),
            journal: Some(json!({"lease": "2s"})),
            endpoint: patient(),
            filter: json!({}),
        }
    }
}

/// An endpoint whose receiver may be down for a minute.
fn patient() -> Value {
    let delays = [vec!["0s", "1s", "1s"], vec!["3s"; 17]].concat();
    json!({"retry": {"delays": delays}, "breaker": null, "timeout": "5s"})
}

impl Stage {
    /// Starts it; `None` where there is no etcd, which is told.
    fn start(plan: Plan) -> Result<Option<Self>> {
        if let Err(missing) = etcd::find() {
            ensure!(!std::env::var("CI").is_ok_and(|value| value == "true"), missing);
            eprintln!("SKIPPED: {missing:#}");
            return Ok(None);
        }
        let receiver =
            Receiver::start(&[("a", SECRET), (APPLICATION, SECRET)], &Options { compact: true, ..Options::default() })?;
        let etcd = Etcd::start(&plan.etcd)?;
        let setup = Setup::new(&receiver, &[endpoint("a", SECRET, plan.endpoint)]).with(plan.filter);
        let setup = setup.with_application("/webhooks", APPLICATION, receiver.address());
        let setup = match plan.journal {
            Some(journal) => setup.with_journal(&etcd, journal),
            None => setup,
        };
        let launches = [FIRST, SECOND].map(|agent| setup.clone().with(json!({"user_agent": agent})).launch());
        let fleet = Fleet::start(etcd, launches.into_iter().collect::<Result<Vec<_>>>()?)?;
        Ok(Some(Self { fleet, receiver }))
    }

    /// Has the first gateway accept so many events; their ids.
    fn accept(&self, events: usize) -> Result<BTreeSet<String>> {
        self.accept_of(events, 10)
    }

    /// The same, with so many bytes of filler in each.
    fn accept_of(&self, events: usize, filler: usize) -> Result<BTreeSet<String>> {
        let body = json!({"filler": "x".repeat(filler)});
        let answers = (0..events).map(|_| {
            let answer = self.fleet.gateway(0)?.send_until_accepted("payment_verified", &body)?;
            ensure!(is_journalled(&answer), "{answer:?}");
            Ok(answer.id().to_owned())
        });
        let ids = answers.collect::<Result<BTreeSet<_>>>()?;
        ensure!(ids.len() == events, "each event has an id of its own");
        Ok(ids)
    }

    /// Starts a load on both gateways.
    fn load(&self, per_second: u32) -> Producers {
        let load = Load { producers: 8, per_second, event: "payment_verified", filler: 1000 };
        Producers::start(self.fleet.addresses(), load)
    }

    /// Waits until everything accepted has arrived and nothing is pending, and makes the account.
    fn settle(&self, what: &str, outcome: &Outcome, kills: &[f64]) -> Result<Account> {
        ensure!(outcome.accepted.iter().all(|event| event.is_journalled), "a receipt does not say `journal`");
        let seen = wait::within(ARRIVAL, LOOK, || {
            let account = Account::of(&outcome.accepted, &self.receiver.records("a", 0)?);
            Ok((account.missing.is_empty() && self.pending()? == 0).then_some(account))
        })?;
        let account = match seen {
            Some(account) => account,
            None => Account::of(&outcome.accepted, &self.receiver.records("a", 0)?),
        };
        println!(
            "{what}: accepted {}, missing {}, duplicates {}; refused or not answered {}, of which {} arrived; longest time \
             without an acceptance {:.1} s",
            account.accepted,
            account.missing.len(),
            account.duplicates.len(),
            outcome.refused.len(),
            account.untold,
            outcome.longest_pause()
        );
        ensure!(account.missing.is_empty(), "accepted, and did not arrive: {:?}", account.missing);
        ensure!(account.unverified.is_empty(), "did not verify: {:?}", account.unverified);
        let unexplained = account.unexplained(kills, REPEATED);
        ensure!(unexplained.is_empty(), "duplicates that nothing explains: {unexplained:?}");
        Ok(account)
    }

    /// What the gateways say is pending.
    fn pending(&self) -> Result<u64> {
        Ok(self.fleet.gateway(0)?.pending()? + self.fleet.gateway(1)?.pending()?)
    }

    /// Waits until these ids have been taken, and gives back the attempts that the receiver took.
    fn taken(&self, ids: &BTreeSet<String>) -> Result<Vec<Record>> {
        wait::until("what was accepted arrives", ARRIVAL, || {
            let records = self.receiver.records("a", 0)?;
            let taken: Vec<_> = records.into_iter().filter(|record| record.taken).collect();
            let arrived = taken.iter().map(|record| record.id.as_str()).collect::<BTreeSet<_>>();
            Ok(ids.iter().all(|id| arrived.contains(id.as_str())).then_some(taken))
        })
    }
}

/// Does the receipt say that the event is in the journal?
fn is_journalled(answer: &Answer) -> bool {
    answer.body.get("durability").is_some_and(|durability| durability == "journal")
}

/// The application, as the receiver knows it: requests below `/webhooks` go on to it.
const APPLICATION: &str = "app";
/// The agents of the two gateways.
const FIRST: &str = "gateway-1";
const SECOND: &str = "gateway-2";
/// What was delivered in the last second before a kill may come again; a machine that compiles notes it later.
const REPEATED: f64 = 3.0;
/// The records of a whole load are some hundred kilobytes.
const LOOK: Duration = Duration::from_millis(200);
