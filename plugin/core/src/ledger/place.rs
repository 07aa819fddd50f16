//! The place of an event in the ledger.

/// The place of an event: its partition, and the slot in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the partition.
    pub partition: u32,
    /// The number of the slot.
    pub slot: u32,
}

impl Place {
    /// The place as one number: the partition in the upper 32 bits, the slot in the lower.
    pub fn number(self) -> u64 {
        u64::from(self.partition) << 32 | u64::from(self.slot)
    }

    /// The place to which [`number`](Self::number) gives this number.
    pub fn numbered(number: u64) -> Self {
        Self { partition: (number >> 32) as u32, slot: number as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_number_leads_back_to_its_place(partition: u32, slot: u32) {
            let place = Place { partition, slot };
            proptest::prop_assert_eq!(Place::numbered(place.number()), place);
        }
    }
}
