//! An inbound path is guarded in every spelling of it that an application may take for the same.

use host_tests::Request;
use serde_json::json;

use crate::sender::{Message, counted, passes, receiver, rule, stopped, verifying};
use crate::support::{config, endpoint, start, with};

/// Plain spellings of `/webhooks/github`, which all servers read alike.
const SPELLINGS: [&str; 7] = [
    "/webhooks/github",
    "/webhooks/github/",
    "/WEBHOOKS/GITHUB",
    "/webhooks/GitHub",
    "/webhooks/github?",
    "/webhooks/github?x=1&y=/../",
    "/webhooks/github/?x",
];

/// What some server takes for `/webhooks/github`. The core's tests have more.
const AMBIGUOUS: [&str; 34] = [
    "/webhooks/github//",
    "/webhooks/./github/.",
    "/webhooks/g%69thub",
    "/webhooks%2fgithub",
    "/%77%65%62%68%6f%6f%6b%73/github",
    "/webhooks/%2e/github",
    "/webhooks/%47ithub",
    "/webhooks/github;x=1;y=2",
    "/webhooks;x/github",
    "/webhooks/github;/",
    "/webhooks\\github",
    "/webhooks/github%3B",
    "//webhooks/github",
    "//x/webhooks/github",
    "/\\x/webhooks/github",
    "http://x/webhooks/github",
    "/webhooks//github",
    "/./webhooks/github",
    "/webhooks/%67ithub",
    "/webhooks/%2567ithub",
    "/webhooks/%u0067ithub",
    "/webhooks%2Fgithub",
    "/webhooks%c0%afgithub",
    "/webhooks/github;x",
    "/webhooks/;/github",
    "\\webhooks\\github",
    "/webhooks%5Cgithub",
    "/webhooks/github#x",
    "/webhooks/github%3Fx",
    "/webhooks/github%20",
    "/webhooks/github%00",
    "/webhooks/github.",
    "/webhooks/github.json",
    "webhooks/github",
];

/// What may be the same, or another path, by what is taken for a segment before `..` removes it.
const READINGS: [&str; 14] = [
    "/webhooks/x/../github",
    "/x/../webhooks/github",
    "/../webhooks/github",
    "/webhooks/x/%2E%2e/github",
    "/webhooks/github//..",
    "/webhooks/github/x//../..",
    "/webhooks/github//../",
    "/webhooks/github/x%2Fy/..",
    "/webhooks/github/x\\y/..",
    "/webhooks/github/x%5cy/..",
    "/webhooks/github/..;/..",
    "/webhooks/github/;/..",
    "/webhooks/github/..;x/%2e%2E",
    "/webhooks/github/%2e%2E/..",
];

#[test]
fn every_spelling_of_an_inbound_path_is_verified() {
    let mut process = receiver();
    for (number, spelling) in SPELLINGS.iter().enumerate() {
        let unsigned = stopped(&mut process, Request::post(spelling).body("{}"));
        assert_eq!(unsigned.status(), 401, "{spelling}");
        assert_eq!(stopped(&mut process, Request::new("GET", spelling)).status(), 405, "{spelling}");
        let mut request = Message::new(&process, "github", &format!("evt_{number}")).request();
        let (headers, body) = request.sent();
        let signed = headers.iter().filter(|(name, _)| !name.starts_with(':') && *name != "content-length");
        request = signed.fold(Request::post(spelling), |all, (name, value)| all.header(name, value)).body(body);
        let gone = passes(&mut process, request);
        assert_eq!((gone.header(":path"), gone.header("x-gatepost-verified")), (*spelling, "from-github"));
    }
}

/// A path that may be read as an inbound one is refused, signed or not.
#[test]
fn ambiguous_inbound_path_is_refused() {
    let mut process = receiver();
    for path in READINGS.iter().chain(&AMBIGUOUS).chain(&["/other/../else"]) {
        assert_eq!(stopped(&mut process, Request::post(path).body("{}")).status(), 400, "{path}");
        let mut signed = Message::new(&process, "github", "evt_1").request();
        signed = signed.path(path.as_bytes());
        assert_eq!(stopped(&mut process, signed).status(), 400, "{path}");
    }
    // Where nothing is guarded nothing need be refused.
    let mut process = start(&config([endpoint("billing")]));
    passes(&mut process, Request::post("/other/../else").body("{}"));
}

#[test]
fn a_query_that_is_no_text_hides_no_path() {
    let mut process = receiver();
    for query in [&b"?\xff\xfe"[..], b"?%ff", b"?x=\xc3\x28&y"] {
        let path = [b"/webhooks/github", query].concat();
        assert_eq!(stopped(&mut process, Request::post("/").path(path).body("{}")).status(), 401, "{query:?}");
    }
    assert_eq!(counted(&process, "github", "unsigned"), 3);
    let parameter = Request::post("/").path(b"/webhooks/github;\xff").body("{}");
    assert_eq!(stopped(&mut process, parameter).status(), 400);
}

#[test]
fn other_paths_pass_untouched() {
    let mut process = receiver();
    let others = [
        "/",
        "/webhooks",
        "/webhooks/github/x",
        "/webhooks/githu",
        "/x/webhooks/github",
        "/webhooks//other;x",
        "/webhooks?/github",
    ];
    for other in others {
        let gone = passes(&mut process, Request::post(other).body("{}"));
        assert_eq!((gone.header(":path"), gone.header("x-gatepost-verified")), (other, ""));
    }
}

/// A rule may be for many paths and its own spelling does not matter.
#[test]
fn rule_may_cover_many_paths_in_any_spelling() {
    let many = with(rule("github"), json!({"match": {"path": "/Webhooks//{Tenant}/**", "methods": ["post", "PUT"]}}));
    let mut process = start(&verifying([many]));
    for path in ["/webhooks/acme/x", "/WEBHOOKS/Acme/x/y", "/webhooks/a%20b/x/z"] {
        assert_eq!(stopped(&mut process, Request::post(path).body("{}")).status(), 401, "{path}");
        assert_eq!(stopped(&mut process, Request::new("PUT", path)).status(), 401, "{path}");
        let other = stopped(&mut process, Request::new("PATCH", path));
        assert_eq!((other.status(), other.header("allow")), (405, "POST, PUT"));
    }
    assert_eq!(stopped(&mut process, Request::post("/webhooks/acme;v=1/x/z").body("{}")).status(), 400);
}

/// An event route of the same path in another spelling is behind verification.
#[test]
fn event_route_on_an_inbound_path_requires_verification() {
    let mut config = config([endpoint("billing")]);
    config["inbound"] = json!([with(rule("github"), json!({"match": {"path": "/events/paid"}}))]);
    let mut process = start(&config);
    for (path, status) in [("/events/paid", 401), ("/events/%70aid", 400), ("/events/paid/", 401)] {
        assert_eq!(stopped(&mut process, Request::post(path).body("{}")).status(), status, "{path}");
    }
    assert_eq!(stopped(&mut process, Request::post("/events/refund").body("{}")).status(), 202);
}
