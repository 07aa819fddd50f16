//! Puts the admin page together from its sources in `src/admin/page/`: one HTML file with everything in it, as small as
//! simple rules make it, compressed, and the Content-Security-Policy that allows just what is in it.
//!
//! The same sources make the same bytes: the gzip header holds no time.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const SOURCES: &str = "src/admin/page";

/// One module: what is used stands before what uses it.
const SCRIPTS: [&str; 9] = ["dom", "words", "gateway", "dialog", "actions", "endpoints", "fleet", "letters", "main"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCES}");
    let style = read("page.css", "{};:,>", |line| line.starts_with("/*") && line.ends_with("*/"))?;
    let mut script = String::new();
    for name in SCRIPTS {
        script.push_str(&read(&format!("{name}.js"), "{}()[]=<>?:;,&|*", |line| line.starts_with("//"))?);
    }
    let page = read("page.html", "", |line| line.starts_with("<!--") && line.ends_with("-->"))?;
    let page = insert(&insert(&page, "{style}", &style)?, "{script}", &script)?;
    let policy = [
        "default-src 'none'; script-src 'sha256-",
        &digest(&script),
        "'; style-src 'sha256-",
        &digest(&style),
        "'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ];
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("page.html.gz"), compress(page.as_bytes())?)?;
    fs::write(out.join("page.csp"), policy.concat())?;
    Ok(())
}

/// A source without its indentation, its empty lines, the lines that are a comment as a whole, and the spaces beside
/// these signs.
fn read(name: &str, signs: &str, is_comment: impl Fn(&str) -> bool) -> Result<String, Box<dyn Error>> {
    let path = Path::new(SOURCES).join(name);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut short = String::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if !line.is_empty() && !is_comment(line) {
            let line =
                tighten(line, signs).ok_or_else(|| format!("{}:{}: a quote stays open", path.display(), number + 1))?;
            short.push_str(&line);
            short.push('\n');
        }
    }
    Ok(short)
}

/// Takes the spaces beside these signs out of a line, but for what is quoted. A quote that is not closed is refused: over
/// several lines, or in a regular expression, it would turn inside and outside around.
fn tighten(line: &str, signs: &str) -> Option<String> {
    let (mut short, mut quote, mut is_escaped) = (String::new(), None, false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let is_beside = |other: Option<char>| other.is_some_and(|other| signs.contains(other));
        match quote {
            Some(open) => {
                quote = (character != open || is_escaped).then_some(open);
                is_escaped = character == '\\' && !is_escaped;
            }
            None if character == ' '
                && (is_beside(short.chars().next_back()) || is_beside(characters.peek().copied())) =>
            {
                continue;
            }
            None => quote = Some(character).filter(|character| !signs.is_empty() && "'\"`".contains(*character)),
        }
        short.push(character);
    }
    quote.is_none().then_some(short)
}

fn insert(page: &str, mark: &str, text: &str) -> Result<String, Box<dyn Error>> {
    let (before, after) = page.split_once(mark).ok_or_else(|| format!("page.html has no {mark}"))?;
    // It would end the element it stands in.
    if text.contains("</s") {
        return Err(format!("what replaces {mark} has an end tag in it").into());
    }
    Ok([before, text, after].concat())
}

/// As a policy names a source: the digest of what stands between the tags.
fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder =
        zopfli::GzipEncoder::new_buffered(zopfli::Options::default(), zopfli::BlockType::Dynamic, Vec::new())?;
    encoder.write_all(bytes)?;
    Ok(encoder.into_inner().map_err(|error| error.into_error())?.finish()?)
}
