//! JSON (RFC 8259), read from the front. Whoever needs a tree builds it from these parts ([`crate::config`]), and who does
//! not skips what it does not want: serde_json with what it brings is 20 KB more of the filter.
//!
//! What is said of a text that is no JSON is what serde_json says of it, word for word: the tests compare.

/// What a read gives, or what is wrong and where. It quotes nothing of the text.
pub type Result<T> = std::result::Result<T, String>;

const EOF_STRING: &str = "EOF while parsing a string";
const EOF_VALUE: &str = "EOF while parsing a value";
const EXPECTED_IDENT: &str = "expected ident";
const EXPECTED_VALUE: &str = "expected value";
const INVALID_ESCAPE: &str = "invalid escape";
const INVALID_NUMBER: &str = "invalid number";
const LONE_SURROGATE: &str = "lone leading surrogate in hex escape";

/// An array or an object.
pub struct Container {
    close: u8,
    at_end: &'static str,
    expected: &'static str,
}

/// What `[` opens.
pub const ARRAY: &Container =
    &Container { close: b']', at_end: "EOF while parsing a list", expected: "expected `,` or `]`" };
/// What `{` opens.
pub const OBJECT: &Container =
    &Container { close: b'}', at_end: "EOF while parsing an object", expected: "expected `,` or `}`" };

