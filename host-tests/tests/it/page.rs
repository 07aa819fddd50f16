//! The page as it is served: whole, closed to everything outside of it, and without anything in it.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use host_tests::{Answer, Process, Request};
use serde_json::{Value, json};

use crate::support::{accept, advance, answer, config, endpoint, event, seconds, start, with};

fn administered(more: Value) -> Process {
    let admin = with(json!({"tokens": [{"value": "may-look"}]}), more);
    let mut process = start(&with(config([endpoint("billing")]), json!({"admin": admin})));
    advance(&mut process, seconds(1));
    process
}

fn get(process: &mut Process, path: &str) -> Answer {
    answer(process, 0, Request::new("GET", path))
}

fn html(answer: &Answer) -> String {
    let mut html = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut html).expect("it is UTF-8, compressed");
    html
}

/// What stands between the tags of the only element that begins so.
fn inside<'a>(html: &'a str, begin: &str, end: &str) -> &'a str {
    let parts: Vec<&str> = html.split(begin).collect();
    assert_eq!(parts.len(), 2, "{begin} is there once");
    parts[1].split_once(end).expect("it ends").0
}

/// The page is served without a token and with headers that close it.
#[test]
fn page_needs_no_token_and_has_strict_headers() {
    let mut process = administered(json!({}));
    for path in ["/gatepost", "/gatepost/", "/gatepost?from=a-bookmark"] {
        let page = get(&mut process, path);
        assert_eq!(page.status(), 200, "{path}");
        let headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("content-encoding", "gzip"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ];
        for (name, value) in headers {
            assert_eq!(page.header(name), value, "{name}");
        }
        assert!(html(&page).starts_with("<!doctype html>"));
    }
}

/// The policy allows the script and the style that are in the page and nothing else.
#[test]
fn content_policy_allows_only_the_pages_script_and_style() {
    let page = get(&mut administered(json!({})), "/gatepost");
    let html = html(&page);
    let digest = |text: &str| STANDARD.encode(hmac_sha256::Hash::hash(text.as_bytes()));
    let script = digest(inside(&html, "<script type=\"module\">", "</script>"));
    let style = digest(inside(&html, "<style>", "</style>"));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(page.header("content-security-policy"), policy);
}

/// Nothing in the page points outside of it or makes markup of data.
#[test]
fn page_has_no_outside_links_and_no_markup_from_data() {
    let html = html(&get(&mut administered(json!({})), "/gatepost"));
    // The name of a vocabulary, not an address.
    let html = html.replace("http://www.w3.org/2000/svg", "");
    for forbidden in [
        "//",
        "url(",
        "@import",
        " src=",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Storage",
        "cookie",
        " style=",
        " onclick=\"",
        "<form action",
    ] {
        assert!(!html.contains(forbidden), "{forbidden} in the page");
    }
}

/// The page holds no data and is the same whatever has happened.
#[test]
fn page_holds_no_data_and_never_changes() {
    let mut process = administered(json!({}));
    let before = get(&mut process, "/gatepost");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(5));
    assert_eq!(get(&mut process, "/gatepost").body, before.body);
    assert_eq!(get(&mut administered(json!({"path": "/ops"})), "/ops").body, before.body);
    let html = html(&before);
    assert!(!html.contains("billing") && !html.contains("may-look"));
}

/// The page is compressed without a time so that a build can be repeated.
#[test]
fn page_is_compressed_reproducibly() {
    let page = get(&mut administered(json!({})), "/gatepost");
    let decoder = GzDecoder::new(page.body.as_slice());
    let header = decoder.header().expect("a gzip header");
    assert_eq!((header.mtime(), header.filename()), (0, None));
}

#[test]
fn the_page_is_only_read() {
    let mut process = administered(json!({}));
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let refused = answer(&mut process, 0, Request::new(method, "/gatepost"));
        assert_eq!((refused.status(), refused.header("allow")), (405, "GET"), "{method}");
    }
    assert_eq!(get(&mut process, "/gatepost//").status(), 401, "another path is no page");
}

/// The status says what the token may do so that the page offers no more.
#[test]
fn status_names_the_role_of_the_token() {
    let tokens = json!([{"value": "may-look"}, {"value": "may-change", "role": "operate"}]);
    let mut process = administered(json!({"tokens": tokens}));
    for (token, role) in [("may-look", "read"), ("may-change", "operate")] {
        let request = Request::new("GET", "/gatepost/status").header("authorization", format!("Bearer {token}"));
        assert_eq!(crate::support::body(&answer(&mut process, 0, request))["role"], role);
    }
}
