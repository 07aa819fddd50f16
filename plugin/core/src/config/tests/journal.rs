//! Tests of the section `journal` and the key `durability`: what they mean, and which problems are told.

use super::refused::each_is_refused;
use super::*;
use crate::journal::{Durability, JournalSettings, Unavailable};

/// The shortest section.
fn section() -> Value {
    json!({"etcd": {"cluster": "etcd", "prefix": "/gatepost/shop"}})
}

/// The shortest section with these fields laid over those of `etcd`.
fn etcd(more: Value) -> Value {
    let mut section = section();
    merge(&mut section["etcd"], more);
    section
}

/// The shortest section with these fields laid over it.
fn journal(more: Value) -> Value {
    let mut section = section();
    merge(&mut section, more);
    section
}

fn settings(value: Value) -> JournalSettings {
    good(&with("/journal", value)).journal.unwrap()
}

fn durability(config: &Value) -> Durability {
    good(config).routes.first().unwrap().durability
}

#[test]
fn without_the_section_events_are_in_memory() {
    assert!(good(&minimal()).journal.is_none());
    assert_eq!(durability(&minimal()), Durability::Memory);
    assert_eq!(durability(&with("/routes/0/durability", json!("memory"))), Durability::Memory);
}

/// With the section every route's events are in the journal, but those of routes that say otherwise.
#[test]
fn with_the_section_a_route_chooses() {
    let mut config = with("/journal", section());
    assert_eq!(durability(&config), Durability::Journal);
    for (word, expected) in [("journal", Durability::Journal), ("memory", Durability::Memory)] {
        put(&mut config, "/routes/0/durability", json!(word));
        assert_eq!(durability(&config), expected);
    }
}

#[test]
fn the_shortest_section_gets_the_defaults() {
    let settings = settings(section());
    assert_eq!((settings.etcd.cluster.as_str(), settings.etcd.prefix.as_str()), ("etcd", "/gatepost/shop"));
    assert!(settings.etcd.user.is_none());
    assert_eq!((settings.lease, settings.unavailable), (Duration::from_secs(5), Unavailable::Reject));
    assert_eq!(settings.bytes, 1 << 30);
}

#[test]
fn every_key_of_the_section_can_be_set() {
    let user = json!({"username": "gatepost", "password": {"env": "WEBHOOK_SECRET"}});
    let mut section = etcd(user);
    merge(&mut section, json!({"lease": "60s", "unavailable": "memory", "bytes": "8GiB"}));
    let settings = settings(section);
    assert_eq!((settings.lease, settings.unavailable), (Duration::from_secs(60), Unavailable::Memory));
    assert_eq!(settings.bytes, 8 << 30);
    let user = settings.etcd.user.as_ref().unwrap();
    assert_eq!((user.name.as_str(), user.password.as_str()), ("gatepost", "hunter2"));
    assert!(!format!("{settings:?}").contains("hunter2"), "no password is shown");
}

/// A prefix may have any length up to 128 and need not begin with a slash; so the keys below have a known range.
#[test]
fn a_prefix_is_a_path_without_a_last_slash() {
    for prefix in ["a", "/gatepost", "shop.eu-1/gate_post", &"p".repeat(128)] {
        assert_eq!(settings(etcd(json!({"prefix": prefix}))).etcd.prefix, prefix);
    }
    for prefix in ["", "/", "/gatepost/", "/gate post", "/shöp", "/a\0", &"p".repeat(129)] {
        let told = refused(&with("/journal", etcd(json!({"prefix": prefix}))));
        let [line] = told.as_slice() else { panic!("{prefix}: {told:#?}") };
        assert!(
            line.starts_with("journal.etcd.prefix: is \"") && line.contains("; expected 1 to 128 letters"),
            "{line}"
        );
    }
}

