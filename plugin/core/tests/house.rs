//! What the compiler does not check of the sources: the order of the wings, that no files of a crate import each other in
//! a circle, the names of what is kept in the store, and that no instant of the process leaves it.
//!
//! Tests may look up: what stands under `#[cfg(test)]`, in `tests.rs` and in `tests/` is not read.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a crate by their module paths (`ledger::survey`; the root's is empty), without what is for tests.
type Sources = BTreeMap<String, String>;

/// Who imports whom, by module paths.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The crates whose files are looked at, by their directories in the repository.
const CRATES: [&str; 8] = [
    "plugin",
    "plugin/core",
    "host-tests",
    "host-tests/scenarios",
    "host-tests/swarm",
    "envoy/cli",
    "envoy/kit",
    "envoy/e2e",
];

#[test]
fn wings_import_only_those_below() {
    let sources = sources(&repository().join("plugin/core/src"));
    let wings = wings(&sources[""]);
    assert_eq!(wings.len(), 12, "{wings:?}");
    assert_eq!(against_the_order(&imports(&sources), &wings), [""; 0]);
}

/// The check can fail: it names the edge that is planted here.
#[test]
fn an_edge_against_the_order_is_named() {
    let mut sources = sources(&repository().join("plugin/core/src"));
    let wings = wings(&sources[""]);
    sources.get_mut("store").unwrap().push_str("\nuse crate::{ids::EventId, engine::Engine};\n");
    sources.get_mut("ids").unwrap().push_str("\nfn planted(_: crate::ledger::record::Trail) {}\n");
    assert_eq!(against_the_order(&imports(&sources), &wings), ["ids -> ledger::record", "store -> engine"]);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let of = |name: &'static str| (name, circles(&imports(&sources(&repository().join(name).join("src")))));
    let found: Vec<_> = CRATES.into_iter().map(of).filter(|(_, circles)| !circles.is_empty()).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_circle_is_named() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let sources = Sources::from([
        file("", "mod a; mod b; mod c;"),
        file("a", "use super::b::B;"),
        file("b", "use crate::c;\npub struct B;"),
        file("c", "/// Not [`crate::d`].\nfn f() { crate::a::g() }"),
        file("d", "use crate::a;"),
    ]);
    assert_eq!(circles(&imports(&sources)), [["a", "b", "c"]]);
}

/// Two types under one name would be read as each other.
#[test]
fn every_stored_type_has_a_name_of_its_own() {
    let sources = sources(&repository().join("plugin/core/src"));
    let declarations = sources.values().flat_map(|text| text.lines()).map(str::trim);
    let mut names: Vec<&str> = declarations
        .filter_map(|line| line.strip_prefix("const NAME: &'static str = \"")?.strip_suffix("\";"))
        .collect();
    assert!(names.len() > 15, "{names:?}");
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

/// An instant of the monotonic clock means nothing outside its process: what is answered, reported or journalled has the
/// wall time.
#[test]
fn no_instant_leaves_the_process() {
    let leaves = [
        "admin::answers",
        "answer",
        "egress::dead_letter",
        "egress::operational",
        "ingress::receipt",
        "journal::etcd",
        "journal::operation",
        "journal::record",
    ];
    let sources = sources(&repository().join("plugin/core/src"));
    let names_instant = |text: &str| paths(text).iter().any(|path| path.last().is_some_and(|name| name == "Instant"));
    assert!(names_instant(&sources["ledger::record"]), "the check can fail");
    for wing in leaves {
        let of_wing = |module: &str| module == wing || module.starts_with(&format!("{wing}::"));
        let mut files = sources.iter().filter(|(module, _)| of_wing(module)).peekable();
        assert!(files.peek().is_some(), "{wing} is gone");
        for (module, text) in files {
            assert!(!names_instant(text), "{module} names Instant");
        }
    }
}

/// The names of the wings, the top one first, as the table in `lib.rs` has them.
fn wings(lib: &str) -> Vec<String> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| Some(row.split_once("`]")?.0.to_owned())).collect()
}

