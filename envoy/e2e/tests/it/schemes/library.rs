//! A library, in a program that calls it: asked in lines of JSON, which `envoy/verifiers/python/verifier.py` documents.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::installed::{LANGUAGES, LibraryLanguage};

/// Names in lower case, each once.
pub type Headers = BTreeMap<String, String>;

/// What somebody else published.
#[derive(Clone)]
pub struct Library {
    pub language: LibraryLanguage,
    pub name: String,
    pub version: String,
    /// The name of the [`super::Scheme`].
    pub scheme: String,
    program: Arc<Mutex<Program>>,
}

impl Library {
    /// Why it refuses a webhook; `None`: it accepts.
    pub fn refusal(&self, secret: &str, headers: &Headers, body: &[u8]) -> Result<Option<String>> {
        let answer = self.ask(json!({"do": "verify", "secret": secret, "headers": headers, "body": encoded(body)}))?;
        if answer["ok"] == true {
            return Ok(None);
        }
        Ok(Some(answer["error"].as_str().with_context(|| format!("{self}: {answer}"))?.to_owned()))
    }

    /// The headers that it signs a webhook with.
    pub fn sign(&self, secret: &str, id: &str, timestamp: u64, body: &[u8]) -> Result<Headers> {
        let (id, body) = (json!(id), encoded(body));
        let mut answer =
            self.ask(json!({"do": "sign", "secret": secret, "id": id, "timestamp": timestamp, "body": body}))?;
        Ok(serde_json::from_value(answer["headers"].take())?)
    }

    fn ask(&self, mut question: Value) -> Result<Value> {
        question["library"] = json!(self.name);
        question["scheme"] = json!(self.scheme);
        self.program.lock().unwrap().ask(&question).with_context(|| self.to_string())
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?}) for {}", self.name, self.version, self.language, self.scheme)
    }
}

fn encoded(body: &[u8]) -> String {
    STANDARD.encode(body)
}

/// All libraries on this machine. Their programs are started once and end with this process, for then their stdin does.
pub fn all() -> Result<Vec<Library>> {
    static ALL: Mutex<Vec<Library>> = Mutex::new(Vec::new());
    let mut all = ALL.lock().unwrap();
    if all.is_empty() {
        for language in LANGUAGES {
            all.extend(Program::start(language)?);
        }
    }
    Ok(all.clone())
}

struct Program {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// The libraries of a program; none when its language is not on this machine.
    fn start(language: LibraryLanguage) -> Result<Vec<Library>> {
        let Some(mut command) = language.command()? else { return Ok(Vec::new()) };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().context("it has a stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("it has a stdout")?);
        let mut program = Self { _child: child, stdin, stdout };
        let mut known = program.hear().with_context(|| format!("{language:?}"))?;
        let entries: Vec<BTreeMap<String, String>> = serde_json::from_value(known["libraries"].take())?;
        let program = Arc::new(Mutex::new(program));
        let library = |mut entry: BTreeMap<String, String>| {
            let mut part =
                |key: &str| entry.remove(key).with_context(|| format!("a library of {language:?} without {key}"));
            let (name, version, scheme) = (part("name")?, part("version")?, part("scheme")?);
            Ok(Library { language, name, version, scheme, program: Arc::clone(&program) })
        };
        entries.into_iter().map(library).collect()
    }

    fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.stdin, "{question}")?;
        self.hear()
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.stdout.read_line(&mut line)? > 0, "the program ended; why stands above");
        Ok(serde_json::from_str(&line)?)
    }
}
