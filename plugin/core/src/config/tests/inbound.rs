//! Tests of the section `inbound`, of schemes, and of secrets with times.

use super::*;
use crate::ids::RuleId;
use crate::inbound::Path;
use crate::inbound::replay::{Duplicate, Policy, Scope, WhenFull};
use crate::secret::Key;
use crate::signature::{Scheme, Tolerance};
use crate::time::WallTime;

const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

/// A configuration with one inbound rule and nothing else; `more` are further keys of the rule.
pub(super) fn verifying(more: Value) -> Value {
    let mut rule = json!({"name": "partner", "match": {"path": "/in"}, "secrets": [{"value": "s"}]});
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    json!({"inbound": [rule]})
}

/// The minimal configuration whose endpoint has these secrets and this signature.
pub(super) fn signing(secrets: Value, signature: Value) -> Value {
    let mut config = with("/endpoints/0/secrets", secrets);
    put(&mut config, "/endpoints/0/signature", signature);
    config
}

/// Asserts that a configuration is refused with one line, which begins like this.
#[track_caller]
pub(super) fn refused_once(config: &Value, expected: &str) {
    let lines = refused(config);
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:#?}\nand not {expected}");
}

/// A rule gets the documented defaults, and needs neither routes nor endpoints.
#[test]
fn rule_gets_defaults_without_routes_or_endpoints() {
    let config = good(&verifying(json!({})));
    assert!(!config.enabled && config.routes.is_empty() && config.endpoints.is_empty());
    let rule = &config.inbound[0];
    assert_eq!((rule.name.as_str(), rule.methods.as_slice()), ("partner", &["POST".to_owned()][..]));
    assert_eq!((rule.signatures.len(), rule.signatures[0].scheme), (1, Scheme::Timestamped));
    assert_eq!(rule.tolerance, Tolerance { past: Duration::from_secs(300), future: Duration::from_secs(30) });
    let replay = Policy {
        ttl: Duration::from_secs(900),
        capacity: 100_000,
        duplicate: Duplicate::Acknowledge,
        when_full: WhenFull::Refuse,
        scope: Scope::Process,
    };
    assert_eq!((rule.replay, rule.header.as_str()), (replay, "x-gatepost-verified"));
    assert_eq!(config.inbound.headers(), ["x-gatepost-verified"]);
}

#[test]
fn every_key_of_a_rule_has_its_effect() {
    let config = good(&verifying(json!({
        "match": {"path": "/In/{x}", "methods": ["put"]},
        "secrets": [{"value": PUBLIC}, {"value": SHARED}],
        "signature": [{"scheme": "standard"}, {"scheme": "github", "secrets": [{"value": "plain"}]}],
        "tolerance": {"past": "60s", "future": "0s"},
        "replay": {"ttl": "1h", "capacity": 7, "duplicate": "reject", "when_full": "allow"},
        "header": "X-Verified",
    })));
    let rule = &config.inbound[0];
    assert_eq!(config.inbound.path(b"/in/a"), Path::Of(RuleId(0)));
    assert_eq!((rule.methods.as_slice(), rule.header.as_str()), (&["PUT".to_owned()][..], "x-verified"));
    assert!(matches!(&rule.signatures[0].keys[0].key, Key::Public(_)));
    assert!(matches!(&rule.signatures[0].keys[1].key, Key::Shared(_)));
    assert_eq!((rule.signatures[1].scheme, rule.signatures[1].keys.len()), (Scheme::Github, 1));
    assert_eq!(rule.tolerance, Tolerance { past: Duration::from_secs(60), future: Duration::ZERO });
    let Policy { ttl, capacity, duplicate, when_full, .. } = rule.replay;
    assert_eq!((ttl, capacity), (Duration::from_secs(3600), 7));
    assert_eq!((duplicate, when_full), (Duplicate::Reject, WhenFull::Allow));
}

