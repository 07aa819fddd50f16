//! The reference of the config, `envoy/docs/config.md`, against the parser.
//!
//! The parser is asked, not read: a value of a wrong type is refused with what was expected, an object with the keys it
//! may have. So which keys there are and what each accepts comes from the parser's own messages; and a default is what
//! gives the same configuration as leaving the key out. After a change of the parser
//! `UPDATE=1 cargo test -p gatepost-core --test docs reference` writes what it accepts into the tables; lines for new keys
//! are for people to write.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::pages::{heading, read, root, spans};
use parser::{Key, Parsed};

mod parser;
mod samples;

const PAGE: &str = "envoy/docs/config.md";
/// What the tables of keys begin with.
const HEAD: &str = "| key | default | accepts | |";

static KEYS: LazyLock<BTreeMap<String, Key>> = LazyLock::new(parser::keys);

/// A line of a table.
struct Row {
    /// Its place in the page.
    at: usize,
    /// The keys it tells of, from the root: one for each object that the section is about.
    keys: Vec<String>,
    default: String,
    accepts: String,
}

/// The lines of all tables of keys.
fn rows(page: &str) -> Vec<Row> {
    let (mut rows, mut objects, mut is_table) = (Vec::new(), Vec::new(), false);
    for (at, line) in page.lines().enumerate() {
        if heading(line).is_some() {
            objects.clear();
        } else if let Some(named) = line.strip_prefix("Keys of ") {
            objects = spans(named).collect();
        }
        is_table = line == HEAD || is_table && line.starts_with('|');
        if !is_table || line == HEAD || line.starts_with("|---") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [key, default, accepts, _] = cells[..] else { panic!("{PAGE}:{}: not four cells", at + 1) };
        let key = spans(key).next().unwrap();
        let keys = match objects[..] {
            [] => vec![key.to_owned()],
            _ => objects.iter().map(|object| format!("{object}.{key}")).collect(),
        };
        rows.push(Row { at, keys, default: default.to_owned(), accepts: accepts.to_owned() });
    }
    rows
}

/// The page with what the parser accepts in the third column.
fn updated(page: &str) -> String {
    let mut lines: Vec<String> = page.lines().map(str::to_owned).collect();
    for row in rows(page) {
        let cells: Vec<&str> = lines[row.at].split(" | ").collect();
        let Some(key) = KEYS.get(&row.keys[0]) else { continue };
        lines[row.at] = [cells[0], cells[1], &key.accepts, cells[3]].join(" | ");
    }
    lines.join("\n") + "\n"
}

/// Each key that the parser accepts has a line that says what it accepts, and no other key has one.
#[test]
fn the_reference_has_every_key() {
    let mut page = read(PAGE);
    if std::env::var_os("UPDATE").is_some() {
        page = updated(&page);
        fs::write(root().join(PAGE), &page).unwrap();
    }
    let mut wrong = Vec::new();
    let mut told = Vec::new();
    for row in rows(&page) {
        for name in row.keys {
            match KEYS.get(&name) {
                None => wrong.push(format!("{name}: the parser has no such key")),
                Some(key) if key.accepts != row.accepts => {
                    wrong.push(format!("{name}: accepts {:?}, not {:?}", key.accepts, row.accepts));
                }
                Some(_) if told.contains(&name) => wrong.push(format!("{name}: stands twice")),
                Some(_) => {}
            }
            told.push(name);
        }
    }
    let silent = KEYS.keys().filter(|name| !told.contains(name));
    wrong.extend(silent.map(|name| format!("{name}: has no line")));
    assert!(wrong.is_empty(), "{PAGE}, to be updated with UPDATE=1:\n{}", wrong.join("\n"));
}

/// Defaults that are no literal, as the reference words them, and what each is in the samples.
fn computed(name: &str) -> Option<(&'static str, Option<Value>)> {
    let name = name.trim_start_matches("endpoints[].").trim_start_matches("inbound[].");
    Some(match name.trim_start_matches("signature[].") {
        "user_agent" => ("`Gatepost/<version>`", Some(json!(concat!("Gatepost/", env!("CARGO_PKG_VERSION"))))),
        "pending" => ("¼ of `limits.pending`", Some(json!(2500))),
        "rate.burst" => ("`per_second`, rounded up", Some(json!(3))),
        "secrets" if name.starts_with("signature") => ("those beside `signature`", None),
        "timestamp.header" | "timestamp.key" | "timestamp.body" => ("one of the three", None),
        "id.header" | "id.body" => ("one of the two", None),
        // Without entries further signatures have a header of their own.
        "entries" => ("none", None),
        "secrets[].env" | "secrets[].value" | "admin.tokens[].env" | "admin.tokens[].value" => ("one of the two", None),
        _ => return None,
    })
}

/// What is wrong with what a line says of a key that is left out.
fn fault(name: &str, key: &Key, default: &str) -> Option<String> {
    let wording = computed(name);
    if let Some((words, _)) = &wording
        && *words != default
    {
        return Some(format!("is {words}"));
    }
    match (key.with(None), wording) {
        (Parsed::Missing, _) => (default != "required").then(|| "is required".to_owned()),
        (Parsed::Good(_) | Parsed::Refused(_), Some((_, None))) => None,
        (Parsed::Refused(problems), _) => Some(problems),
        (Parsed::Good(without), None) if default == "none" => something(key, &without),
        (without, wording) => {
            let value = wording.and_then(|(_, value)| value).or_else(|| spans(default).next().map(literal));
            let is_same = value.is_some_and(|value| key.with(Some(value)) == without);
            (!is_same).then(|| "leaving it out means something else".to_owned())
        }
    }
}

/// What there is without the key in the place of what the sample has; None where there is nothing.
fn something(key: &Key, without: &str) -> Option<String> {
    let Parsed::Good(sample) = key.with(Some(key.value())) else { return Some("the sample is refused".to_owned()) };
    let (found, _) = without.lines().zip(sample.lines()).find(|(without, sample)| without != sample)?;
    let is_nothing = ["None,", "[],"].iter().any(|nothing| found.ends_with(nothing));
    (!is_nothing).then(|| format!("there is something: {found}"))
}

/// A default as the reference writes it: as in YAML, `2s`, `[0s, 2s]`, `true`.
fn literal(text: &str) -> Value {
    let items = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match (serde_json::from_str(text), items) {
        (Ok(value), _) => value,
        (_, Some(items)) => items.split(", ").map(literal).collect(),
        (Err(_), None) => json!(text),
    }
}

/// Leaving a key out means what its line says.
#[test]
fn each_default_is_what_the_reference_says() {
    let mut wrong = Vec::new();
    for row in rows(&read(PAGE)) {
        for name in &row.keys {
            let Some(key) = KEYS.get(name) else { continue };
            wrong.extend(fault(name, key, &row.default).map(|fault| format!("{name}, {}: {fault}", row.default)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What each sample says of a key differs from leaving it out: else no wrong default would show.
#[test]
fn each_key_of_the_samples_has_its_effect() {
    for (name, key) in KEYS.iter() {
        // It has one value today.
        if name != "routes[].mode" {
            assert_ne!(key.with(Some(key.value())), key.with(None), "{name}");
        }
    }
}
