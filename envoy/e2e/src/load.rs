//! Many events over many connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Answer, Event, Protocol, Sender};
use crate::gateway::Gateway;

/// An event that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// Seconds since the Unix epoch, just before it was sent.
    pub sent: f64,
    /// The receipt says that there is something to deliver: the filter is not off.
    pub is_kept: bool,
}

/// Ends a load that lasts until something has happened, also when the test fails before it would.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Says it.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Was it said?
    pub fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says it when it is dropped.
#[derive(Debug)]
pub struct StopOnDrop<'a>(pub &'a Stop);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.now();
    }
}

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The protocol of every connection.
    pub protocol: Protocol,
    /// Connections, each with one event under way.
    pub connections: u32,
    /// Events on each connection.
    pub events: u32,
    /// The time from one event to the next on each connection; `None`: as fast as they are answered.
    pub every: Option<Duration>,
}

impl Load {
    /// Sends the same event over and over, and gives back those accepted: all of them.
    ///
    /// # Errors
    /// When a connection breaks, or an event is answered anything but 202.
    pub fn run(self, gateway: &Gateway, event: &Event) -> Result<Vec<Accepted>> {
        gateway.runtime().block_on(async {
            let mut tasks = Vec::new();
            for _ in 0..self.connections {
                let sender = Sender::open(gateway.address(), self.protocol).await?;
                tasks.push(tokio::spawn(self.send_all(sender, event.clone())));
            }
            let mut accepted = Vec::new();
            for task in tasks {
                accepted.extend(task.await.context("a task of the load")??);
            }
            Ok(accepted)
        })
    }

    /// The same while things break: a connection that ends is opened again, and an event that is refused or not answered
    /// is followed by another, until as many are accepted. Gives those back, and how many were not.
    ///
    /// # Errors
    /// When nothing is accepted on a connection for a minute.
    pub fn run_stubbornly(self, gateway: &Gateway, event: &Event) -> Result<(Vec<Accepted>, usize)> {
        gateway.runtime().block_on(async {
            let address = gateway.address().to_owned();
            let tasks: Vec<_> = (0..self.connections)
                .map(|_| tokio::spawn(self.send_stubbornly(address.clone(), event.clone())))
                .collect();
            let (mut accepted, mut refused) = (Vec::new(), 0);
            for task in tasks {
                let (more, other) = task.await.context("a task of the load")??;
                accepted.extend(more);
                refused += other;
            }
            Ok((accepted, refused))
        })
    }

    async fn send_stubbornly(self, address: String, event: Event) -> Result<(Vec<Accepted>, usize)> {
        let mut pace = interval(self.every.context("a load that is refused needs a pace")?);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut accepted, mut refused, mut last) = (Vec::new(), 0, SystemTime::now());
        let mut sender = None;
        while accepted.len() < self.events as usize {
            pace.tick().await;
            let sent = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
            match attempt(&mut sender, &address, self.protocol, &event).await {
                Ok(id) => {
                    last = SystemTime::now();
                    accepted.push(Accepted { id, sent, is_kept: true });
                }
                Err(error) => {
                    refused += 1;
                    sender = None;
                    ensure!(last.elapsed()? < Duration::from_secs(60), "nothing accepted for a minute: {error:#}");
                }
            }
        }
        Ok((accepted, refused))
    }

    async fn send_all(self, mut sender: Sender, event: Event) -> Result<Vec<Accepted>> {
        let mut pace = self.every.map(interval);
        if let Some(pace) = &mut pace {
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut accepted = Vec::new();
        for _ in 0..self.events {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let sent = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
            let answer = sender.send(&event).await?;
            ensure!(answer.status == 202, "answered {}: {}", answer.status, answer.text());
            let is_kept = answer.json()?.get("status").is_some_and(|status| status == "accepted");
            accepted.push(Accepted { id: answer.id()?, sent, is_kept });
        }
        Ok(accepted)
    }
}

async fn attempt(sender: &mut Option<Sender>, address: &str, protocol: Protocol, event: &Event) -> Result<String> {
    let open = match sender {
        Some(open) => open,
        None => sender.insert(Sender::open(address, protocol).await?),
    };
    let answer = open.send(event).await?;
    ensure!(answer.status == 202, "answered {}: {}", answer.status, answer.text());
    answer.id()
}

/// Sends one event on each of so many connections at the same moment, and gives back the answers.
///
/// # Errors
/// When a connection breaks.
pub fn at_once(gateway: &Gateway, connections: u32, event: &Event) -> Result<Vec<Answer>> {
    gateway.runtime().block_on(async {
        let mut senders = Vec::new();
        for _ in 0..connections {
            senders.push(Sender::open(gateway.address(), Protocol::Http1).await?);
        }
        let mut tasks = Vec::new();
        for mut sender in senders {
            let event = event.clone();
            tasks.push(tokio::spawn(async move { sender.send(&event).await }));
        }
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.context("a task of the load")??);
        }
        Ok(answers)
    })
}
