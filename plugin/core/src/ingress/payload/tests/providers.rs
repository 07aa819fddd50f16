//! Payloads of the shapes that well-known senders have: what the default config finds in each, and why.
//!
//! `testdata/providers/*.json`: the content type, the payload (JSON, or the text of a form), the findings in order, and
//! the reason for the verdict. The data are made up.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// Why this is the verdict.
    why: String,
    /// Each `kind pointer`; of those that cannot be read, the reason.
    verdict: Vec<String>,
    content_type: String,
    payload: Box<RawValue>,
}

#[test]
fn thirty_shapes_of_senders_have_their_verdicts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/providers");
    let mut wrong = Vec::new();
    let mut count = 0;
    let strict = rules(json!({"non_json": "reject"}));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sample: Sample = serde_json::from_slice(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // In the order of the file, which a tree of values would not keep. A form is a string.
        let text: String =
            serde_json::from_str(sample.payload.get()).unwrap_or_else(|_| sample.payload.get().to_owned());
        let content_type = Some(sample.content_type.as_bytes());
        let verdict = match inspect(&strict, &Outgoing { content_type, ..outgoing(text.as_bytes(), false) }) {
            Ok(inspected) => {
                let list = inspected.findings.list.iter();
                list.map(|finding| format!("{} {}", finding.kind.label(), finding.pointer)).collect()
            }
            Err(why) => vec![format!("unreadable: {why}")],
        };
        assert!(!sample.why.is_empty());
        count += 1;
        if verdict != sample.verdict {
            wrong.push((path.file_name().unwrap().to_owned(), verdict));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 30, "{count}");
}
