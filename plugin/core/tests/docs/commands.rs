//! The commands that pages name: their subcommands, packages and files are there.

use crate::pages::{self, Page, read, root, spans};

/// What `cargo` does by itself, of what the pages use, and cargo-fuzz.
const CARGO: [&str; 10] = ["build", "check", "test", "run", "fmt", "clippy", "install", "bench", "doc", "fuzz"];

/// The aliases of `.cargo/config.toml`.
fn aliases() -> Vec<String> {
    let config = read(".cargo/config.toml");
    let section = config.split("[alias]").nth(1).unwrap().split("\n[").next().unwrap();
    section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect()
}

/// The subcommands of `gatepost`, from the enums that clap reads.
fn subcommands() -> Vec<String> {
    let of = |file: &str, name: &str| {
        let text = read(file);
        let body = text.split(&format!("enum {name} {{")).nth(1).unwrap().split("\n}").next().unwrap().to_owned();
        let variant = |line: &str| {
            let (name, options) = line.strip_prefix("    ")?.split_once('(')?;
            let is_variant = name.starts_with(char::is_uppercase) && options.contains("Options");
            is_variant.then(|| kebab(name))
        };
        body.lines().filter_map(variant).collect::<Vec<_>>()
    };
    [of("envoy/cli/src/main.rs", "Command"), of("envoy/cli/src/operate.rs", "Verb")].concat()
}

/// The name of a subcommand, from that of its variant: `soak-fleet` from `SoakFleet`.
fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for c in variant.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The packages of the workspace.
fn packages() -> Vec<String> {
    let workspace = read("Cargo.toml");
    let members = workspace.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let name = |member: &str| {
        let manifest = read(&format!("{}/Cargo.toml", member.trim().trim_matches('"')));
        manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"').to_owned()
    };
    members.split(',').map(name).collect()
}

/// The commands of a page: lines of shell blocks, indented lines, and code spans.
fn commands(page: &Page) -> Vec<(usize, &str)> {
    let indented = page.prose().filter(|(_, line)| line.starts_with("    "));
    let spans = page.prose().flat_map(|(number, line)| spans(line).map(move |span| (number, span)));
    page.code("sh").chain(indented).chain(spans).collect()
}

/// What is wrong with a line of shell; and how many commands of ours it has.
fn faults(line: &str, known: &Known) -> (usize, Vec<String>) {
    let line = line.split(" #").next().unwrap();
    let words: Vec<&str> = line.split([' ', '(', ')', ';', '`', '"', '\'']).filter(|word| !word.is_empty()).collect();
    let (mut count, mut faults) = (0, Vec::new());
    let mut need = |is_there: bool, what: String| {
        if !is_there {
            faults.push(format!("there is no {what}"))
        }
    };
    for (at, word) in words.iter().enumerate() {
        let word = &word.trim_end_matches([',', ':', '.']);
        let next = words.get(at + 1).copied().unwrap_or_default();
        let is_word = !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        match *word {
            "cargo" if is_word => {
                count += 1;
                need(CARGO.contains(&next) || known.aliases.iter().any(|alias| alias == next), format!("cargo {next}"));
            }
            // The command, not the package and not the binary of that name.
            "gatepost" if is_word && !next.starts_with('-') && !["-p", "--bin", "name:"].contains(&before) => {
                count += 1;
                need(known.subcommands.iter().any(|name| name == next), format!("gatepost {next}"));
            }
            "-p" if before != "mkdir" && !next.is_empty() => {
                need(known.packages.iter().any(|name| name == next), format!("package {next}"))
            }
            path if PLACES.iter().any(|place| path.starts_with(place)) && !path.contains("NAME") => {
                need(root().join(path).exists(), path.to_owned());
            }
            _ => {}
        }
    }
    (count, faults)
}

/// How paths within the repository begin.
const PLACES: [&str; 4] = ["envoy/", "plugin/", "host-tests/", ".ci/"];

/// What commands may name.
struct Known {
    aliases: Vec<String>,
    subcommands: Vec<String>,
    packages: Vec<String>,
}

/// Subcommands of cargo and of gatepost, packages and files, in every page.
#[test]
fn every_command_is_there() {
    let known = Known { aliases: aliases(), subcommands: subcommands(), packages: packages() };
    let (mut total, mut wrong) = (0, Vec::new());
    for page in &pages::all() {
        for (number, command) in commands(page) {
            let (count, faults) = faults(command, &known);
            total += count;
            wrong.extend(faults.into_iter().map(|fault| format!("{}:{number}: {fault}", page.path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(total > 60, "only {total} commands were found");
}

/// Each subcommand stands in the guide to operating.
#[test]
fn every_subcommand_is_told_of() {
    let operations = read("envoy/docs/operations.md");
    for name in subcommands() {
        assert!(operations.contains(&format!("cargo gatepost {name}")), "{name} is not in envoy/docs/operations.md");
    }
}
