//! The keys `secrets` and `signature`, of an endpoint that signs and of an inbound rule that verifies.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::custom;
use super::reader::{Node, Object, all};
use super::tree::Value;
use super::values::{choice, date};
use crate::headers;
use crate::secret::{Key, LiveKey, PrivateKey, PublicKey, Secret, Window};
use crate::signature::custom::{SecretForm, SignatureTable};
use crate::signature::standard::{PRIVATE, PUBLIC, SHARED};
use crate::signature::timestamped::{DEFAULT_PREFIX, Timestamped};
use crate::signature::{SECRETS_MAX, Scheme, Signature};
use crate::time::WallTime;

/// The expected value of a list of secrets.
const SECRETS: &str = "at least one {env: NAME}: a webhook without a signature proves nothing";
/// The largest number of schemes: one that receivers have, and one that they move to.
const SCHEMES_MAX: usize = 2;

/// The use of a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Endpoints sign.
    Sign,
    /// Inbound rules verify.
    Verify,
}

/// A secret that no scheme has read yet.
struct Raw<'a> {
    node: Node<'a>,
    text: Zeroizing<String>,
    window: Window,
}

/// Reads `secrets` and `signature` of an endpoint or rule.
pub(super) fn signatures(object: &Object<'_>, usage: Use) -> Option<Vec<Signature>> {
    let nodes = match object.get("signature") {
        None => Vec::new(),
        Some(node) => match node.value() {
            Value::List(_) => node.some_list(SCHEMES_MAX, "one {scheme: NAME}, or two while receivers migrate")?,
            _ => vec![node],
        },
    };
    let has_own = |node: &Node<'_>| node.field("secrets").is_some();
    let secrets = if !nodes.is_empty() && nodes.iter().all(has_own) {
        object.or("secrets", Vec::new(), secrets)
    } else {
        object.required("secrets", SECRETS, secrets)
    };
    if nodes.is_empty() {
        let (node, names) = (*object.node(), Timestamped::default());
        let style = Style { scheme: Scheme::Timestamped, names, table: None };
        return Some(vec![signature(&node, style, &secrets?, usage)?]);
    }
    let signatures = all(&nodes, |node| entry(node, secrets.as_deref(), usage))?;
    if let [first, second] = signatures.as_slice()
        && first.collides(second)
    {
        return nodes.last()?.problem("sets the same headers as the other one", "another scheme or header_prefix");
    }
    Some(signatures)
}

/// Reads one entry of `signature`; `inherited` are the secrets beside `signature`, for an entry that has none of its
/// own.
fn entry<'a>(node: &Node<'a>, inherited: Option<&[Raw<'a>]>, usage: Use) -> Option<Signature> {
    let keys = [&["scheme", "header_prefix", "secrets"][..], &custom::KEYS].concat();
    let object = node.object(&keys, &[])?;
    let scheme = object.or("scheme", Scheme::Timestamped, |node| {
        choice(node, &[&Scheme::ALL[..], &[(Scheme::CUSTOM, Scheme::Custom)]].concat(), &[])
    });
    let prefix = object.or("header_prefix", DEFAULT_PREFIX, header_prefix);
    let own = object.optional("secrets", secrets);
    let scheme = scheme?;
    if let Some(node) = object.get("header_prefix").filter(|_| scheme != Scheme::Timestamped) {
        return node.problem("has no place beside a scheme whose header names are fixed", "it to be left out");
    }
    let table = match scheme {
        Scheme::Custom => Some(custom::table(&object)?),
        _ => {
            let mut of_custom = custom::KEYS.iter().filter_map(|key| object.get(key));
            if let Some(node) = of_custom.next() {
                return node
                    .problem("has no place beside a scheme that is known by its name", "scheme: custom beside it");
            }
            match scheme {
                Scheme::Preset(name) => Some(custom::preset(node, name)?),
                _ => None,
            }
        }
    };
    let (style, own) = (Style { scheme, names: Timestamped::new(prefix?), table }, own?);
    signature(node, style, own.as_deref().or(inherited)?, usage)
}

/// A signature without its keys.
struct Style {
    scheme: Scheme,
    names: Timestamped,
    table: Option<SignatureTable>,
}

/// Whether a lower-case header has a meaning already: to the gateway, to Envoy, or in one of these signatures.
pub(super) fn is_taken(header: &str, signatures: &[Signature]) -> bool {
    let is_of_signature = signatures.iter().any(|signature| signature.header_names().contains(&header));
    is_of_signature || headers::belongs_to_the_gateway(header) || headers::is_envoys(header)
}

fn header_prefix<'a>(node: &Node<'a>) -> Option<&'a str> {
    const EXPECTED: &str = "the beginning of a header name, such as \"X-Webhook-\"";
    let text = node.text(EXPECTED)?;
    let fits = text.len() <= 64 && headers::is_name(text) && !headers::is_envoys(&text.to_ascii_lowercase());
    if fits { Some(text) } else { node.unfit(EXPECTED) }
}

