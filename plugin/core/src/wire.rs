//! The bytes of records in shared data: [postcard's format](https://postcard.jamesmunns.com/wire-format), by hand.
//!
//! What serde derives for the records is 14 KB more of the filter, and every worker loads the filter. So each type says
//! with `wire!` what its fields are, and a [`Reader`] that has failed once goes on with zeros: only the end of a record
//! asks whether it was there, instead of every field.
//!
//! - An integer of more than a byte is a varint: seven bits in a byte, the lowest first, the top bit says that more
//!   follow. One that is longer than need be is read; one with bits beyond its type is not.
//! - A `bool` is a byte, 0 or 1. An `Option` is a `bool` and the value. A `Duration` is its seconds and nanoseconds.
//! - Text and vectors are a varint, how many bytes or items, and these.
//! - A struct, a pair or an array is its fields. An enum is the number of the variant, a varint, and its fields.

use std::time::Duration;

/// Room for items that is made before they are read; beyond it a vector grows with what it holds.
const RESERVED: usize = 32;

/// What can be written.
pub trait Encode {
    /// Appends its bytes.
    fn put(&self, out: &mut Vec<u8>);

    /// Appends a vector of it.
    fn put_all(items: &[Self], out: &mut Vec<u8>)
    where
        Self: Sized,
    {
        put_length(items.len(), out);
        items.iter().for_each(|item| item.put(out));
    }
}

/// What can be read. Each takes a byte at least, so that a vector has no more items than there are bytes.
pub trait Decode: Sized {
    /// Reads what [`Encode::put`] wrote. Means nothing when the reader has failed.
    fn take(from: &mut Reader<'_>) -> Self;

    /// Reads a vector of it.
    fn take_all(from: &mut Reader<'_>) -> Vec<Self> {
        let length = from.length();
        let mut items = Vec::with_capacity(length.min(RESERVED));
        while items.len() < length && from.left.is_some() {
            items.push(Self::take(from));
        }
        items
    }
}

/// Bytes that are read from the front. Once it has failed, all it yields is zero and empty.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// `None`: something that was asked for was not there.
    left: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: Some(bytes) }
    }

    /// The bytes that were not read; `None` when something that was asked for was not there.
    pub fn rest(self) -> Option<&'a [u8]> {
        self.left
    }

    #[inline(never)]
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, left) = self.left.and_then(|left| left.split_at_checked(count)).unzip();
        self.left = left;
        bytes.unwrap_or_default()
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// A varint of a type with so many bits.
    #[inline(never)]
    fn varint(&mut self, bits: u32) -> u64 {
        let mut value = 0;
        let mut shift = 0;
        while shift < bits {
            let byte = self.byte();
            let part = u64::from(byte & 0x7f);
            if part >> (bits - shift).min(7) != 0 {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
        self.left = None;
        0
    }

    #[inline(never)]
    fn flag(&mut self) -> bool {
        let flag = self.byte();
        if flag > 1 {
            self.left = None;
        }
        flag == 1
    }

    /// A number of bytes or items that may be there.
    #[inline(never)]
    fn length(&mut self) -> usize {
        let length = self.varint(usize::BITS);
        match self.left {
            Some(left) if length <= left.len() as u64 => length as usize,
            _ => {
                self.left = None;
                0
            }
        }
    }

    /// The number of a variant, one of `known`; 0 when it has failed.
    #[inline(never)]
    pub fn variant(&mut self, known: &[u8]) -> u8 {
        match u8::try_from(self.varint(u32::BITS)) {
            Ok(number) if known.contains(&number) => number,
            _ => {
                self.left = None;
                0
            }
        }
    }
}

/// Appends a varint.
#[inline(never)]
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let part = (value & 0x7f) as u8;
        value >>= 7;
        let more = value != 0;
        out.push(part | u8::from(more) << 7);
        if !more {
            return;
        }
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    put_varint(length as u64, out);
}

