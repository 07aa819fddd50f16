//! The watch of the documents: etcd says on a stream that some were written.
//!
//! It begins with what is written from then on, and is not told again what it missed: a compacted revision, a lost message
//! and a new stream mean nothing, since whoever hears of a change reads by revision what there is.

use etcd_messages::{WatchCreateRequest, WatchRequest, WatchResponse, prefix_end};
use prost::Message;

use super::Etcd;
use crate::journal::announcement::{Announcement, StoreStream};

impl Etcd {
    pub(super) fn watch(&self) -> StoreStream {
        let key = self.document_key("");
        let create = WatchCreateRequest { range_end: prefix_end(&key), key, ..WatchCreateRequest::default() };
        StoreStream {
            service: "etcdserverpb.Watch",
            method: "Watch",
            metadata: self.token.iter().map(|token| ("token", token.clone())).collect(),
            message: WatchRequest { create_request: Some(create) }.encode_to_vec(),
        }
    }
}

/// What a message of the watch means. What cannot be read, such as one that was too large, may tell of a change.
pub(super) fn announcement(message: &[u8]) -> Announcement {
    match WatchResponse::decode(message) {
        Ok(WatchResponse { canceled: true, .. }) => Announcement::Over,
        Ok(WatchResponse { events, .. }) if events.is_empty() => Announcement::Nothing,
        _ => Announcement::Changed,
    }
}

#[cfg(test)]
mod tests {
    use etcd_messages::Event;

    use super::*;

    #[test]
    fn documents_are_watched_and_nothing_else() {
        let etcd = Etcd { token: Some("jwt".to_owned()), ..Etcd::new("/p", 5, None) };
        let StoreStream { service, method, metadata, message } = etcd.watch();
        assert_eq!((service, method), ("etcdserverpb.Watch", "Watch"));
        assert_eq!(metadata, [("token", "jwt".to_owned())]);
        let create = WatchRequest::decode(message.as_slice()).unwrap().create_request.unwrap();
        let WatchCreateRequest { key, range_end, start_revision, progress_notify } = create;
        assert_eq!((key.as_slice(), range_end.as_slice()), (b"/p/c/".as_slice(), b"/p/c0".as_slice()));
        assert_eq!((start_revision, progress_notify), (0, false));
    }

    #[test]
    fn messages_say_whether_to_look() {
        let said = |response: WatchResponse| announcement(&response.encode_to_vec());
        assert_eq!(said(WatchResponse { created: true, ..WatchResponse::default() }), Announcement::Nothing);
        let changed = WatchResponse { events: vec![Event::default()], ..WatchResponse::default() };
        assert_eq!(said(changed.clone()), Announcement::Changed);
        assert_eq!(
            said(WatchResponse { created: true, canceled: true, ..WatchResponse::default() }),
            Announcement::Over
        );
        let cut = changed.encode_to_vec();
        assert_eq!(announcement(&cut[..cut.len() - 1]), Announcement::Changed);
    }
}