/// The imports of a wing from one above it, and of the ground from any.
fn against_the_order(imports: &Imports, wings: &[String]) -> Vec<String> {
    let floor = |module: &str| {
        let top = module.split("::").next().unwrap_or_default();
        wings.iter().position(|wing| wing == top).unwrap_or(wings.len())
    };
    let mut found = Vec::new();
    for (from, to) in imports.iter().filter(|(from, _)| !from.is_empty()) {
        found.extend(to.iter().filter(|to| floor(to) < floor(from)).map(|to| format!("{from} -> {to}")));
    }
    found
}

/// Files that reach themselves over others: each circle once.
fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reach = |from: &str| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(at) = left.pop() {
            for to in imports.get(&at).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    left.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = imports.keys().map(|from| (from, reach(from))).collect();
    let mut circles = BTreeSet::new();
    for (from, to) in reached.iter().filter(|(from, to)| to.contains(from.as_str())) {
        let back = |other: &&String| reached.get(other).is_some_and(|to| to.contains(from.as_str()));
        circles.insert(to.iter().filter(back).cloned().collect::<Vec<_>>());
    }
    circles.into_iter().collect()
}

/// What each file names of others, by `use` or by a whole path. A re-export (`pub use`) hands a name on and is no import.
fn imports(sources: &Sources) -> Imports {
    let of = |module: &String, text: &String| {
        let mut found = BTreeSet::new();
        for path in paths(text) {
            let target = resolve(sources, module, &path);
            found.extend(target.filter(|target| target != module && !target.is_empty()));
        }
        (module.clone(), found)
    };
    sources.iter().map(|(module, text)| of(module, text)).collect()
}

/// The file that defines what a path names, seen from a module.
fn resolve(sources: &Sources, module: &str, path: &[String]) -> Option<String> {
    let mut at: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest = path.iter().map(String::as_str).peekable();
    match rest.next()? {
        "crate" => at.clear(),
        "self" => {}
        "super" => drop(at.pop()),
        child => {
            at.push(child);
            sources.get(&at.join("::"))?;
        }
    }
    while rest.next_if_eq(&"super").is_some() {
        at.pop();
    }
    for part in rest {
        at.push(part);
        if !sources.contains_key(&at.join("::")) {
            at.pop();
            break;
        }
    }
    Some(at.join("::"))
}

/// The paths in a text: those of `use` declarations, each leaf for itself, and those that begin with `crate` or `super`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for statement in code.split_inclusive(';') {
        let Some(at) = statement.rfind("use ").filter(|at| is_use(statement, *at)) else { continue };
        if !is_reexport(statement, at) {
            leaves(statement[at + 4..].trim_end_matches(';'), &[], &mut found);
        }
    }
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && before != ':' && before != '_' {
                let path = code[at..].split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next();
                found.push(path.unwrap_or_default().split("::").map(str::to_owned).collect());
            }
        }
    }
    found
}

/// Does a declaration begin here, rather than a word in a string?
fn is_use(statement: &str, at: usize) -> bool {
    let before = statement[..at].trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with(['\n', '}', ')']) || before.ends_with("pub")
}

fn is_reexport(statement: &str, at: usize) -> bool {
    let before = statement[..at].trim_end();
    before.ends_with("pub") || before.ends_with(')') && before.contains("pub(")
}

/// The leaves of a tree such as `a::{b, c::{self, d}}`.
fn leaves(tree: &str, before: &[String], found: &mut Vec<Vec<String>>) {
    let (head, group) = tree.split_once('{').map_or((tree, None), |(head, group)| (head, Some(group)));
    let mut path = before.to_vec();
    let name = head.split(" as ").next().unwrap_or_default();
    path.extend(name.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
    let Some(group) = group.and_then(|group| group.rsplit_once('}')) else { return found.push(path) };
    let (mut depth, mut from) = (0usize, 0);
    for (at, c) in group.0.char_indices().chain([(group.0.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let leaf = group.0[from..at].trim();
                if !leaf.is_empty() {
                    leaves(leaf, &path, found);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

fn sources(root: &Path) -> Sources {
    let mut sources = Sources::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                sources.insert(module(root, &path), code);
            }
        }
    }
    sources
}

/// `ledger/survey.rs` is `ledger::survey`; the root of a crate has no name.
fn module(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).filter(|part| part != "mod").collect();
    match parts.as_slice() {
        [root] if root == "lib" || root == "main" => String::new(),
        parts => parts.join("::"),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