/// A text and how far it was read.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the start of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is wrong, just before the byte that comes next.
    pub fn fault(&self, what: &str) -> String {
        self.fault_at(what, self.at)
    }

    /// What is wrong with the byte that comes next.
    pub fn fault_next(&self, what: &str) -> String {
        self.fault_at(what, self.text.len().min(self.at + 1))
    }

    #[inline(never)]
    fn fault_at(&self, what: &str, at: usize) -> String {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        format!("{what} at line {line} column {column}")
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.byte()?;
        self.at += 1;
        Some(byte)
    }

    /// The first byte behind white space. It is not read by that.
    #[inline(never)]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<()> {
        self.peek().map_or(Ok(()), |_| Err(self.fault_next("trailing characters")))
    }

    /// Reads a text that is one value, to its end.
    pub fn whole(mut self) -> Result<()> {
        self.skip()?;
        self.end()
    }

    /// Opens the container that comes next.
    pub fn open(&mut self) {
        self.at += 1;
    }

    /// Is there another value in the container? If not, it is closed.
    pub fn more(&mut self, container: &Container, is_first: bool) -> Result<bool> {
        match self.peek() {
            None => Err(self.fault_next(container.at_end)),
            Some(byte) if byte == container.close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.peek() {
                    None => Err(self.fault_next(EOF_VALUE)),
                    Some(byte) if byte == container.close => Err(self.fault_next("trailing comma")),
                    Some(_) => Ok(true),
                }
            }
            Some(_) => Err(self.fault_next(container.expected)),
        }
    }

    /// Reads a key and its colon.
    pub fn key(&mut self, mut text: Option<&mut String>) -> Result<()> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.fault_next("key must be a string")),
            None => return Err(self.fault_next(OBJECT.at_end)),
        }
        if let Some(text) = &mut text {
            text.clear();
        }
        self.string(text)?;
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.fault_next("expected `:`")),
            None => Err(self.fault_next(OBJECT.at_end)),
        }
    }

    /// Reads the string that comes next. What it stands for is appended to `text`; without it a lone surrogate, which
    /// stands for nothing, is no fault.
    #[inline(never)]
    pub fn string(&mut self, mut text: Option<&mut String>) -> Result<()> {
        self.at += 1;
        loop {
            let start = self.at;
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            if let Some(text) = &mut text {
                text.push_str(self.text.get(start..self.at).unwrap_or_default());
            }
            match self.byte() {
                None => return Err(self.fault(EOF_STRING)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(text.as_deref_mut())?;
                }
                Some(_) => {
                    let at = self.at + usize::from(text.is_some());
                    let what = "control character (\\u0000-\\u001F) found while parsing a string";
                    return Err(self.fault_at(what, at));
                }
            }
        }
    }

    fn escape(&mut self, text: Option<&mut String>) -> Result<()> {
        let Some(escape) = self.take() else { return Err(self.fault(EOF_STRING)) };
        let c = match (escape, &text) {
            (b'"' | b'\\' | b'/', _) => char::from(escape),
            (b'b', _) => '\u{8}',
            (b'f', _) => '\u{c}',
            (b'n', _) => '\n',
            (b'r', _) => '\r',
            (b't', _) => '\t',
            (b'u', Some(_)) => self.escaped_char()?,
            (b'u', None) => return self.unit().map(|_| ()),
            _ => return Err(self.fault(INVALID_ESCAPE)),
        };
        if let Some(text) = text {
            text.push(c);
        }
        Ok(())
    }

    /// The character of one `\u`, or of two for one beyond U+FFFF.
    fn escaped_char(&mut self) -> Result<char> {
        let mut code = self.unit()?;
        if let 0xd800..=0xdbff = code {
            for expected in *b"\\u" {
                match self.take() {
                    None => return Err(self.fault(EOF_STRING)),
                    Some(byte) if byte == expected => {}
                    Some(_) => return Err(self.fault("unexpected end of hex escape")),
                }
            }
            let low = self.unit()?.wrapping_sub(0xdc00);
            // Without its other half it stays a surrogate, which is no character.
            code = if low < 0x400 { 0x1_0000 + ((code - 0xd800) << 10) + low } else { code };
        }
        char::from_u32(code).ok_or_else(|| self.fault(LONE_SURROGATE))
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        self.at = self.text.len().min(self.at + 4);
        let Some(digits) = digits else { return Err(self.fault(EOF_STRING)) };
        let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?));
        unit.ok_or_else(|| self.fault(INVALID_ESCAPE))
    }

    /// Reads the number that comes next, and gives it as it is written. `at_end`: what is wrong where the text ends in it.
    fn digits_of(&mut self, at_end: &str) -> Result<&'a str> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.take() {
            Some(b'0') if self.byte().is_some_and(|byte| byte.is_ascii_digit()) => {
                return Err(self.fault_next(INVALID_NUMBER));
            }
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            Some(_) => return Err(self.fault(INVALID_NUMBER)),
            None => return Err(self.fault(at_end)),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            match self.byte() {
                Some(b'0'..=b'9') => self.digits(),
                Some(_) => return Err(self.fault_next(INVALID_NUMBER)),
                None => return Err(self.fault_next(at_end)),
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            match self.take() {
                Some(b'0'..=b'9') => self.digits(),
                Some(_) => return Err(self.fault(INVALID_NUMBER)),
                None => return Err(self.fault(at_end)),
            }
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
    }

    /// The number that comes next, as it is written.
    pub fn number(&mut self) -> Result<&'a str> {
        self.digits_of(EOF_VALUE)
    }

    /// `true`, `false` or `null`.
    fn word(&mut self, word: &str) -> Result<()> {
        for expected in word.bytes() {
            match self.take() {
                Some(byte) if byte == expected => {}
                Some(_) => return Err(self.fault(EXPECTED_IDENT)),
                None => return Err(self.fault(EOF_VALUE)),
            }
        }
        Ok(())
    }

    /// Reads the value that comes next, however deep it is, and gives it as it is written.
    pub fn skip(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        let mut open = Vec::new();
        loop {
            let mut is_first = false;
            match self.peek() {
                None => return Err(self.fault_next(EOF_VALUE)),
                Some(b'n') => self.word("null")?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'-' | b'0'..=b'9') => self.digits_of(INVALID_NUMBER).map(|_| ())?,
                Some(b'"') => self.string(None)?,
                Some(byte @ (b'[' | b'{')) => {
                    self.open();
                    open.push(if byte == b'[' { ARRAY } else { OBJECT });
                    is_first = true;
                }
                Some(_) => return Err(self.fault_next(EXPECTED_VALUE)),
            }
            // What it ends, and whether another value follows.
            let container = loop {
                let Some(container) = open.last() else {
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                };
                match self.peek() {
                    None => return Err(self.fault_next(container.at_end)),
                    Some(byte) if byte == container.close => {
                        self.at += 1;
                        open.pop();
                        is_first = false;
                    }
                    Some(_) if is_first => break container,
                    Some(b',') => {
                        self.at += 1;
                        break container;
                    }
                    Some(_) => return Err(self.fault_next(container.expected)),
                }
            };
            if container.close == OBJECT.close {
                self.key(None)?;
            }
        }
    }
}