#[test]
fn a_rule_that_could_be_passed_by_is_refused() {
    let at = |what: &str| format!("inbound[0].{what}");
    let cases = [
        (json!({"match": {"path": "/in", "headers": {"x": "y"}}}), at("match.headers: is not a known key")),
        (json!({"match": {"path": "/in/../x"}}), at("match.path: is not in its plain form; expected a path")),
        (json!({"match": {}}), at("match.path: is missing")),
        (json!({"match": {"path": 5}}), at("match.path: is a number; expected a path")),
        (json!({"match": {"path": "in"}}), at("match.path: does not begin with '/'")),
        (json!({"match": {"path": "/in?x"}}), at("match.path: holds '?'")),
        (json!({"header": "X-Webhook-Signature"}), at("header: is a header with a meaning of its own")),
        (json!({"secrets": []}), at("secrets: is empty")),
        (
            json!({"tolerance": {"past": "20m"}}),
            "inbound[0]: ttl is 900s, and a signature is good for longer; expected at \
          least tolerance.past + tolerance.future, 1230s"
                .to_owned(),
        ),
        (json!({"replay": {"ttl": "329s"}}), at("replay: ttl is 329s")),
        (json!({"replay": {"capacity": 0}}), at("replay.capacity: is 0")),
        (json!({"header": "host"}), at("header: is a header with a meaning of its own")),
        (json!({"header": "x-envoy-verified"}), at("header: is a header with a meaning of its own")),
        (
            json!({"secrets": [{"value": PRIVATE}], "signature": {"scheme": "standard"}}),
            at("secrets[0].value: is a private key, where one verifies; expected whpk_<base64>"),
        ),
    ];
    for (more, expected) in cases {
        refused_once(&verifying(more), &expected);
    }
    let mut twice = verifying(json!({}));
    let mut second = twice["inbound"][0].clone();
    (second["name"], second["match"]["path"]) = (json!("other"), json!("//IN/"));
    put(&mut twice, "/inbound/-", second);
    refused_once(&twice, "inbound[1]: can never match: rule \"partner\" has the same paths");
}

/// Only gateways with a journal know of each other's messages.
#[test]
fn replay_scope_fleet_needs_a_journal() {
    let scope = |scope: &str| verifying(json!({"replay": {"scope": scope}}));
    refused_once(
        &scope("fleet"),
        "inbound[0].replay.scope: is \"fleet\", and the configuration has no section journal; expected the section, or process",
    );
    refused_once(
        &scope("cluster"),
        "inbound[0].replay.scope: is \"cluster\", which is not known; expected process or fleet",
    );
    assert_eq!(good(&scope("process")).inbound[0].replay.scope, Scope::Process);
    let mut journalled = scope("fleet");
    put(&mut journalled, "/journal", json!({"etcd": {"cluster": "etcd", "prefix": "/p"}}));
    assert_eq!(good(&journalled).inbound[0].replay.scope, Scope::Fleet);
}

/// The id of a message is a part of what is signed.
#[test]
fn replay_id_is_of_what_is_signed() {
    let id = |id: &str, signature: Value| {
        verifying(json!({"replay": {"id": id}, "signature": signature, "secrets": [{"value": SHARED}]}))
    };
    for (text, signature) in [
        ("{body:/id}", json!({})),
        ("{body:/a/id}-{body:/type}", json!([{}, {"scheme": "github"}])),
        ("{header:Webhook-Id}:{body:/n}", json!({"scheme": "standard"})),
    ] {
        assert!(good(&id(text, signature)).inbound[0].replay_id.is_some());
    }
    let header = "reads the header \"webhook-id\", which is not signed: anyone could change it; expected a part of";
    for (text, signature, what) in [
        ("{header:webhook-id}", json!([{"scheme": "standard"}, {"scheme": "github"}]), header),
        ("{header:webhook-id}", json!({}), header),
        ("evt", json!({}), "is the same for all messages; expected a part of what is signed, such as \"{body:/id}\""),
        ("", json!({}), "is the same for all messages"),
        ("{body:id}", json!({}), "has {body:id}, but a JSON pointer begins with '/'"),
        ("{id}", json!({}), "uses {id}, which is not a segment of the route's path"),
        ("{body:/id", json!({}), "has a '{' that is not closed"),
    ] {
        refused_once(&id(text, signature), &format!("inbound[0].replay.id: {what}"));
    }
}

