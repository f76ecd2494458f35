//! The seal: authenticated encryption of values at rest, and where its key comes from.
//!
//! XChaCha20-Poly1305 with a random nonce a value; table and key are bound to it, so that a sealed value
//! cannot be moved to another row. It does not hide how many rows there are, their keys or their sizes.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::StoreError;
use crate::base::digits::unhex;
use crate::base::file;

const NONCE: usize = 24;
/// The name of the systemd credential.
const CREDENTIAL: &str = "trunkline-seal";
/// The environment variable.
const VARIABLE: &str = "TRUNKLINE_SEAL_KEY";
/// The file that is made if no key is given.
const OWN_FILE: &str = "seal.key";

/// A seal's key, wiped when it is dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// The installation's seal.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    /// What was sealed before, while its key is being replaced.
    former: Option<XChaCha20Poly1305>,
}

impl Seal {
    /// The seal of this key.
    pub fn new(key: &Key) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new((&**key).into()),
            former: None,
        }
    }

    /// The seal of a new key that opens what the former one sealed.
    pub fn between(new: &Key, former: &Key) -> Self {
        Self {
            former: Some(Self::new(former).cipher),
            ..Self::new(new)
        }
    }

    /// Encrypts a value of this row.
    pub fn seal(&self, table: &str, key: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the kernel's randomness is there once the process runs");
        let aad = bound_to(table, key);
        let payload = Payload {
            msg: plain,
            aad: &aad,
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("values are far below the cipher's limit of 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts a value of this row; none if it was sealed for another row or with another key, or changed.
    pub fn unseal(&self, table: &str, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let aad = bound_to(table, key);
        let by = |cipher: &XChaCha20Poly1305| {
            let payload = Payload {
                msg: sealed,
                aad: &aad,
            };
            cipher.decrypt(&XNonce::from(*nonce), payload).ok()
        };
        by(&self.cipher).or_else(|| by(self.former.as_ref()?))
    }
}

fn bound_to(table: &str, key: &[u8]) -> Vec<u8> {
    [table.as_bytes(), &[0], key].concat()
}

/// Where a seal key may be found, in the order in which it is looked for.
pub(super) struct Sources {
    credential: Option<PathBuf>,
    file: Option<PathBuf>,
    variable: Option<Zeroizing<String>>,
}

impl Sources {
    /// What this process was given.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|folder| PathBuf::from(folder).join(CREDENTIAL))
            .filter(|path| path.exists());
        Self {
            credential,
            file,
            variable: std::env::var(VARIABLE).ok().map(Zeroizing::new),
        }
    }

    /// Whether the key is the one beside the data.
    pub fn is_own(&self) -> bool {
        self.credential.is_none() && self.file.is_none() && self.variable.is_none()
    }

    /// The key, made beside the data if none was given and `make` allows it.
    pub fn key(&self, folder: &Path, make: bool) -> Result<Option<Key>, StoreError> {
        if let Some(path) = self.credential.as_ref().or(self.file.as_ref()) {
            return from_file(path).map(Some);
        }
        if let Some(text) = &self.variable {
            return parse(text.as_bytes(), VARIABLE).map(Some);
        }
        let path = folder.join(OWN_FILE);
        if path.exists() {
            return from_file(&path).map(Some);
        }
        if make { made(&path).map(Some) } else { Ok(None) }
    }
}

/// The key in a file.
pub(super) fn from_file(path: &Path) -> Result<Key, StoreError> {
    let bytes = fs::read(path).map_err(StoreError::file("read the seal key from", path))?;
    parse(&Zeroizing::new(bytes), &path.display().to_string())
}

fn parse(bytes: &[u8], origin: &str) -> Result<Key, StoreError> {
    let text = bytes.trim_ascii();
    let key = match text.len() {
        64 => unhex(text).map(Zeroizing::new),
        _ => STANDARD.decode(text).ok().map(Zeroizing::new),
    };
    let key: Option<[u8; 32]> = key.and_then(|key| key[..].try_into().ok());
    key.or_else(|| bytes.try_into().ok())
        .map(Zeroizing::new)
        .ok_or_else(|| StoreError::SealKey {
            what: format!(
                "the seal key in {origin} must be 32 bytes, written as 64 hexadecimal digits or in base64 \
             (openssl rand -hex 32)"
            ),
        })
}

/// A key that nobody knows yet.
pub(super) fn fresh() -> Key {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).expect("the kernel's randomness is there once the process runs");
    key
}

