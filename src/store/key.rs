//! Keys as bytes whose order is the order of the keys.
//!
//! Numbers are big-endian (signed ones with the sign bit turned), texts are escaped and end in two
//! zero bytes, so that the bytes of a tuple's first parts are a prefix of all keys that begin with them.

use crate::base::{
    AuditId, DeliveryId, EndpointId, EventId, IncidentId, KeyId, PairId, SessionId, TaskId, Timestamp,
};
use crate::model::ChatId;

/// A key, or the first part of one, that can be written as bytes in order.
pub trait KeyBytes: Sized {
    /// Appends the key's bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes the key off the front of `input`; none if the bytes are not such a key.
    fn read(input: &mut &[u8]) -> Option<Self>;
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

impl<const N: usize> KeyBytes for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input, N)?.try_into().ok()
    }
}

macro_rules! numbers {
    ($($unsigned:ty, $signed:ty;)*) => {$(
        impl KeyBytes for $unsigned {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn read(input: &mut &[u8]) -> Option<Self> {
                Some(Self::from_be_bytes(KeyBytes::read(input)?))
            }
        }

        impl KeyBytes for $signed {
            fn write(&self, out: &mut Vec<u8>) {
                (self.cast_unsigned() ^ <$signed>::MIN.cast_unsigned()).write(out);
            }

            fn read(input: &mut &[u8]) -> Option<Self> {
                Some((<$unsigned>::read(input)? ^ <$signed>::MIN.cast_unsigned()).cast_signed())
            }
        }
    )*};
}

numbers! { u8, i8; u16, i16; u32, i32; u64, i64; }

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl KeyBytes for $id {
            fn write(&self, out: &mut Vec<u8>) {
                self.to_bytes().write(out);
            }

            fn read(input: &mut &[u8]) -> Option<Self> {
                Some(Self::from_bytes(KeyBytes::read(input)?))
            }
        }
    )*};
}

ids! { SessionId PairId EndpointId EventId DeliveryId TaskId IncidentId KeyId AuditId }

impl KeyBytes for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        i64::read(input).map(Self)
    }
}

impl KeyBytes for ChatId {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        i64::read(input).map(Self)
    }
}

impl KeyBytes for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        match u8::read(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl KeyBytes for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        for byte in self {
            out.push(*byte);
            if *byte == 0 {
                out.push(0xff);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            match u8::read(input)? {
                0 => match u8::read(input)? {
                    0 => return Some(bytes),
                    0xff => bytes.push(0),
                    _ => return None,
                },
                byte => bytes.push(byte),
            }
        }
    }
}

impl KeyBytes for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().to_vec().write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        String::from_utf8(Vec::read(input)?).ok()
    }
}

impl KeyBytes for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

macro_rules! tuples {
    ($(($($part:ident $at:tt),+);)*) => {$(
        impl<$($part: KeyBytes),+> KeyBytes for ($($part,)+) {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$at.write(out);)+
            }

            fn read(input: &mut &[u8]) -> Option<Self> {
                Some(($($part::read(input)?,)+))
            }
        }
    )*};
}

tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(key: &impl KeyBytes) -> Vec<u8> {
        let mut out = Vec::new();
        key.write(&mut out);
        out
    }

    fn back<K: KeyBytes>(bytes: &[u8]) -> Option<K> {
        let mut rest = bytes;
        K::read(&mut rest).filter(|_| rest.is_empty())
    }

    type Mixed = (i64, String, u32, Vec<u8>, i32);

    proptest! {
        #[test]
        fn bytes_keep_the_order_and_lead_back(a: Mixed, b: Mixed) {
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
            prop_assert_eq!(back::<Mixed>(&bytes(&a)), Some(a));
        }

        #[test]
        fn short_texts_keep_their_order(a in "[\0a\u{ff}]{0,3}", b in "[\0a\u{ff}]{0,3}") {
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
        }

        #[test]
        fn the_first_parts_are_a_prefix(a: (i64, String), b: u64) {
            let whole = (a.0, a.1.clone(), b);
            prop_assert!(bytes(&whole).starts_with(&bytes(&a)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(input: Vec<u8>) {
            let _unused = back::<Mixed>(&input);
            let _unused = back::<(SessionId, ChatId, bool)>(&input);
        }
    }
}