/// A challenge is one of a sender whose signature the rule verifies.
#[test]
fn challenge_is_of_a_sender_that_the_rule_verifies() {
    let with = |challenge: &Value, signature: Value| {
        verifying(json!({"challenge": challenge, "signature": signature, "secrets": [{"value": "s"}]}))
    };
    let custom = json!({"scheme": "custom", "header": "x-zm-signature-2"});
    let meta = json!({"meta": {"verify_token": {"env": "API_KEY"}}});
    for (challenge, signature) in [
        (json!("slack"), json!({"scheme": "slack"})),
        (json!("zoom"), json!([{"scheme": "zoom"}, {"scheme": "github"}])),
        (json!("zoom"), custom.clone()),
        (meta.clone(), json!({"scheme": "github"})),
    ] {
        assert!(good(&with(&challenge, signature)).inbound[0].challenge.is_some());
    }
    let mut long = custom;
    long["algorithm"] = json!("hmac-sha512");
    let other =
        "challenge: is of a sender that signs in another scheme; expected signature: {scheme: ..} of that sender";
    for (challenge, signature, expected) in [
        (json!("slack"), json!({}), other),
        (json!("zoom"), json!({"scheme": "slack"}), other),
        (json!("zoom"), long, other),
        (
            json!("github"),
            json!({}),
            "challenge: is \"github\"; expected slack or zoom or {meta: {verify_token: {env: NAME}}}",
        ),
        (json!(true), json!({}), "challenge: is a boolean; expected slack or zoom or {meta"),
        (json!({"meta": {}}), json!({}), "challenge.meta.verify_token: is missing; expected {env: NAME}"),
        (
            json!({"meta": {"verify_token": {"env": "NONE"}}}),
            json!({}),
            "challenge.meta.verify_token.env: NONE is not set",
        ),
        (
            json!({"meta": {"verify_token": ""}}),
            json!({}),
            "challenge.meta.verify_token: is empty; expected {env: NAME}",
        ),
        (json!({"graph": {}}), json!({}), "challenge.graph: is not a known key"),
    ] {
        let lines = refused(&with(&challenge, signature));
        assert!(lines[0].starts_with(&format!("inbound[0].{expected}")), "{lines:?}");
    }
}

#[test]
fn a_secret_is_read_as_its_scheme_has_it() {
    for (scheme, secret) in [("timestamped", SHARED), ("stripe", SHARED), ("standard", SHARED), ("github", "plain")] {
        let config = good(&signing(json!([{"value": secret}]), json!({"scheme": scheme})));
        assert!(matches!(&config.endpoints[0].signatures[0].keys[0].key, Key::Shared(_)), "{scheme}");
    }
    let config = good(&signing(json!([{"value": PRIVATE}]), json!({"scheme": "standard"})));
    assert!(matches!(&config.endpoints[0].signatures[0].keys[0].key, Key::Private(_)));
    // One list of secrets for two schemes: each takes those that it can use.
    let both = json!([{"scheme": "timestamped"}, {"scheme": "standard"}]);
    let config = good(&signing(json!([{"value": PRIVATE}, {"value": SHARED}]), both));
    let keys = |at: usize| config.endpoints[0].signatures[at].keys.len();
    assert_eq!((keys(0), keys(1)), (1, 2));
}

/// A secret that its scheme cannot use is refused, and not shown.
#[test]
fn secret_unfit_for_its_scheme_is_refused_and_not_shown() {
    let standard = json!({"scheme": "standard"});
    let key = "endpoints[0].secrets[0].value: is no key of scheme standard; expected whsec_<base64>, or an Ed25519 key";
    for (secret, signature, expected) in [
        ("hunter2 hunter2", &standard, key),
        ("whsec_hunter2", &standard, key),
        ("whsk_aHVudGVyMg==", &standard, key),
        (PUBLIC, &standard, "endpoints[0].secrets[0].value: is a public key, which signs nothing"),
        (PRIVATE, &json!({"scheme": "github"}), "endpoints[0].signature: has only Ed25519 keys"),
        (PRIVATE, &json!({}), "endpoints[0].signature: has only Ed25519 keys, which are for scheme standard"),
    ] {
        let config = signing(json!([{"value": secret}]), signature.clone());
        refused_once(&config, expected);
        assert!(!refused(&config).concat().contains("hunter2"));
    }
    // The public half of the key does not belong to the private half.
    let wrong = PRIVATE.replace("1SiA", "2SiA").replace("VKID", "VKIE");
    refused_once(&signing(json!([{"value": wrong}]), standard), key);
}

