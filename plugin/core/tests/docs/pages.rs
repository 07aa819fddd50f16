//! The Markdown pages of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    // This crate is in plugin/core.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A page.
pub struct Page {
    /// Relative to the root, as messages name it.
    pub path: PathBuf,
    pub text: String,
}

/// All of them, in the order of their paths.
pub fn all() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(Path::new(""), &mut pages);
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}

fn collect(directory: &Path, pages: &mut Vec<Page>) {
    for entry in fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = directory.join(&name);
        let is_ours = !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str());
        if is_ours && entry.file_type().unwrap().is_dir() {
            collect(&path, pages);
        } else if is_ours && name.ends_with(".md") {
            pages.push(Page { text: fs::read_to_string(entry.path()).unwrap(), path });
        }
    }
}

impl Page {
    /// The lines that are prose or tables, with their numbers from 1.
    pub fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        self.marked().filter_map(|(number, line, language)| language.is_none().then_some((number, line)))
    }

    /// The lines of the code blocks in this language, with their numbers from 1.
    pub fn code(&self, language: &str) -> impl Iterator<Item = (usize, &str)> {
        self.marked().filter_map(move |(number, line, of)| (of == Some(language)).then_some((number, line)))
    }

    /// The anchors that GitHub and GitLab give its headings.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for title in self.prose().filter_map(|(_, line)| heading(line)) {
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
            assert!(!anchors.contains(&anchor), "{}: two headings are called {title}", self.path.display());
            anchors.push(anchor);
        }
        anchors
    }

    /// Every line, its number, and the language of the code block it is in; a fence is in none and is left out.
    fn marked(&self) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
        let mut block = None;
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            match (line.trim_start().strip_prefix("```"), block) {
                (Some(language), None) => {
                    block = Some(language);
                    None
                }
                (Some(_), Some(_)) => {
                    block = None;
                    None
                }
                (None, block) => Some((at + 1, line, block)),
            }
        })
    }
}

/// The title, if this line is a heading.
pub fn heading(line: &str) -> Option<&str> {
    line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
}

/// What stands in the code spans of a line.
pub fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
