//! The text in a payload: what JSON strings stand for, and the redaction of text that is not JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::REDACTED;
use super::detect::{DataKinds, kinds, places};

/// The text that a JSON string stands for. It is bytes and not `str`, as a lone surrogate (`\ud83d`) has no UTF-8:
/// serde_json gives three bytes for it, which are not UTF-8.
pub(super) fn text_of(string: &RawValue) -> serde_json::Result<Cow<'_, [u8]>> {
    #[derive(Deserialize)]
    struct Bytes<'a>(#[serde(borrow)] Cow<'a, [u8]>);

    serde_json::from_str(string.get()).map(|Bytes(bytes)| bytes)
}

/// Whether a text tells anything: a blank text does not, nor does one that was redacted already.
pub(super) fn is_something(text: &[u8]) -> bool {
    !text.trim_ascii().is_empty() && text != REDACTED.as_bytes()
}

/// Replaces every finding in a text. What stands beside a finding may be found only when that is replaced, so the text
/// is gone through up to three times. Only a text that was made for that purpose has findings even then: it is replaced
/// as a whole.
pub(super) fn redacted(text: &[u8], wanted: DataKinds) -> Vec<u8> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..3 {
        let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
        for (_, place) in places(&text, wanted) {
            out.extend_from_slice(text.get(from..place.start).unwrap_or_default());
            out.extend_from_slice(REDACTED.as_bytes());
            from = place.end;
        }
        if from == 0 {
            return text.into_owned();
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
        text = Cow::Owned(out);
    }
    if kinds(&text, wanted) == DataKinds::NONE { text.into_owned() } else { REDACTED.as_bytes().to_vec() }
}
