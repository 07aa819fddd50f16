//! Where an event stands.

/// Where an event stands: in which partition, and in which of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The partition's number.
    pub partition: u32,
    /// The slot's.
    pub slot: u32,
}

impl Place {
    /// Both numbers in one.
    pub fn number(self) -> u64 {
        u64::from(self.partition) << 32 | u64::from(self.slot)
    }

    /// The place of this number.
    pub fn numbered(number: u64) -> Self {
        Self { partition: (number >> 32) as u32, slot: number as u32 }
    }
}