#[test]
fn schemes_that_would_set_the_same_headers_are_refused() {
    let secrets = json!([{"value": SHARED}]);
    for (signature, expected) in [
        (json!([{}, {}]), "endpoints[0].signature[1]: sets the same headers as the other one"),
        (json!([{"scheme": "github"}, {"scheme": "github"}]), "endpoints[0].signature[1]: sets the same headers"),
        (
            json!([{"scheme": "standard"}, {"header_prefix": "Webhook-"}]),
            "endpoints[0].signature[1]: sets the same headers as the other one",
        ),
        (json!([]), "endpoints[0].signature: is empty"),
        (json!([{}, {}, {}]), "endpoints[0].signature: has 3 items; expected at most 2"),
        (
            json!({"scheme": "hub"}),
            "endpoints[0].signature.scheme: is \"hub\", which is not known; expected timestamped or",
        ),
        (
            json!({"scheme": "slack", "header_prefix": "X-"}),
            "endpoints[0].signature.header_prefix: has no place beside a scheme whose header names are fixed",
        ),
    ] {
        refused_once(&signing(secrets.clone(), signature), expected);
    }
    let two = json!([{"header_prefix": "X-Old-"}, {"header_prefix": "X-New-"}]);
    assert_eq!(good(&signing(secrets, two)).endpoints[0].signatures.len(), 2);
}

#[test]
fn at_each_moment_a_secret_signs_or_the_config_is_refused() {
    let (june, july) = ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z");
    let secret = |value: &str, from: Option<&str>, until: Option<&str>| {
        let mut secret = json!({"value": value});
        from.into_iter().for_each(|from| secret["not_before"] = json!(from));
        until.into_iter().for_each(|until| secret["not_after"] = json!(until));
        secret
    };
    let (old, new) = (secret("old", None, Some(july)), secret("new", Some(june), None));
    let config = good(&signing(json!([new, old]), json!({})));
    let keys = &config.endpoints[0].signatures[0].keys;
    let live = |at: &str| keys.iter().map(|key| key.window.is_live(WallTime::parse(at).unwrap())).collect::<Vec<_>>();
    assert_eq!(live("2026-05-31T23:59:59Z"), [false, true]);
    assert_eq!((live(june), live("2026-06-30T23:59:59Z")), (vec![true, true], vec![true, true]));
    assert_eq!(live(july), [true, false]);
    let gap = |at: &str| format!("endpoints[0]: has no valid secret at {at}: what is sent then could not be signed");
    for (secrets, at) in [
        (json!([old]), "2026-07-01T00:00:00.000Z"),
        (json!([new]), "1970-01-01T00:00:00.000Z"),
        (json!([secret("old", None, Some(june)), secret("new", Some(july), None)]), "2026-06-01T00:00:00.000Z"),
    ] {
        let mut config = minimal();
        put(&mut config, "/endpoints/0/secrets", secrets.clone());
        refused_once(&config, &gap(at));
        // An inbound rule may have such a gap: no request is verified then.
        good(&verifying(json!({"secrets": secrets})));
    }
    let mut config = minimal();
    put(&mut config, "/endpoints/0/secrets", json!([secret("s", Some(july), Some(june))]));
    refused_once(&config, "endpoints[0].secrets[0]: is never valid");
    put(&mut config, "/endpoints/0/secrets", json!([secret("s", Some("soon"), None)]));
    refused_once(&config, "endpoints[0].secrets[0].not_before: is \"soon\"; expected a date and time");
}
