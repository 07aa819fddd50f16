//! What a store may say of its own accord: that documents of the fleet have changed.
//!
//! An announcement says no more than that it is time to look. Documents are read as they are without it, so nothing depends
//! on whether one comes, comes once, or comes in time.

/// A stream of gRPC on which a store announces changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStream {
    /// The service.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
    /// The metadata that the stream begins with.
    pub metadata: Vec<(&'static str, String)>,
    /// The only message that is sent.
    pub message: Vec<u8>,
}

/// What a message on such a stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Documents may have changed.
    Changed,
    /// Nothing has changed.
    Nothing,
    /// The store announces nothing more on this stream.
    Over,
}
