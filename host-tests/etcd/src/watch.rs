//! Watches: what a stream is told of the changes of some keys.

use std::time::Duration;

use etcd_messages::{Event, KeyValue, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use prost::Message;

use crate::server::Server;
use crate::store::{Change, covers};
use crate::users::Who;

/// How often a watch that wants to know of its progress is told, where nothing changes.
const PROGRESS: Duration = Duration::from_secs(600);
/// The largest number of revisions that come in one message to a watch that is behind.
const BATCH: usize = 1000;
/// A key was deleted.
const DELETED: i32 = 1;

/// One watch of a stream.
#[derive(Debug)]
struct Watch {
    id: i64,
    request: WatchCreateRequest,
    /// The next revision that it has not been told.
    next: i64,
    /// It was to begin in the past, and has not been told of it yet.
    is_behind: bool,
    told: Duration,
}

/// A stream of watches.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: Vec<Watch>,
    created: i64,
    /// Of the client's messages, so many were heard.
    heard: usize,
}

impl Watches {
    /// Is there nothing to tell of?
    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Hears what the client has said since, and gives what there is to say to it. The messages are all that it has sent.
    pub(crate) fn ask(
        &mut self,
        server: &mut Server,
        messages: &[Vec<u8>],
        token: Option<&str>,
        now: Duration,
    ) -> Vec<WatchResponse> {
        let mut said = Vec::new();
        for message in messages.iter().skip(self.heard) {
            let request = WatchRequest::decode(message.as_slice()).ok().and_then(|request| request.create_request);
            if let Some(request) = request {
                said.push(self.create(server, request, token, now));
            }
        }
        self.heard = messages.len();
        said.extend(self.news(server, now));
        said
    }

    fn create(
        &mut self,
        server: &mut Server,
        mut request: WatchCreateRequest,
        token: Option<&str>,
        now: Duration,
    ) -> WatchResponse {
        if request.key.is_empty() {
            // As etcd has it: all keys, from the first on.
            request.key = vec![0];
        }
        let header = header(server, server.store.revision());
        let keys = [(request.key.as_slice(), request.range_end.as_slice())];
        if let Err(status) = server.users.check(Who::Holder(token), keys, now) {
            let cancel_reason = status.as_error();
            let watch_id = -1;
            return WatchResponse {
                header,
                watch_id,
                created: true,
                canceled: true,
                cancel_reason,
                ..Default::default()
            };
        }
        let id = self.created;
        self.created += 1;
        let present = server.store.revision() + 1;
        let next = if request.start_revision > 0 { request.start_revision } else { present };
        self.watches.push(Watch { id, is_behind: next < present, request, next, told: now });
        WatchResponse { header, watch_id: id, created: true, ..Default::default() }
    }

    /// What has happened to the keys of each watch.
    fn news(&mut self, server: &Server, now: Duration) -> Vec<WatchResponse> {
        let mut said = Vec::new();
        self.watches.retain_mut(|watch| watch.news(server, now, &mut said));
        said
    }
}

impl Watch {
    /// Says what has happened; false for a watch that is cancelled.
    fn news(&mut self, server: &Server, now: Duration, said: &mut Vec<WatchResponse>) -> bool {
        let store = &server.store;
        if self.next < store.compacted() {
            said.push(WatchResponse {
                header: header(server, 0),
                watch_id: self.id,
                canceled: true,
                compact_revision: store.compacted(),
                ..Default::default()
            });
            return false;
        }
        let mut news: Vec<(i64, Vec<Event>)> = Vec::new();
        for (revision, changes) in store.changes_since(self.next) {
            let events: Vec<Event> = changes.iter().filter(|change| self.covers(change)).map(event).collect();
            if !events.is_empty() {
                news.push((revision, events));
            }
        }
        if std::mem::take(&mut self.is_behind) {
            // All at once, as of the present.
            news = news
                .chunks(BATCH)
                .map(|batch| (store.revision(), batch.iter().flat_map(|(_, events)| events.clone()).collect()))
                .collect();
        }
        self.next = self.next.max(store.revision() + 1);
        if news.is_empty() && self.request.progress_notify && now >= self.told + PROGRESS {
            news.push((store.revision(), Vec::new()));
        }
        if !news.is_empty() {
            self.told = now;
        }
        said.extend(news.into_iter().map(|(revision, events)| WatchResponse {
            header: header(server, revision),
            watch_id: self.id,
            events,
            ..Default::default()
        }));
        true
    }

    fn covers(&self, change: &Change) -> bool {
        covers(&self.request.key, &self.request.range_end, &change.key)
    }
}

fn event(change: &Change) -> Event {
    match &change.after {
        Some(kv) => Event { kind: 0, kv: Some(KeyValue::clone(kv)) },
        None => Event {
            kind: DELETED,
            kv: Some(KeyValue { key: change.key.clone(), mod_revision: change.revision, ..KeyValue::default() }),
        },
    }
}

/// A stream stays with the member that it met.
fn header(server: &Server, revision: i64) -> Option<ResponseHeader> {
    let member_id = server.members.first().copied().unwrap_or_default();
    Some(ResponseHeader { cluster_id: server.cluster, member_id, revision, raft_term: server.term })
}