fn secrets<'a>(node: &Node<'a>) -> Option<Vec<Raw<'a>>> {
    all(&node.some_list(SECRETS_MAX, SECRETS)?, secret)
}

fn secret<'a>(node: &Node<'a>) -> Option<Raw<'a>> {
    const EXPECTED: &str = "{env: NAME} or {value: \"..\"}";
    let object = node.object(&["env", "value", "not_before", "not_after"], &[])?;
    let not_before = object.optional("not_before", date);
    let not_after = object.optional("not_after", date);
    let (text, source) = match (object.get("env"), object.get("value")) {
        (Some(env), None) => (env.environment()?, env),
        (None, Some(value)) => (value.text("a string")?.to_owned(), value),
        (None, None) => return node.problem("is empty", EXPECTED),
        (Some(_), Some(_)) => return node.problem("has both env and value", EXPECTED),
    };
    if text.trim().is_empty() {
        return source.problem("gives an empty secret", "a secret that is not empty");
    }
    let window = Window { not_before: not_before?, not_after: not_after? };
    if let (Some(from), Some(until)) = (window.not_before, window.not_after)
        && from >= until
    {
        return node.problem("is never valid: not_before is not before not_after", "an earlier not_before");
    }
    Some(Raw { node: source, text: Zeroizing::new(text), window })
}

/// Makes the signature of a scheme from the secrets that the scheme can use. An endpoint needs one that is valid at any
/// time.
fn signature(node: &Node<'_>, style: Style, secrets: &[Raw<'_>], usage: Use) -> Option<Signature> {
    let keys =
        all(secrets, |raw| key(raw, &style, usage).map(|key| key.map(|key| LiveKey { key, window: raw.window })))?;
    let keys: Vec<LiveKey> = keys.into_iter().flatten().collect();
    if keys.is_empty() {
        return node.problem("has only Ed25519 keys, which are for scheme standard", "a shared secret");
    }
    match Window::gap(keys.iter().map(|key| key.window), WallTime::default()) {
        Some(from) if usage == Use::Sign => node.problem(
            &format!("has no valid secret at {from}: what is sent then could not be signed"),
            "secrets that leave no gap: one without not_before, one without not_after",
        ),
        _ => Some(Signature { scheme: style.scheme, names: style.names, table: style.table, keys }),
    }
}

/// Reads a secret as a key of a scheme; `Some(None)`: the secret is an Ed25519 key, and meant for scheme `standard`.
fn key(raw: &Raw<'_>, style: &Style, usage: Use) -> Option<Option<Key>> {
    let (node, text) = (&raw.node, raw.text.as_str());
    let (private, public) = (text.strip_prefix(PRIVATE), text.strip_prefix(PUBLIC));
    if let (Some(table), None, None) = (&style.table, private, public) {
        return of_table(table, node, text).map(|secret| Some(Key::Shared(secret)));
    }
    let key = match (style.scheme, private, public) {
        (Scheme::Standard, Some(private), _) if usage == Use::Sign => {
            bytes(private).and_then(|bytes| PrivateKey::new(&bytes)).map(Key::Private)
        }
        (Scheme::Standard, _, Some(public)) if usage == Use::Verify => {
            bytes(public).and_then(|bytes| PublicKey::new(&bytes)).map(Key::Public)
        }
        (Scheme::Standard, Some(_), _) => return node.problem("is a private key, where one verifies", "whpk_<base64>"),
        (Scheme::Standard, _, Some(_)) => return node.problem("is a public key, which signs nothing", "whsk_<base64>"),
        (Scheme::Standard, None, None) => bytes(text.strip_prefix(SHARED).unwrap_or(text))
            .and_then(|bytes| Secret::new(bytes.to_vec()))
            .map(Key::Shared),
        (_, None, None) => Secret::new(text.as_bytes().to_vec()).map(Key::Shared),
        _ => return Some(None),
    };
    const EXPECTED: &str =
        "whsec_<base64>, or an Ed25519 key: whsk_<base64 of 32 or 64 bytes>, whpk_<base64 of 32 bytes>";
    if key.is_none() { node.problem("is no key of scheme standard", EXPECTED) } else { Some(key) }
}

/// Reads a secret as a table has it.
fn of_table(table: &SignatureTable, node: &Node<'_>, text: &str) -> Option<Secret> {
    let secret = custom::secret_bytes(table.secret, text).and_then(|bytes| table.secret(bytes.to_vec()));
    let (what, expected) = match table.secret {
        SecretForm::Text => ("is empty", "a secret that is not empty"),
        SecretForm::Hex => ("is no hex", "the hex digits of the secret's bytes, as secret: hex says"),
        SecretForm::Base64 => ("is no base64", "the base64 of the secret's bytes, perhaps behind whsec_"),
    };
    secret.or_else(|| node.problem(what, expected))
}

fn bytes(base64: &str) -> Option<Zeroizing<Vec<u8>>> {
    Base64::decode_vec(base64).ok().map(Zeroizing::new)
}
