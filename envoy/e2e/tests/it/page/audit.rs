//! Can the page be read and used: by whoever sees it, on a phone too, and by whoever has it read out.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use gatepost_e2e::browser::Browser;
use serde_json::{Value, json};

/// What is wrong with the page as it stands; empty when nothing is.
pub(super) fn audit(browser: &Browser) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let seen = browser.run(SIGHT, &json!([]))?;
    problems.extend(seen.as_array().context("a list")?.iter().filter_map(Value::as_str).map(str::to_owned));
    problems.extend(read_out(&browser.devtools("Accessibility.getFullAXTree", &json!({}))?)?);
    Ok(problems)
}

/// Chromium's own account of what a screen reader gets.
fn read_out(tree: &Value) -> Result<Vec<String>> {
    const CONTROLS: [&str; 8] = ["button", "link", "textbox", "combobox", "radio", "spinbutton", "image", "dialog"];
    let (mut problems, mut roles) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for node in tree.get("nodes").and_then(Value::as_array).context("a tree has nodes")? {
        let text = |pointer| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (role, name) = (text("/role/value"), text("/name/value"));
        if node.get("ignored") == Some(&json!(true)) {
            continue;
        }
        *roles.entry(role).or_default() += 1;
        if name.trim().is_empty() && (CONTROLS.contains(&role) || ["table", "region", "heading"].contains(&role)) {
            problems.push(format!("a {role} without a name: {node}"));
        }
    }
    let count = |role| roles.get(role).copied().unwrap_or_default();
    for role in ["banner", "main"] {
        // An open dialog is all there is.
        if count(role) + count("dialog") != 1 {
            problems.push(format!("{} landmarks {role}", count(role)));
        }
    }
    // However a table is laid out, it is read out as one.
    if count("table") > 0 && (count("rowheader") == 0 || count("columnheader") == 0 || count("cell") == 0) {
        problems.push(format!("tables without headers or cells: {roles:?}"));
    }
    Ok(problems)
}

/// What is drawn: contrast (WCAG 2.2, 1.4.3), the size of what is pressed (2.5.8), the width (1.4.10), headings, labels.
const SIGHT: &str = r"
const problems = [];
const parse = color => {
  const parts = color.match(/[\d.]+/g).map(Number);
  return parts.length < 4 ? [...parts.slice(0, 3), 1] : parts;
};
const luminance = rgb => {
  const [r, g, b] = rgb.map(value => value / 255).map(value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const ground = node => {
  for (; node; node = node.parentElement) {
    const color = parse(getComputedStyle(node).backgroundColor);
    if (color[3] === 1) return color.slice(0, 3);
    if (color[3] > 0) problems.push('a ground one can see through: ' + node.outerHTML.slice(0, 80));
  }
  return [255, 255, 255];
};
const isShown = node => node.checkVisibility({opacityProperty: true, visibilityProperty: true});
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !isShown(node) || /^(SCRIPT|STYLE|NOSCRIPT|OPTION)$/.test(node.tagName)) continue;
  if (node.closest('svg') || node.disabled) continue;
  const [a, b] = [luminance(parse(getComputedStyle(node).color).slice(0, 3)), luminance(ground(node))];
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
}
for (const node of document.querySelectorAll('button, input, select, a')) {
  const {width, height, left} = node.getBoundingClientRect();
  const isSmall = node.type === 'radio' ? node.closest('label').getBoundingClientRect().height < 24 : Math.min(width, height) < 24;
  if (isShown(node) && left >= 0 && isSmall) problems.push(`pressed at ${width} × ${height}: ${node.outerHTML.slice(0, 80)}`);
}
if (document.documentElement.scrollWidth > innerWidth)
  problems.push(`${document.documentElement.scrollWidth} wide in a window of ${innerWidth}`);
for (const node of document.querySelectorAll('main *'))
  if (isShown(node) && !node.closest('thead') && node.getBoundingClientRect().right > innerWidth + 1)
    problems.push('over the edge: ' + node.outerHTML.slice(0, 80));
const levels = [...document.querySelectorAll('h1, h2, h3, h4')].filter(isShown).map(node => +node.tagName[1]);
if (levels[0] !== 1 || levels.some((level, at) => level > (levels[at - 1] ?? 1) + 1)) problems.push('headings: ' + levels);
if (!document.documentElement.lang || !document.title) problems.push('no language, or no title');
const ids = [...document.querySelectorAll('[id]')].map(node => node.id);
if (new Set(ids).size < ids.length) problems.push('an id twice');
for (const [name] of [['aria-labelledby'], ['aria-describedby'], ['for']])
  for (const node of document.querySelectorAll(`[${name}]`))
    for (const id of node.getAttribute(name).split(' '))
      if (!document.getElementById(id)) problems.push(`${name} names nothing: ${id}`);
return problems;
";