/// Puts another key into the place of the one beside the data.
pub(super) fn replace_own(folder: &Path, key: &Key) -> Result<(), StoreError> {
    let path = folder.join(OWN_FILE);
    write(&path, key).map_err(StoreError::file("replace the seal key", path))
}

fn made(path: &Path) -> Result<Key, StoreError> {
    let key = fresh();
    write(path, &key).map_err(StoreError::file("make the seal key", path))?;
    tracing::warn!(
        path = %path.display(),
        "no seal key was given, so one was made beside the data: whoever can read the data folder, or a copy of it, \
         can read the sealed values too; give one as the systemd credential trunkline-seal, and never lose it"
    );
    Ok(key)
}

/// Writes a key for the owner only; a kill leaves the file as it was or as it shall be.
fn write(path: &Path, key: &Key) -> std::io::Result<()> {
    let text: Zeroizing<String> = Zeroizing::new(key.iter().map(|byte| format!("{byte:02x}")).collect());
    file::replace(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_unchanged() {
        let seal = Seal::new(&Zeroizing::new([1; 32]));
        let sealed = seal.seal("session_auth", b"one", b"secret");
        assert_eq!(
            seal.unseal("session_auth", b"one", &sealed).as_deref(),
            Some(b"secret".as_slice())
        );
        assert_eq!(seal.unseal("session_auth", b"two", &sealed), None);
        assert_eq!(seal.unseal("logins", b"one", &sealed), None);
        assert_eq!(
            Seal::new(&Zeroizing::new([2; 32])).unseal("session_auth", b"one", &sealed),
            None
        );
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.unseal("session_auth", b"one", &changed), None);
        }
        assert_eq!(seal.unseal("session_auth", b"one", b"short"), None);
    }

    #[test]
    fn between_two_keys_both_open_and_the_new_one_seals() {
        let (old, new) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let between = Seal::between(&new, &old);
        let plain = Some(b"secret".to_vec());
        let before = Seal::new(&old).seal("pairs", b"one", b"secret");
        assert_eq!(between.unseal("pairs", b"one", &before), plain);
        let now = between.seal("pairs", b"one", b"secret");
        assert_eq!(Seal::new(&new).unseal("pairs", b"one", &now), plain);
        assert_eq!(Seal::new(&old).unseal("pairs", b"one", &now), None);
    }

    #[test]
    fn keys_are_read_in_their_usual_forms() {
        let key = [0xab; 32];
        for text in [
            "ab".repeat(32),
            format!("{}\n", "AB".repeat(32)),
            STANDARD.encode(key),
        ] {
            assert_eq!(parse(text.as_bytes(), "here").ok(), Some(Zeroizing::new(key)));
        }
        assert_eq!(parse(&key, "here").ok(), Some(Zeroizing::new(key)));
        let refused = parse(b"password", "the file")
            .expect_err("is refused")
            .to_string();
        assert!(refused.contains("the file") && !refused.contains("password"));
    }

    #[test]
    fn a_key_is_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = Sources {
            credential: None,
            file: None,
            variable: None,
        };
        assert_eq!(none.key(folder.path(), false).expect("looks"), None);
        let key = none.key(folder.path(), true).expect("makes").expect("is there");
        assert_eq!(none.key(folder.path(), true).expect("reads"), Some(key));
        let mode = fs::metadata(folder.path().join(OWN_FILE))
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let given = Sources {
            variable: Some(Zeroizing::new("cd".repeat(32))),
            ..none
        };
        assert_eq!(
            given.key(folder.path(), true).expect("reads"),
            Some(Zeroizing::new([0xcd; 32]))
        );
    }
}
