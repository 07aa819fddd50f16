//! The keys of the shared store.
//!
//! A key is made of the filter's name, the [name of the value's type](Stored::NAME), and what tells one value of this
//! type from another: `gatepost/breaker/billing`, `gatepost/state/0/17`. Only this file puts keys together. A key knows
//! the type of its value, so no record is read under the key of another type.

use std::fmt::{self, Display};
use std::marker::PhantomData;

/// A type whose values stand in the store.
pub trait Stored {
    /// The name of the type in keys. No two types share a name; a test of the crate's sources checks that.
    const NAME: &'static str;
}

/// The keys of one filter. Filters of different names share nothing.
#[derive(Clone, Debug)]
pub struct Keys {
    filter: String,
}

impl Keys {
    /// The keys of the filter of this name.
    pub fn new(filter: &str) -> Self {
        Self { filter: filter.to_owned() }
    }

    /// The name of the filter.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// The key of the only `R` of the filter.
    pub fn single<R: Stored>(&self) -> StoreKey<R> {
        StoreKey::new(format!("{}/{}", self.filter, R::NAME))
    }

    /// The key of the `R` that belongs to `owner`.
    pub fn of<R: Stored>(&self, owner: impl Display) -> StoreKey<R> {
        StoreKey::new(format!("{}/{}/{owner}", self.filter, R::NAME))
    }

    /// The key of the `R` that belongs to `owner` and, among those, to `part`.
    pub fn of_part<R: Stored>(&self, owner: impl Display, part: impl Display) -> StoreKey<R> {
        StoreKey::new(format!("{}/{}/{owner}/{part}", self.filter, R::NAME))
    }

    /// The keys of all `R`, which are numbered.
    pub fn row<R: Stored>(&self) -> KeyRow<R> {
        KeyRow { before: format!("{}/{}/", self.filter, R::NAME), value: PhantomData }
    }

    /// The keys of all `R` that belong to `owner`, which are numbered.
    pub fn row_of<R: Stored>(&self, owner: impl Display) -> KeyRow<R> {
        KeyRow { before: format!("{}/{}/{owner}/", self.filter, R::NAME), value: PhantomData }
    }
}

/// The key of one value of type `R`.
pub struct StoreKey<R> {
    text: String,
    value: PhantomData<fn() -> R>,
}

impl<R> StoreKey<R> {
    fn new(text: String) -> Self {
        Self { text, value: PhantomData }
    }

    /// The key as the store has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

// Derived, `Clone` and `Debug` would ask the same of `R`.
impl<R> Clone for StoreKey<R> {
    fn clone(&self) -> Self {
        Self::new(self.text.clone())
    }
}

impl<R> fmt::Debug for StoreKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The keys of values of type `R` that differ in a number.
pub struct KeyRow<R> {
    before: String,
    value: PhantomData<fn() -> R>,
}

impl<R> KeyRow<R> {
    /// The key with this number. Made several times for every event, so without the machinery of `format!`.
    pub fn at(&self, number: impl itoa::Integer) -> StoreKey<R> {
        StoreKey::new([&self.before, itoa::Buffer::new().format(number)].concat())
    }
}

impl<R> fmt::Debug for KeyRow<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;

    impl Stored for Sample {
        const NAME: &'static str = "sample";
    }

    #[test]
    fn a_key_names_the_filter_the_value_and_its_owner() {
        let keys = Keys::new("g");
        assert_eq!(keys.single::<Sample>().as_str(), "g/sample");
        assert_eq!(keys.of::<Sample>("billing").as_str(), "g/sample/billing");
        assert_eq!(keys.of_part::<Sample>("billing", 7).as_str(), "g/sample/billing/7");
        assert_eq!(keys.row::<Sample>().at(7u32).as_str(), "g/sample/7");
        assert_eq!(keys.row_of::<Sample>(3).at(7u32).as_str(), "g/sample/3/7");
    }
}
