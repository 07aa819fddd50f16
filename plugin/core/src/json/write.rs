//! JSON, written a member at a time: a derived serialiser is a kilobyte of wasm for each type, this is one for all.

pub use super::quoted;

/// Writes one JSON value. The caller closes what it opens.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
}

/// The key of what stands in an array, or of the whole.
pub const NONE: &str = "";

impl Writer {
    /// Opens an object.
    pub fn object(&mut self, key: &str) {
        self.key(key);
        self.out.push('{');
    }

    /// Opens an array.
    pub fn array(&mut self, key: &str) {
        self.key(key);
        self.out.push('[');
    }

    /// Closes the object that was opened last.
    pub fn end_object(&mut self) {
        self.out.push('}');
    }

    /// Closes the array that was opened last.
    pub fn end_array(&mut self) {
        self.out.push(']');
    }

    /// A string.
    pub fn text(&mut self, key: &str, value: &str) {
        self.literal(key, &quoted(value));
    }

    /// A number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.literal(key, itoa::Buffer::new().format(value));
    }

    /// What is JSON already.
    pub fn literal(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }

    /// A number, or null.
    pub fn optional(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.literal(key, "null"),
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &str, value: bool) {
        self.literal(key, if value { "true" } else { "false" });
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn key(&mut self, key: &str) {
        if !self.out.is_empty() && !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
        if key != NONE {
            // Keys are ours: none needs escaping.
            self.out.extend(["\"", key, "\":"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::default();
        writer.object(NONE);
        writer.text("text", "a \"quoted\"\n{[line");
        writer.array("list");
        writer.number(NONE, u64::MAX);
        writer.boolean(NONE, true);
        writer.object(NONE);
        writer.optional("nothing", None);
        writer.optional("one", Some(1));
        writer.end_object();
        writer.array(NONE);
        writer.end_array();
        writer.end_array();
        writer.boolean("last", false);
        writer.end_object();
        let expected = json!({
            "text": "a \"quoted\"\n{[line", "list": [u64::MAX, true, {"nothing": null, "one": 1}, []], "last": false,
        });
        assert_eq!(serde_json::from_slice::<Value>(&writer.finish()).unwrap(), expected);
    }
}
