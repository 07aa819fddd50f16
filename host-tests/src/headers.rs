//! HTTP headers as Envoy keeps them: in order, names in lower case, values any bytes.

use std::fmt;

/// Headers or trailers, in the order they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    pairs: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// The first value under `name` (in lower case), when it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.first(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value under `name` (in lower case), as bytes.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Every pair, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Is there no pair?
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Adds a pair, beside any other of the same name.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.pairs.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
    }

    /// Makes this the only pair of its name.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Takes out every pair of this name.
    pub fn remove(&mut self, name: &str) {
        self.pairs.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)))).finish()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.add(name, value);
        }
        headers
    }
}
