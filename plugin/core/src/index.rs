//! An index of numbers by name: the map in this crate's look-up structures, which are built once and then only read.

/// An index of numbers by name: a sorted list. A look-up costs log2 n comparisons. An insertion moves the names behind
/// it: 4096 names of 16 B in descending order, the worst, move 128 MiB in all, some milliseconds for the largest
/// config.
#[derive(Debug, Default)]
pub(crate) struct Index(Vec<(Vec<u8>, usize)>);

impl Index {
    /// The number of this name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<usize> {
        let at = self.place(name).ok()?;
        self.0.get(at).map(|(_, number)| *number)
    }

    /// The number of this name; gives the name the number `fresh` if it has none.
    pub(crate) fn get_or_insert(&mut self, name: &[u8], fresh: usize) -> usize {
        match self.place(name) {
            Ok(at) => self.0.get(at).map_or(fresh, |(_, number)| *number),
            Err(at) => {
                self.0.insert(at, (name.to_vec(), fresh));
                fresh
            }
        }
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_slice().cmp(name))
    }
}

/// Adds an item to an ascending list that does not hold it yet. Items that come in order, as they mostly do, are
/// appended.
pub(crate) fn insert_ascending<T: Ord>(items: &mut Vec<T>, item: T) {
    if let Err(at) = items.binary_search(&item) {
        items.insert(at, item);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_keeps_its_first_number(names in prop::collection::vec("[a-c]{0,2}", 0..40), absent in "[a-d]{0,2}") {
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            for (number, name) in names.iter().enumerate() {
                let expected = *model.entry(name.clone()).or_insert(number);
                prop_assert_eq!(index.get_or_insert(name.as_bytes(), number), expected);
            }
            for name in names.iter().chain([&absent]) {
                prop_assert_eq!(index.get(name.as_bytes()), model.get(name).copied());
            }
        }

        #[test]
        fn items_ascend_and_stand_once(items: Vec<u8>) {
            let mut ascending = Vec::new();
            items.iter().for_each(|item| insert_ascending(&mut ascending, *item));
            let expected: BTreeSet<u8> = items.into_iter().collect();
            prop_assert_eq!(ascending, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
