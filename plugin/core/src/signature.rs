//! Signatures, one scheme a file: what is signed, and which headers say so.

pub mod timestamped;
