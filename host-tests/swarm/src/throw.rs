//! The throw that decides which of several things happens.

use fastrand::Rng;

/// A throw of a thousand-sided die, of which each thing that may happen has a share.
#[derive(Debug)]
pub struct Throw(u32);

impl Throw {
    /// Throws.
    pub fn new(rng: &mut Rng) -> Self {
        Self(rng.u32(0..1000))
    }

    /// Says whether the next thing, of this share in a thousand, is what happens.
    pub fn falls(&mut self, share: u32) -> bool {
        let falls = self.0 < share;
        self.0 = self.0.saturating_sub(share);
        falls
    }
}
