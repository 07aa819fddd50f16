//! HTTP clients. A status of 400 and above is an answer, not an error.

use std::time::Duration;

/// A client for loopback: it waits a minute for an answer.
pub fn client() -> ureq::Agent {
    client_within(LOOPBACK)
}

/// A client that waits this long for an answer.
pub fn client_within(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        // Requests carry tokens: neither a proxy nor the target of a redirect is to get one.
        .proxy(None)
        .max_redirects(0);
    config.build().into()
}

/// Longer than any answer on loopback takes, `ack: delivered` included.
const LOOPBACK: Duration = Duration::from_secs(60);
