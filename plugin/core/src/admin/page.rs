//! The page of the admin surface, for people with a browser: one file that `build.rs` puts together from the sources in
//! `page/`.
//!
//! The page holds no data, so it is served without a token: it asks the operator for one, and then gets its data from
//! the rest of the surface. Its content security policy allows the script and the style in the page and requests to the
//! page's own origin, and little else.

use crate::answer::Answer;

const PAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.html.gz"));
const POLICY: &str = include_str!(concat!(env!("OUT_DIR"), "/page.csp"));

/// The answer with the page, compressed by gzip: every browser takes it; `curl` wants `--compressed`.
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
