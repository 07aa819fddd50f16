//! The page: the surface for people, in a browser. One file that `build.rs` puts together from the sources in `page/`.
//!
//! It holds no data, so it needs no token: it asks for one, and then asks the rest of the surface. The policy lets it
//! run and show what is in it, talk to where it came from, and nothing else.

use crate::answer::Answer;

const PAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.html.gz"));
const POLICY: &str = include_str!(concat!(env!("OUT_DIR"), "/page.csp"));

/// The page. Every browser takes gzip; `curl` wants `--compressed`.
pub(super) fn answer() -> Answer {
    const HEADERS: [(&str, &str); 6] = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-encoding", "gzip"),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    let headers = HEADERS.map(|(name, value)| (name, value.to_owned()));
    Answer { status: 200, headers: headers.into(), body: PAGE.to_vec() }
}
