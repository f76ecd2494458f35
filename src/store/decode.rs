//! Stored bytes as a value of a type.
//!
//! The decoder goes one call deeper for each list within a list, 1,024 deep if not told otherwise, which is more than a thread's
//! stack bears: bytes that nest like this would end the process. What is stored here does not nest so deep.

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::DeserializeOwned;

/// Lists and maps within each other: a caller's JSON may be 128 deep, and stands in a row of ours.
const DEEPEST: usize = 192;

/// The value that these bytes are.
pub fn decode<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, Error> {
    let mut source = Deserializer::from_read_ref(bytes);
    source.set_max_depth(DEEPEST);
    V::deserialize(&mut source)
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn lists_within_lists_end_in_an_error_and_not_in_the_stack() {
        let nested = |deep| [vec![0x91; deep], vec![0x01]].concat();
        assert!(decode::<IgnoredAny>(&nested(DEEPEST - 1)).is_ok());
        assert!(decode::<serde_json::Value>(&nested(DEEPEST - 1)).is_ok());
        for deep in [DEEPEST + 1, 1000, 1_000_000] {
            assert!(matches!(
                decode::<IgnoredAny>(&nested(deep)),
                Err(Error::DepthLimitExceeded)
            ));
        }
    }

    #[test]
    fn json_of_a_caller_is_read_as_deep_as_it_may_be() {
        let text = "[".repeat(127) + &"]".repeat(127);
        let json: serde_json::Value = serde_json::from_str(&text).expect("is taken");
        let row = rmp_serde::to_vec_named(&[[json]]).expect("serialises");
        assert!(decode::<[[serde_json::Value; 1]; 1]>(&row).is_ok());
    }

    #[test]
    fn rows_of_the_stores_own_are_an_error_at_worst_whatever_their_bytes() {
        use super::super::{apply, batch, bytes, fuzz::*, lane, restore};

        bears_any_bytes::<batch::JournalRow<crate::model::Event>>();
        bears_any_bytes::<lane::TaskRow>();
        bears_any_bytes::<lane::DeadRow>();
        bears_any_bytes::<lane::DeadKey>();
        bears_any_bytes::<apply::Meta>();
        bears_any_bytes::<restore::Restored>();
        bears_any_bytes::<bytes::Bytes>();
    }

    #[test]
    fn what_is_promised_and_does_not_come_is_an_error() {
        // A text of four gigabytes, a list of four thousand million texts.
        assert!(decode::<String>(&[0xdb, 0xff, 0xff, 0xff, 0xff, b'x']).is_err());
        assert!(decode::<Vec<String>>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0xa0]).is_err());
    }
}
