//! The documents of the fleet: what operators and the guard have decided, one truth for all gateways.
//!
//! A document is a JSON object, so that a person can read it with etcdctl. Each gateway has a copy of what it holds in its
//! shared data, where all workers read it and change it. One worker of each gateway keeps the copy and the store alike:
//! it writes what was changed here, by compare-and-swap, and takes over what was changed elsewhere.
//!
//! **Two gateways change one document at once.** The later one finds that the revision is another, and merges: each field
//! that it has changed itself since it last read the document keeps its value, every other one is the fleet's.
//!
//! **A gateway starts.** Until it has read the documents it attempts nothing, and takes no order that would change one;
//! events are accepted, and wait. When the store is away all that ends after three seconds: the config decides, and the
//! state and endpoints can be switched. When the store is back those orders are changes of the fleet's documents, except
//! where the fleet's word is younger. Nothing can be ordered about rollouts meanwhile, for nobody knows here how far they
//! have come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::operation::Revision;
use crate::store::Record;
use crate::store::keys::Stored;

/// The fields of a document.
pub type Fields = BTreeMap<String, Value>;

/// Reads a document; `None`: it is none.
pub fn decode(bytes: &[u8]) -> Option<Fields> {
    serde_json::from_slice(bytes).ok()
}

/// The bytes of a document.
pub fn encode(fields: &Fields) -> Vec<u8> {
    // Writing to memory fails only for a map whose keys are no text.
    serde_json::to_vec(fields).unwrap_or_default()
}

/// Merges what was changed here with what was changed elsewhere, since both were `base`.
pub fn merge(base: &Fields, here: &Fields, elsewhere: &Fields) -> Fields {
    let mut merged = elsewhere.clone();
    for key in here.keys().chain(base.keys()) {
        if here.get(key) != base.get(key) {
            match here.get(key) {
                Some(value) => drop(merged.insert(key.clone(), value.clone())),
                None => drop(merged.remove(key)),
            }
        }
    }
    merged
}

/// What a gateway knows of the documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FleetKnowledge {
    /// It has read them since its start, or is of no fleet.
    #[default]
    Read,
    /// It has just started, and waits for them.
    Awaited,
    /// It has waited for them in vain: the store is away.
    Missed,
}

/// The document as the fleet and this gateway last agreed on it, in shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The revision of the document.
    pub revision: Revision,
    /// The document.
    pub bytes: Vec<u8>,
}

impl Stored for Agreed {
    const NAME: &'static str = "agreed";
}

impl Record for Agreed {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn changes_of_two_gateways_to_different_fields_both_hold() {
        let base = fields(json!({"a": 1, "b": 1, "c": 1}));
        let here = fields(json!({"a": 2, "b": 1}));
        let elsewhere = fields(json!({"a": 1, "b": 3, "c": 1, "d": 4}));
        assert_eq!(merge(&base, &here, &elsewhere), fields(json!({"a": 2, "b": 3, "d": 4})));
    }

    fn any_fields() -> impl Strategy<Value = Fields> {
        proptest::collection::btree_map("[a-c]", (0..3i64).prop_map(Value::from), 0..3)
    }

    proptest! {
        #[test]
        fn without_a_change_here_the_fleets_document_holds(base in any_fields(), elsewhere in any_fields()) {
            prop_assert_eq!(merge(&base, &base, &elsewhere), elsewhere);
        }

        #[test]
        fn without_a_change_elsewhere_the_change_here_holds(base in any_fields(), here in any_fields()) {
            prop_assert_eq!(merge(&base, &here, &base), here);
        }

        #[test]
        fn a_document_is_read_as_it_was_written(document in any_fields()) {
            prop_assert_eq!(decode(&encode(&document)), Some(document));
        }
    }
}
