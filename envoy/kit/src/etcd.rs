//! A running etcd: one member or a cluster of them on loopback, for tests that kill, stop and fill it.

mod binary;
mod client;

use std::env;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::{http, port, wait};

pub use binary::find;
pub use client::{Entry, Size};

/// How to start an etcd.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Members: 1, or 3 that can lose one.
    pub members: usize,
    /// The most bytes of a member's database (`--quota-backend-bytes`); `None`: etcd's own, 2 GiB.
    pub quota: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { members: 1, quota: None }
    }
}

/// A cluster of etcd. Its processes and their data end when this is dropped.
///
/// It syncs to disk as in production, and compacts nothing by itself: its clients do.
pub struct Etcd {
    members: Vec<Member>,
    directory: TempDir,
    binary: PathBuf,
    quota: Option<u64>,
    http: ureq::Agent,
}

/// One member; its data outlives its process.
struct Member {
    name: String,
    /// `host:port` for clients.
    address: String,
    /// `host:port` for the other members.
    peer: String,
    process: Option<Process>,
    is_paused: bool,
}

impl Etcd {
    /// Starts it and waits until every member serves.
    ///
    /// # Errors
    /// When there is no etcd, or a member ends or does not serve within a minute; the error then holds the end of its log.
    pub fn start(options: &Options) -> Result<Self> {
        let binary = find()?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::start_once(options, binary.clone()) {
                // Another process took a port between the look and the use.
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains(TAKEN) => {}
                done => return done,
            }
        }
    }

    fn start_once(options: &Options, binary: PathBuf) -> Result<Self> {
        let local = || Ok::<_, anyhow::Error>(format!("127.0.0.1:{}", port::free()?));
        let member = |number| {
            let (address, peer) = (local()?, local()?);
            Ok(Member { name: format!("etcd{number}"), address, peer, process: None, is_paused: false })
        };
        let members = (0..options.members).map(member).collect::<Result<Vec<_>>>()?;
        let http = http::client_within(ANSWER);
        let mut etcd = Self { members, directory: tempfile::tempdir()?, binary, quota: options.quota, http };
        (0..options.members).try_for_each(|member| etcd.restart(member))?;
        etcd.wait_until_serving()?;
        Ok(etcd)
    }

    /// `host:port` of every member, for clients.
    pub fn addresses(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.address.as_str()).collect()
    }

    /// The process id of a member that runs, for reading its CPU time.
    pub fn pid(&self, member: usize) -> Option<u32> {
        self.members.get(member)?.process.as_ref().map(Process::id)
    }

    /// Kills a member with SIGKILL; its data stays.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn kill(&mut self, member: usize) -> Result<()> {
        let member = self.member(member)?;
        member.process = None;
        member.is_paused = false;
        Ok(())
    }

    /// Stops a member with SIGSTOP: its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self, member: usize) -> Result<()> {
        let member = self.member(member)?;
        member.process.as_ref().context("the member does not run")?.signal("STOP")?;
        member.is_paused = true;
        Ok(())
    }

    /// Lets a paused member go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self, member: usize) -> Result<()> {
        let member = self.member(member)?;
        member.process.as_ref().context("the member does not run")?.signal("CONT")?;
        member.is_paused = false;
        Ok(())
    }

    /// Starts a member that was killed, on its data and its ports, and does not wait: one of several that were dead serves
    /// nobody until there are more. [`Etcd::wait_until_serving`] waits.
    ///
    /// # Errors
    /// When it runs already, or cannot be executed.
    pub fn restart(&mut self, member: usize) -> Result<()> {
        let peers: Vec<_> = self.members.iter().map(|other| format!("{}=http://{}", other.name, other.peer)).collect();
        let (binary, quota, directory) = (self.binary.clone(), self.quota, self.directory.path().to_owned());
        let member = self.member(member)?;
        ensure!(member.process.is_none(), "{} runs already", member.name);
        let log = OpenOptions::new().create(true).append(true).open(directory.join(format!("{}.log", member.name)))?;
        let (client, peer) = (format!("http://{}", member.address), format!("http://{}", member.peer));
        let mut command = Command::new(binary);
        // etcd takes each of its flags from a variable too.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        command
            .args(["--name", &member.name, "--data-dir"])
            .arg(directory.join(&member.name))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
            .args(["--auto-compaction-retention", "0", "--quota-backend-bytes", &quota.unwrap_or(0).to_string()])
            .args(["--logger", "zap", "--log-outputs", "stderr"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        member.process = Some(Process::spawn(&mut command).context("etcd does not start")?);
        Ok(())
    }

    /// Waits until every member that runs and is not paused answers reads that ask all of them (linearizable ones).
    ///
    /// # Errors
    /// When one ends, or they do not within a minute; the error then holds the end of its log.
    pub fn wait_until_serving(&self) -> Result<()> {
        for member in self.members.iter().filter(|member| member.is_asked()) {
            let mut last = String::new();
            wait::until("etcd serves", READY, || {
                if let Some(status) = member.process.as_ref().map(Process::exited).transpose()?.flatten() {
                    bail!("{} ended with {status}", member.name);
                }
                let answer = client::ask(&self.http, &member.address, RANGE, &client::counted(""));
                Ok(answer.map_err(|error| last = format!("{error:#}")).ok())
            })
            .with_context(|| format!("{last}; the log of {} ends so:\n{}", member.name, self.log_tail(member)))?;
        }
        Ok(())
    }

    /// The member that leads the others, once there is one.
    ///
    /// # Errors
    /// When there is none within a minute.
    pub fn leader(&self) -> Result<usize> {
        wait::until("etcd has a leader", READY, || {
            let all = self.members.iter().enumerate().filter(|(_, member)| member.is_asked());
            let statuses = all.filter_map(|(number, member)| Some((number, self.status(member).ok()?)));
            let statuses: Vec<_> = statuses.collect();
            // One that was paused believes for a moment that it still leads: most of them must say so.
            let votes = |member: u64| statuses.iter().filter(|(_, status)| status.leader == member).count();
            let leader = statuses.iter().find(|(_, status)| votes(status.member) * 2 > self.members.len());
            Ok(leader.map(|(number, _)| *number))
        })
    }

    /// Everything that stands under keys that begin so, by key.
    ///
    /// # Errors
    /// When no member answers.
    pub fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        client::entries(&self.ask(RANGE, &client::range(prefix))?)
    }

    /// How many keys begin so.
    ///
    /// # Errors
    /// When no member answers.
    pub fn count(&self, prefix: &str) -> Result<u64> {
        client::number(&self.ask(RANGE, &client::counted(prefix))?, "/count")
    }

    /// Writes a value.
    ///
    /// # Errors
    /// When no member answers, or the space is used up.
    pub fn put(&self, key: &str, value: &[u8]) -> Result<()> {
        let request = json!({"key": client::encoded(key.as_bytes()), "value": client::encoded(value)});
        self.ask("/v3/kv/put", &request).map(drop)
    }

    /// Deletes all keys that begin so.
    ///
    /// # Errors
    /// When no member answers.
    pub fn delete(&self, prefix: &str) -> Result<()> {
        self.ask("/v3/kv/deleterange", &client::range(prefix)).map(drop)
    }

    /// The revision of the last change.
    ///
    /// # Errors
    /// When no member answers.
    pub fn revision(&self) -> Result<u64> {
        client::number(&self.ask(RANGE, &client::counted(""))?, "/header/revision")
    }

    /// Frees what was overwritten or deleted before now, within the database's file.
    ///
    /// # Errors
    /// When no member answers.
    pub fn compact(&self) -> Result<()> {
        let request = json!({"revision": self.revision()?.to_string(), "physical": true});
        match self.ask("/v3/kv/compaction", &request) {
            // Somebody else compacted, at this revision or a later one.
            Err(error) if format!("{error:#}").contains("required revision has been compacted") => Ok(()),
            done => done.map(drop),
        }
    }

    /// Gives the space that is free within a member's file back to the disk. It answers nobody meanwhile.
    ///
    /// # Errors
    /// When it does not answer within a minute.
    pub fn defragment(&self, member: usize) -> Result<()> {
        let member = self.members.get(member).context("there is no such member")?;
        let http = http::client_within(READY);
        client::ask(&http, &member.address, "/v3/maintenance/defragment", &json!({})).map(drop)
    }

    /// How large the database of a member is.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn size(&self, member: usize) -> Result<Size> {
        Ok(self.status(self.members.get(member).context("there is no such member")?)?.size)
    }

    /// How many alarms are raised, such as NOSPACE: one for each member that has one.
    ///
    /// # Errors
    /// When no member answers.
    pub fn alarms(&self) -> Result<usize> {
        Ok(self.raised()?.len())
    }

    /// Takes all alarms back, as `etcdctl alarm disarm` does.
    ///
    /// # Errors
    /// When no member answers.
    pub fn disarm(&self) -> Result<()> {
        for alarm in self.raised()? {
            let mut request = alarm.clone();
            request.as_object_mut().context("an alarm is an object")?.insert("action".to_owned(), json!("DEACTIVATE"));
            self.ask(ALARM, &request)?;
        }
        Ok(())
    }

    fn raised(&self) -> Result<Vec<Value>> {
        let mut answer = self.ask(ALARM, &json!({"action": "GET"}))?;
        let alarms = answer.get_mut("alarms").and_then(Value::as_array_mut);
        Ok(alarms.map(std::mem::take).unwrap_or_default())
    }

    fn member(&mut self, member: usize) -> Result<&mut Member> {
        self.members.get_mut(member).context("there is no such member")
    }

    fn status(&self, member: &Member) -> Result<client::Status> {
        client::status(&self.http, &member.address)
    }

    /// Asks the members in turn, until one answers or refuses.
    fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let mut last = anyhow!("no member runs");
        for member in self.members.iter().filter(|member| member.is_asked()) {
            match client::ask(&self.http, &member.address, path, body) {
                Err(error) if error.is::<ureq::Error>() => last = error,
                done => return done,
            }
        }
        Err(last.context(format!("{path}: no member of etcd answers")))
    }

    fn log_tail(&self, member: &Member) -> String {
        let log =
            File::open(self.directory.path().join(format!("{}.log", member.name))).and_then(std::io::read_to_string);
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default().join("\n")
    }
}

impl Member {
    /// Would it answer?
    fn is_asked(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }
}

const RANGE: &str = "/v3/kv/range";
const ALARM: &str = "/v3/maintenance/alarm";
/// How often a start may meet a port that was just taken.
const ATTEMPTS: u32 = 5;
/// What Go's net package says of such a port.
const TAKEN: &str = "address already in use";
/// A member without a leader answers nothing: the next one is asked.
const ANSWER: Duration = Duration::from_secs(5);
/// A start takes a second and an election another; a machine that compiles at the same time may need far longer.
const READY: Duration = Duration::from_secs(60);
const LOG_TAIL_LINES: usize = 20;

#[cfg(test)]
mod tests;