#[test]
fn what_the_section_cannot_mean_is_refused() {
    each_is_refused(&[
        ("/journal", json!([]), "journal", "is a list"),
        ("/journal", json!({}), "journal.etcd", "is missing"),
        ("/journal", json!({"etcd": {"prefix": "/p"}}), "journal.etcd.cluster", "is missing"),
        ("/journal", json!({"etcd": {"cluster": "c"}}), "journal.etcd.prefix", "is missing"),
        ("/journal", etcd(json!({"cluster": ""})), "journal.etcd.cluster", "is \"\""),
        ("/journal", etcd(json!({"prefx": 1})), "journal.etcd.prefx", "is not a known key (did you mean prefix?)"),
        ("/journal", etcd(json!({"prefix": 7})), "journal.etcd.prefix", "is a number"),
        ("/journal", journal(json!({"least": 1})), "journal.least", "is not a known key (did you mean lease?)"),
        ("/journal", journal(json!({"lease": "1s"})), "journal.lease", "is \"1s\""),
        ("/journal", journal(json!({"lease": "61s"})), "journal.lease", "is \"61s\""),
        ("/journal", journal(json!({"lease": "2500ms"})), "journal.lease", "is \"2500ms\""),
        ("/journal", journal(json!({"lease": 5})), "journal.lease", "is a number"),
        ("/journal", journal(json!({"unavailable": "drop"})), "journal.unavailable", "is \"drop\", which is not known"),
        ("/journal", journal(json!({"bytes": 0})), "journal.bytes", "is 0"),
        ("/journal", journal(json!({"bytes": "9GiB"})), "journal.bytes", "is \"9GiB\""),
        ("/routes/0/durability", json!("disk"), "routes[0].durability", "is \"disk\", which is not known"),
        ("/routes/0/durability", json!(true), "routes[0].durability", "is a boolean"),
    ]);
}

/// A user without a password, or the other way round, is a slip; no password is shown.
#[test]
fn a_user_has_a_name_and_a_password() {
    let both = "; expected both or neither";
    for (user, line) in [
        (json!({"username": "u"}), format!("journal.etcd: has a username and no password{both}")),
        (json!({"password": "hunter9"}), format!("journal.etcd: has a password and no username{both}")),
        (
            json!({"username": "", "password": "hunter9"}),
            "journal.etcd.username: is empty; expected a string or {env: NAME}".to_owned(),
        ),
        (
            json!({"username": "u", "password": {"env": "NOT_THERE"}}),
            "journal.etcd.password.env: NOT_THERE is not set; expected an environment variable that Envoy's \
             environment_variables.host_env_keys passes on"
                .to_owned(),
        ),
        (
            json!({"username": "u", "password": 7}),
            "journal.etcd.password: is a number; expected a string or {env: NAME}".to_owned(),
        ),
    ] {
        assert_eq!(refused(&with("/journal", etcd(user))), [line]);
    }
}

/// A route that asks for a journal where there is none would lose what its producers take for kept.
#[test]
fn durability_of_a_journal_needs_the_section() {
    assert_eq!(
        refused(&with("/routes/0/durability", json!("journal"))),
        [
            "routes[0].durability: is \"journal\", and the configuration has no section journal; expected the section, or \
          memory"
        ]
    );
}

#[test]
fn every_problem_of_the_section_is_told_at_once() {
    let mut config = with(
        "/journal",
        json!({
            "etcd": {"cluster": 1, "prefix": "/p/", "username": "u"},
            "lease": "1s", "unavailable": "no", "bytes": -1,
        }),
    );
    put(&mut config, "/routes/0/durability", json!("both"));
    let told = refused(&config);
    let paths: Vec<&str> = told.iter().filter_map(|line| line.split_once(": ")).map(|(path, _)| path).collect();
    let expected = [
        "journal.etcd.cluster",
        "journal.etcd.prefix",
        "journal.etcd",
        "journal.lease",
        "journal.unavailable",
        "journal.bytes",
        "routes[0].durability",
    ];
    assert_eq!(paths, expected);
}
