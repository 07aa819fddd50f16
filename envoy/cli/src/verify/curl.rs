//! A request as a curl command, such as a browser or an API client copies it.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::capture::Captured;
use crate::given;

/// Reads the headers and the body off a curl command; files it names are read as curl would.
pub(super) fn request(command: &str) -> Result<Captured> {
    let words =
        shlex::split(&ansi_c(command)).context("a quote is not closed: expected a curl command as one copies it")?;
    let mut words = words.into_iter().filter(|word| !word.trim().is_empty());
    if words.next().as_deref() != Some("curl") {
        bail!("expected a command that begins with `curl`");
    }
    let mut headers = Vec::new();
    let mut body: Option<Vec<u8>> = None;
    while let Some(word) = words.next() {
        let (option, mut value) = split(&word);
        let Some(kind) = kind(option) else { continue };
        if value.is_none() {
            value = Some(words.next().with_context(|| format!("{option} lacks its value"))?);
        }
        let value = value.unwrap_or_default();
        let part = match kind {
            OptionKind::Header => {
                let (name, value) = value.split_once(':').with_context(|| format!("{option} is not `name: value`"))?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
                continue;
            }
            OptionKind::Other => continue,
            OptionKind::Form => {
                bail!("{option} makes a multipart body with a random boundary: capture the body instead")
            }
            OptionKind::Raw => value.into_bytes(),
            OptionKind::Binary => file_or(&value)?,
            // Of a file curl takes line ends away here.
            OptionKind::Data => match value.strip_prefix('@') {
                Some(_) => file_or(&value)?.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect(),
                None => value.into_bytes(),
            },
        };
        body = Some(match body {
            None => part,
            Some(before) if option == "--json" => [before, part].concat(),
            Some(before) => [before.as_slice(), b"&", part.as_slice()].concat(),
        });
    }
    Ok(Captured::new(headers, body.unwrap_or_default()))
}

enum OptionKind {
    Header,
    Data,
    Raw,
    Binary,
    Form,
    /// Has a value, which does not matter here.
    Other,
}

/// `--option=value` and `-Ovalue` in two.
fn split(word: &str) -> (&str, Option<String>) {
    if let Some((option, value)) = word.split_once('=').filter(|(option, _)| option.starts_with("--")) {
        return (option, Some(value.to_owned()));
    }
    match word.split_at_checked(2) {
        Some((option, value)) if VALUED.contains(&option) && !value.is_empty() => (option, Some(value.to_owned())),
        _ => (word, None),
    }
}

fn kind(option: &str) -> Option<OptionKind> {
    Some(match option {
        "-H" | "--header" => OptionKind::Header,
        "-d" | "--data" | "--data-ascii" => OptionKind::Data,
        "--data-raw" => OptionKind::Raw,
        "--data-binary" | "--json" => OptionKind::Binary,
        "-F" | "--form" | "--data-urlencode" => OptionKind::Form,
        _ if VALUED.contains(&option) || VALUED_LONG.contains(&option) => OptionKind::Other,
        _ => return None,
    })
}

/// Short options with a value.
const VALUED: [&str; 16] =
    ["-H", "-d", "-F", "-X", "-u", "-A", "-e", "-b", "-o", "-m", "-x", "-w", "-K", "-E", "-c", "-T"];

/// Long options with a value that does not matter here.
const VALUED_LONG: [&str; 17] = [
    "--request",
    "--user",
    "--user-agent",
    "--referer",
    "--cookie",
    "--output",
    "--max-time",
    "--proxy",
    "--write-out",
    "--url",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "--cacert",
    "--cert",
    "--resolve",
];

fn file_or(value: &str) -> Result<Vec<u8>> {
    match value.strip_prefix('@') {
        Some("-") => bail!("the body comes from curl's stdin, which is not known here: put it into a file"),
        Some(file) => given::file("the file of the body,", Path::new(file)),
        None => Ok(value.as_bytes().to_vec()),
    }
}

/// `$'…'`, which Chrome writes for a body with line ends or quotes, as plain single quotes. It stands for itself
/// inside other quotes.
fn ansi_c(command: &str) -> String {
    let mut plain = String::with_capacity(command.len());
    let mut rest = command.chars().peekable();
    let mut quote = None;
    while let Some(character) = rest.next() {
        match (character, quote) {
            ('$', None) if rest.peek() == Some(&'\'') => {
                rest.next();
                // Within single quotes a shell reads everything as it is, but for the quote itself.
                plain.push('\'');
                plain.push_str(&quoted(&mut rest).replace('\'', "'\\''"));
                plain.push('\'');
                continue;
            }
            ('\\', None | Some('"')) => {
                plain.push(character);
                plain.extend(rest.next());
                continue;
            }
            ('\'' | '"', None) => quote = Some(character),
            _ if quote == Some(character) => quote = None,
            _ => {}
        }
        plain.push(character);
    }
    plain
}

/// The text up to the closing quote, without its escapes.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            '\'' => break,
            '\\' => match rest.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some(digits @ ('u' | 'x')) => {
                    let most = if digits == 'u' { 4 } else { 2 };
                    let mut code = 0;
                    for _ in 0..most {
                        let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(16)) else { break };
                        code = code * 16 + digit;
                        rest.next();
                    }
                    text.extend(char::from_u32(code));
                }
                other => text.extend(other),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_command_is_read_as_curl_reads_it() {
        let captured = request(
            "curl -sS -XPOST 'https://a/b' \\\n -H 'X-A: b' --header=X-B:c -u u:p -d 1 --data-raw '@2' --compressed",
        )
        .unwrap();
        assert_eq!(captured.headers().collect::<Vec<_>>(), [("x-a", "b"), ("x-b", "c")]);
        assert_eq!(captured.body, b"1&@2");
    }

    #[test]
    fn a_body_as_chrome_quotes_it_is_the_bytes_it_stands_for() {
        let captured = request(r#"curl u --data-raw $'{"a":"it\'s \u0021"}\n' -H "x: $'y'""#).unwrap();
        assert_eq!(captured.body, b"{\"a\":\"it's !\"}\n");
        assert_eq!(captured.first("x"), Some("$'y'"));
    }

    /// A file is taken whole by data binary and without line ends by data.
    #[test]
    fn curl_data_binary_keeps_line_ends_and_data_strips_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("body");
        fs::write(&file, "{\n}\n").unwrap();
        let body = |option: &str| request(&format!("curl u {option} @{}", file.display())).unwrap().body;
        assert_eq!(body("--data-binary"), b"{\n}\n");
        assert_eq!(body("-d"), b"{}");
    }

    #[test]
    fn what_cannot_be_known_is_an_error() {
        for (command, says) in [
            ("wget u", "begins with `curl`"),
            ("curl 'u", "a quote is not closed"),
            ("curl u -H", "-H lacks its value"),
            ("curl u -F a=b", "multipart"),
            ("curl u -d @-", "curl's stdin"),
            ("curl u -d @/nonexistent/file", "/nonexistent/file"),
        ] {
            let error = format!("{:#}", request(command).unwrap_err());
            assert!(error.contains(says), "{command}: {error}");
        }
    }
}
