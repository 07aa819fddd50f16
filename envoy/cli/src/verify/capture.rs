//! A request as it was captured: its headers and the bytes of its body.

use anyhow::{Result, bail};
use serde_json::Value;

/// A captured request.
#[derive(Clone, Debug, Default)]
pub(super) struct Captured {
    /// Names in lower case, in the order they came.
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Captured {
    pub(super) fn new(headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Self { headers, body }
    }

    /// Every value of this header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How long the body is to be.
    pub(super) fn content_length(&self) -> Option<usize> {
        self.first("content-length")?.parse().ok()
    }
}

/// Reads a whole request: a request line or none, headers, an empty line, and the body to the last byte.
pub(super) fn request(bytes: &[u8]) -> Result<Captured> {
    let end = |gap: &[u8]| bytes.windows(gap.len()).position(|window| window == gap).map(|at| (at, at + gap.len()));
    let gap = match (end(b"\r\n\r\n"), end(b"\n\n")) {
        (Some(crlf), Some(lf)) => Some(crlf.min(lf)),
        (crlf, lf) => crlf.or(lf),
    };
    let Some((head, body)) = gap else {
        bail!("no empty line between the headers and the body: expected a request as it is on the wire");
    };
    let (head, body) = (bytes.get(..head).unwrap_or_default(), bytes.get(body..).unwrap_or_default());
    Ok(Captured::new(headers(head)?, body.to_vec()))
}

/// Reads headers, one a line as on the wire (with `>` before each as curl -v shows them, if you like), or as a JSON
/// object of strings and lists of strings, as many frameworks log them.
pub(super) fn headers(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(bytes);
    if text.trim_start().starts_with('{') {
        return json_headers(&text);
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.strip_prefix("> ").unwrap_or(line);
        let first = number == 0 && line.split_whitespace().next_back().is_some_and(|word| word.starts_with("HTTP/"));
        if first || line.trim().is_empty() || line.trim() == ">" {
            continue;
        }
        // A pseudo-header of HTTP/2 begins with a colon.
        let (name, value) = match line.strip_prefix(':') {
            Some(rest) => rest.split_once(':').map(|(name, value)| (format!(":{name}"), value)),
            None => line.split_once(':').map(|(name, value)| (name.to_owned(), value)),
        }
        .unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            bail!("line {} is not a header: expected `name: value`", number + 1);
        }
        headers.push((name, value.trim().to_owned()));
    }
    Ok(headers)
}

fn json_headers(text: &str) -> Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    for (name, value) in serde_json::from_str::<serde_json::Map<String, Value>>(text)? {
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values {
            let Value::String(value) = value else {
                bail!("header {name} in the JSON is not a string: expected a string or a list of strings");
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request off the wire is its headers and the bytes after the empty line.
    #[test]
    fn raw_http_request_splits_into_headers_and_body() {
        let captured = request(b"POST /hooks HTTP/1.1\r\nHost: a\r\nX-A:  b \r\n\r\n{\r\n\r\n}\n").unwrap();
        assert_eq!(captured.headers().collect::<Vec<_>>(), [("host", "a"), ("x-a", "b")]);
        assert_eq!(captured.body, b"{\r\n\r\n}\n");
        let captured = request(b"X-A: b\n\n\nbody").unwrap();
        assert_eq!(captured.body, b"\nbody");
    }

    #[test]
    fn headers_are_read_as_curl_shows_them_and_as_json() {
        let shown = headers(b"> POST / HTTP/2\n> :path: /a\n> x-a: b\n>\n").unwrap();
        assert_eq!(shown, [(":path".to_owned(), "/a".to_owned()), ("x-a".to_owned(), "b".to_owned())]);
        let logged = headers(br#"{"X-A": "b", "X-B": ["c", "d"]}"#).unwrap();
        assert_eq!(Captured::new(logged, vec![]).all("x-b"), ["c", "d"]);
    }

    #[test]
    fn what_is_no_header_is_an_error_with_its_line() {
        let error = headers(b"a: b\nnothing here\n").unwrap_err().to_string();
        assert_eq!(error, "line 2 is not a header: expected `name: value`");
        assert!(request(b"a: b\n").unwrap_err().to_string().starts_with("no empty line"));
        assert!(headers(br#"{"a": 1}"#).unwrap_err().to_string().starts_with("header a in the JSON is not a string"));
    }
}
