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

#[test]
fn the_page_is_served_without_a_token_and_with_headers_that_close_it() {
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

#[test]
fn the_policy_allows_the_script_and_the_style_that_are_in_the_page_and_nothing_else() {
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

#[test]
fn nothing_in_the_page_points_outside_of_it_or_makes_markup_of_data() {
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

#[test]
fn the_page_holds_no_data_and_is_the_same_whatever_has_happened() {
    let mut process = administered(json!({}));
    let before = get(&mut process, "/gatepost");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(5));
    assert_eq!(get(&mut process, "/gatepost").body, before.body);
    assert_eq!(get(&mut administered(json!({"path": "/ops"})), "/ops").body, before.body);
    let html = html(&before);
    assert!(!html.contains("billing") && !html.contains("may-look"));
}

#[test]
fn the_page_is_compressed_without_a_time_so_that_a_build_can_be_repeated() {
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

#[test]
fn the_status_says_what_the_token_may_do_so_that_the_page_offers_no_more() {
    let tokens = json!([{"value": "may-look"}, {"value": "may-change", "role": "operate"}]);
    let mut process = administered(json!({"tokens": tokens}));
    for (token, role) in [("may-look", "read"), ("may-change", "operate")] {
        let request = Request::new("GET", "/gatepost/status").header("authorization", format!("Bearer {token}"));
        assert_eq!(crate::support::body(&answer(&mut process, 0, request))["role"], role);
    }
}
