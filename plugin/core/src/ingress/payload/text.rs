//! The bytes of a JSON string as text, and text that is no JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::REDACTED;
use super::detect::{DataKinds, find, kinds};

/// What a JSON string stands for. It is bytes and not text, as a lone surrogate (`\ud83d`) has no UTF-8: serde_json gives
/// three bytes for it, which no detector takes for a letter.
pub(super) fn text_of(string: &RawValue) -> serde_json::Result<Cow<'_, [u8]>> {
    #[derive(Deserialize)]
    struct Bytes<'a>(#[serde(borrow)] Cow<'a, [u8]>);

    serde_json::from_str(string.get()).map(|Bytes(bytes)| bytes)
}

/// Text in which every finding is replaced. What stood beside one may be found only then; that a third pass finds
/// something takes text that was made for it, and all of that goes.
pub(super) fn redacted(text: &[u8], wanted: DataKinds) -> Vec<u8> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..3 {
        let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
        while let Some((_, place)) = find(&text, from, wanted) {
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
