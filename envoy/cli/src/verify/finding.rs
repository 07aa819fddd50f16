//! What can be wrong with a request: a stable code for a script, and a sentence for a person.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Defect {
    pub(super) code: Code,
    /// A sentence or two; never a secret, never the body.
    pub(super) says: String,
}

impl Defect {
    pub(super) fn new(code: Code, says: impl Into<String>) -> Self {
        Self { code, says: says.into() }
    }
}

/// The kinds of fault; `gatepost verify --help` lists them from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Code {
    /// A header that the scheme needs is not there
    HeaderMissing,
    /// It is there twice, or two values were joined with a comma
    HeaderDoubled,
    /// It is there without a value
    HeaderEmpty,
    /// The headers have another prefix
    HeaderPrefix,
    /// The request is signed in the style of another scheme
    OtherScheme,
    /// The timestamp is not a number
    TimestampNotNumber,
    /// The timestamp is in seconds where milliseconds are due
    TimestampInSeconds,
    /// The timestamp is in milliseconds where seconds are due
    TimestampInMilliseconds,
    /// The timestamp is in micro- or nanoseconds
    TimestampUnit,
    /// The timestamp is older than --past
    TimestampTooOld,
    /// The timestamp is ahead of this clock by more than --future
    TimestampAhead,
    /// The signature is not hex
    SignatureNotHex,
    /// The signature has the wrong length
    SignatureLength,
    /// The signature is hex in upper case
    SignatureUpperCase,
    /// The signature is base64 where hex is due
    SignatureBase64,
    /// The signature is hex where base64 is due
    SignatureHex,
    /// The signature has a prefix the scheme does not have, or lacks the one it has
    SignaturePrefix,
    /// The signature is by a private key and the key given is a shared secret, or the other way round
    KeyKind,
    /// The body has a newline at its end that was not signed
    BodyNewlineAdded,
    /// The body lacks a newline at its end that was signed
    BodyNewlineMissing,
    /// Line ends were changed: CRLF and LF
    BodyLineEnds,
    /// A byte order mark was added or removed
    BodyByteOrderMark,
    /// The body was read as JSON and written again
    BodyReformatted,
    /// The body is shown in an encoding it was not signed in: base64, chunks
    BodyEncoded,
    /// The body is shorter than its content-length
    BodyTruncated,
    /// The body is longer than its content-length
    BodyTooLong,
    /// The body is not the one its digest header was made of
    BodyChanged,
    /// The signature is over an empty body
    BodyNotSigned,
    /// The body is the one that was sent (its digest says so), so the secret is another
    WrongSecret,
    /// The secret given has white space or quotes around it that the sender's has not
    SecretUntrimmed,
    /// The sender's secret has white space or quotes around it
    SecretPadded,
    /// The sender used the secret decoded from hex
    SecretHexDecoded,
    /// The sender used the secret decoded from base64
    SecretBase64Decoded,
    /// The sender used the secret's text where it is to be decoded
    SecretNotDecoded,
    /// The sender's secret is the same in another case
    SecretCase,
    /// The sender signed with an empty secret
    SecretEmpty,
    /// The sender signed with a placeholder
    SecretPlaceholder,
    /// Only the body was signed, without the timestamp
    SignedBodyOnly,
    /// The timestamp was signed in seconds
    SignedSeconds,
    /// The timestamp was signed in milliseconds
    SignedMilliseconds,
    /// Another timestamp of the headers was signed
    SignedOtherTimestamp,
    /// Timestamp and body were joined in another way
    SignedOtherLayout,
    /// Nothing explains it: the body or the secret differs
    BodyOrSecret,
}

impl Code {
    /// As scripts know it.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}