#[inline(never)]
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// How the records' own types are written: `wire!(struct Name { fields })`, `wire!(struct Name(_))` or
/// `wire!(enum Name { 0 => Variant { fields }, 1 => Variant })`, in the order of the bytes. A field or a variant that is
/// left out does not compile. What changes it changes [`Record::VERSION`](crate::store::Record::VERSION).
macro_rules! wire {
    (struct $name:ident $(<$of:ident>)? { $($field:ident),* $(,)? }) => {
        impl $(<$of: $crate::wire::Encode>)? $crate::wire::Encode for $name $(<$of>)? {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::wire::Encode::put($field, out);)*
            }
        }

        impl $(<$of: $crate::wire::Decode>)? $crate::wire::Decode for $name $(<$of>)? {
            fn take(from: &mut $crate::wire::Reader<'_>) -> Self {
                Self { $($field: $crate::wire::Decode::take(from)),* }
            }
        }
    };
    (struct $name:ident(_)) => {
        impl $crate::wire::Encode for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self(inner) = self;
                $crate::wire::Encode::put(inner, out);
            }
        }

        impl $crate::wire::Decode for $name {
            fn take(from: &mut $crate::wire::Reader<'_>) -> Self {
                Self($crate::wire::Decode::take(from))
            }
        }
    };
    (enum $name:ident {
        0 => $first:ident $({ $($of_first:ident),* })?
        $(, $number:literal => $variant:ident $({ $($field:ident),* })?)* $(,)?
    }) => {
        impl $crate::wire::Encode for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let number = match self {
                    Self::$first { .. } => 0,
                    $(Self::$variant { .. } => $number,)*
                };
                $crate::wire::put_varint(number, out);
                match self {
                    Self::$first $({ $($of_first),* })? => { $($($crate::wire::Encode::put($of_first, out);)*)? }
                    $(Self::$variant $({ $($field),* })? => { $($($crate::wire::Encode::put($field, out);)*)? })*
                }
            }
        }

        impl $crate::wire::Decode for $name {
            fn take(from: &mut $crate::wire::Reader<'_>) -> Self {
                match from.variant(&[0 $(, $number)*]) {
                    $($number => Self::$variant $({ $($field: $crate::wire::Decode::take(from)),* })?,)*
                    _ => Self::$first $({ $($of_first: $crate::wire::Decode::take(from)),* })?,
                }
            }
        }
    };
}
pub(crate) use wire;

/// The integers that are varints.
macro_rules! varint {
    ($($integer:ident)*) => {$(
        impl Encode for $integer {
            fn put(&self, out: &mut Vec<u8>) {
                put_varint(u64::from(*self), out);
            }
        }

        impl Decode for $integer {
            fn take(from: &mut Reader<'_>) -> Self {
                // It has no more bits than that.
                from.varint($integer::BITS) as $integer
            }
        }
    )*};
}
varint!(u16 u32 u64);

impl Encode for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn put_all(items: &[Self], out: &mut Vec<u8>) {
        put_bytes(items, out);
    }
}

impl Decode for u8 {
    fn take(from: &mut Reader<'_>) -> Self {
        from.byte()
    }

    #[inline(never)]
    fn take_all(from: &mut Reader<'_>) -> Vec<Self> {
        let length = from.length();
        from.bytes(length).to_vec()
    }
}

impl Encode for [u8; 16] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl Decode for [u8; 16] {
    fn take(from: &mut Reader<'_>) -> Self {
        from.bytes(16).try_into().unwrap_or_default()
    }
}

impl Encode for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn take(from: &mut Reader<'_>) -> Self {
        from.flag()
    }
}

impl<T: Encode> Encode for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn take(from: &mut Reader<'_>) -> Self {
        from.flag().then(|| T::take(from))
    }
}

impl Encode for &str {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
}

impl Encode for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }
}

impl Decode for String {
    #[inline(never)]
    fn take(from: &mut Reader<'_>) -> Self {
        Self::from_utf8(Vec::take(from)).unwrap_or_else(|_| {
            from.left = None;
            Self::new()
        })
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put_all(self, out);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn take(from: &mut Reader<'_>) -> Self {
        T::take_all(from)
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn take(from: &mut Reader<'_>) -> Self {
        (A::take(from), B::take(from))
    }
}

impl Encode for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        self.subsec_nanos().put(out);
    }
}

impl Decode for Duration {
    #[inline(never)]
    fn take(from: &mut Reader<'_>) -> Self {
        let whole = Self::from_secs(u64::take(from));
        let part = Self::from_nanos(u32::take(from).into());
        whole.checked_add(part).unwrap_or_else(|| {
            from.left = None;
            Self::ZERO
        })
    }
}

#[cfg(test)]
mod tests;
