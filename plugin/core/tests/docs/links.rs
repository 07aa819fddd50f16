//! Every link within the repository leads somewhere.

use std::path::{Component, Path, PathBuf};

use crate::pages::{self, Page, root};

/// The targets of a line's links, `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// A path without `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out of the repository", path.display()),
            other => plain.push(other),
        }
    }
    plain
}

/// What is wrong with a link of a page.
fn fault(page: &Page, target: &str, pages: &[Page]) -> Option<String> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => page.path.clone(),
        file => plain(&page.path.with_file_name("").join(file)),
    };
    if !root().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    let anchor = anchor?;
    let Some(target) = pages.iter().find(|page| page.path == path) else {
        return Some(format!("#{anchor} is in no page"));
    };
    (!target.anchors().iter().any(|known| known == anchor)).then(|| format!("there is no heading for #{anchor}"))
}

/// Files and anchors of relative links, in every page.
#[test]
fn every_link_leads_somewhere() {
    let pages = pages::all();
    let (mut faults, mut links) = (Vec::new(), 0);
    for page in &pages {
        for (number, line) in page.prose() {
            for target in targets(line).filter(|target| !target.contains("://")) {
                links += 1;
                if let Some(fault) = fault(page, target, &pages) {
                    faults.push(format!("{}:{number}: {target}: {fault}", page.path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(links > 50, "only {links} links were found");
}

/// Each page of `envoy/docs` is reached from the README, over links.
#[test]
fn every_page_is_reached_from_the_readme() {
    let pages = pages::all();
    let mut reached = vec![PathBuf::from("README.md")];
    let mut next = 0;
    while let Some(path) = reached.get(next).cloned() {
        next += 1;
        let Some(page) = pages.iter().find(|page| page.path == path) else { continue };
        let lines = page.prose().flat_map(|(_, line)| targets(line));
        for target in lines.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            let path = plain(&path.with_file_name("").join(file));
            if !reached.contains(&path) {
                reached.push(path);
            }
        }
    }
    for page in pages.iter().filter(|page| page.path.starts_with("envoy/docs")) {
        assert!(reached.contains(&page.path), "no link leads to {}", page.path.display());
    }
}
