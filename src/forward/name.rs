//! The name of an effect, made before the effect happens.
//!
//! Telegram drops a send whose random id it has seen. Ours is a keyed hash of what is being copied
//! by whom, so that every try of one copy, after any crash, carries the same name.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::{PairId, SessionId};
use crate::model::{ChatId, MessageId};

/// What one part of one copy is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// The session that sends.
    pub(super) session: SessionId,
    pub(super) pair: PairId,
    pub(super) chat: ChatId,
    pub(super) message: MessageId,
    /// Which message of those that one source message becomes.
    pub(super) part: u32,
    /// 0, and one more each time it is deliberately sent anew.
    pub(super) version: u32,
}

impl Effect {
    /// Its random id: never 0, the same at every call with the same secret.
    pub(super) fn random_id(&self, secret: &[u8; 32]) -> i64 {
        let mut hash = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
        hash.update(b"trunkline forward effect");
        hash.update(&self.session.to_bytes());
        hash.update(&self.pair.to_bytes());
        hash.update(&self.chat.0.to_be_bytes());
        hash.update(&self.message.to_be_bytes());
        hash.update(&self.part.to_be_bytes());
        hash.update(&self.version.to_be_bytes());
        let digest = hash.finalize().into_bytes();
        let mut words = digest.chunks_exact(8).map(|chunk| {
            chunk
                .iter()
                .fold(0u64, |word, byte| word << 8 | u64::from(*byte))
                .cast_signed()
        });
        words.find(|word| *word != 0).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn effect() -> Effect {
        Effect {
            session: SessionId::from_bytes([1; 16]),
            pair: PairId::from_bytes([2; 16]),
            chat: ChatId(-100),
            message: 7,
            part: 0,
            version: 0,
        }
    }

    #[test]
    fn every_try_has_the_same_name() {
        assert_eq!(effect().random_id(&[9; 32]), effect().random_id(&[9; 32]));
        assert_ne!(effect().random_id(&[9; 32]), effect().random_id(&[8; 32]));
    }

    #[test]
    fn every_difference_makes_another_name() {
        let all = [
            effect(),
            Effect {
                session: SessionId::from_bytes([3; 16]),
                ..effect()
            },
            Effect {
                pair: PairId::from_bytes([3; 16]),
                ..effect()
            },
            Effect {
                chat: ChatId(-101),
                ..effect()
            },
            Effect {
                message: 8,
                ..effect()
            },
            Effect { part: 1, ..effect() },
            Effect {
                version: 1,
                ..effect()
            },
        ];
        let names: HashSet<i64> = all.iter().map(|effect| effect.random_id(&[9; 32])).collect();
        assert_eq!(names.len(), all.len());
        assert!(!names.contains(&0));
    }
}
