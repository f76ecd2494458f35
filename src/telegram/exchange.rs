//! The key exchange with a self-hosted MTProto server, whose RSA key comes from the config.
//!
//! grammers trusts only Telegram's own two RSA keys. A server with another key gets its auth key made
//! here, with grammers' crypto pieces and every check of
//! <https://core.telegram.org/mtproto/auth_key>; the key then goes into the DC option, and grammers
//! never starts an exchange of its own. The arithmetic is done where it holds nobody up.

use std::net::SocketAddr;
use std::time::Duration;

use grammers_client::sender::{InvocationError, Sender, ServerAddr};
use grammers_client::tl::{self, Cursor, Deserializable, Serializable};
use grammers_crypto::{AuthKey, aes, factorize, generate_key_data_from_nonce, rsa};
use grammers_mtproto::{mtp, transport};
use num_bigint::BigUint;
use sha1::{Digest, Sha1};

use super::heavy;
use super::server_key::ServerKey;

/// How long the whole exchange may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often the server may ask for another exponent before we give up.
const MAX_RETRIES: i64 = 5;

/// The prime that Telegram uses, known to be safe.
const KNOWN_PRIME: &str = concat!(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f",
    "48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37",
    "20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64",
    "2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4",
    "a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754",
    "fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4",
    "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f",
    "0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b",
);

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection failed or the server refused a step.
    #[error("the server did not go through the key exchange")]
    Step(#[from] InvocationError),
    /// The server does not have the configured RSA key.
    #[error("the server does not know the configured RSA key")]
    UnknownServerKey,
    /// A value of the server is not what the protocol demands.
    #[error("the server's answer breaks the protocol: {0}")]
    Violation(&'static str),
    /// The server gave up.
    #[error("the server ended the key exchange")]
    Refused,
    /// It took too long.
    #[error("the key exchange took longer than {} s", DEADLINE.as_secs())]
    Timeout,
}

type PlainSender = Sender<transport::Full, mtp::Plain>;

/// Makes a permanent auth key with the server at `address`.
///
/// # Errors
/// Any failed check or step; nothing is kept then.
pub async fn create_auth_key(address: SocketAddr, key: &ServerKey) -> Result<[u8; 256], ExchangeError> {
    tokio::time::timeout(DEADLINE, exchange(address, key))
        .await
        .map_err(|_| ExchangeError::Timeout)?
}

async fn exchange(address: SocketAddr, key: &ServerKey) -> Result<[u8; 256], ExchangeError> {
    let connected = Sender::connect(
        transport::Full::new(),
        mtp::Plain::new(),
        ServerAddr::Tcp { address },
    )
    .await;
    let mut sender: PlainSender = connected.map_err(InvocationError::from)?;

    let nonces = request_pq(&mut sender, key).await?;
    let params = request_dh_params(&mut sender, key, &nonces).await?;
    set_client_dh_params(&mut sender, &nonces, params).await
}

/// What the first step settled.
struct Nonces {
    client: [u8; 16],
    server: [u8; 16],
    new: [u8; 32],
    pq: u64,
}

async fn request_pq(sender: &mut PlainSender, key: &ServerKey) -> Result<Nonces, ExchangeError> {
    let client: [u8; 16] = random();
    let answer = sender
        .invoke(&tl::functions::ReqPqMulti { nonce: client })
        .await?;
    let tl::enums::ResPq::Pq(answer) = answer;
    require(answer.nonce == client, "nonce")?;
    let pq: [u8; 8] = answer
        .pq
        .as_slice()
        .try_into()
        .map_err(|_| ExchangeError::Violation("size of pq"))?;
    if !answer.server_public_key_fingerprints.contains(&key.fingerprint()) {
        return Err(ExchangeError::UnknownServerKey);
    }
    Ok(Nonces {
        client,
        server: answer.server_nonce,
        new: random(),
        pq: u64::from_be_bytes(pq),
    })
}

async fn request_dh_params(
    sender: &mut PlainSender,
    key: &ServerKey,
    nonces: &Nonces,
) -> Result<tl::types::ServerDhInnerData, ExchangeError> {
    let pq = nonces.pq;
    require(pq > 3, "pq")?;
    let (p, q) = heavy::run(move || factorize(pq)).await;
    require(p > 1 && p < q && p.checked_mul(q) == Some(pq), "pq")?;
    let inner = tl::enums::PQInnerData::Data(tl::types::PQInnerData {
        pq: minimal_bytes(pq),
        p: minimal_bytes(p),
        q: minimal_bytes(q),
        nonce: nonces.client,
        server_nonce: nonces.server,
        new_nonce: nonces.new,
    });
    let encrypted_data = rsa::encrypt_hashed(&inner.to_bytes(), key.rsa(), &random());
    let request = tl::functions::ReqDhParams {
        nonce: nonces.client,
        server_nonce: nonces.server,
        p: minimal_bytes(p),
        q: minimal_bytes(q),
        public_key_fingerprint: key.fingerprint(),
        encrypted_data,
    };
    match sender.invoke(&request).await? {
        tl::enums::ServerDhParams::Ok(answer) => {
            require(
                answer.nonce == nonces.client && answer.server_nonce == nonces.server,
                "nonce",
            )?;
            let data = open_answer(answer.encrypted_answer, nonces)?;
            let checked = data.clone();
            heavy::run(move || check_dh_params(&checked)).await?;
            Ok(data)
        }
        tl::enums::ServerDhParams::Fail(_) => Err(ExchangeError::Refused),
    }
}

async fn set_client_dh_params(
    sender: &mut PlainSender,
    nonces: &Nonces,
    params: tl::types::ServerDhInnerData,
) -> Result<[u8; 256], ExchangeError> {
    let mut retry_id = 0;
    for _ in 0..MAX_RETRIES {
        let given = params.clone();
        let (g_b, auth_key) = heavy::run(move || choose_exponent(&given)).await?;
        let inner = tl::enums::ClientDhInnerData::Data(tl::types::ClientDhInnerData {
            nonce: nonces.client,
            server_nonce: nonces.server,
            retry_id,
            g_b,
        });
        let request = tl::functions::SetClientDhParams {
            nonce: nonces.client,
            server_nonce: nonces.server,
            encrypted_data: seal_answer(&inner.to_bytes(), nonces),
        };
        let key = AuthKey::from_bytes(auth_key);
        let confirm = |nonce, server_nonce, hash: [u8; 16], number| {
            require(nonce == nonces.client && server_nonce == nonces.server, "nonce")?;
            require(
                hash == key.calc_new_nonce_hash(&nonces.new, number),
                "hash of the new nonce",
            )
        };
        match sender.invoke(&request).await? {
            tl::enums::SetClientDhParamsAnswer::DhGenOk(it) => {
                confirm(it.nonce, it.server_nonce, it.new_nonce_hash1, 1)?;
                return Ok(auth_key);
            }
            tl::enums::SetClientDhParamsAnswer::DhGenRetry(it) => {
                confirm(it.nonce, it.server_nonce, it.new_nonce_hash2, 2)?;
                retry_id = aux_hash(&auth_key);
            }
            tl::enums::SetClientDhParamsAnswer::DhGenFail(it) => {
                confirm(it.nonce, it.server_nonce, it.new_nonce_hash3, 3)?;
                return Err(ExchangeError::Refused);
            }
        }
    }
    Err(ExchangeError::Refused)
}

/// Decrypts the server's Diffie-Hellman parameters and checks their hash and nonces.
fn open_answer(
    mut encrypted: Vec<u8>,
    nonces: &Nonces,
) -> Result<tl::types::ServerDhInnerData, ExchangeError> {
    require(
        encrypted.len().is_multiple_of(16) && encrypted.len() > 20,
        "size of the answer",
    )?;
    let (key, iv) = generate_key_data_from_nonce(&nonces.server, &nonces.new);
    aes::ige_decrypt(&mut encrypted, &key, &iv);
    let (hash, plain) = encrypted.split_at(20);
    let mut cursor = Cursor::from_slice(plain);
    let tl::enums::ServerDhInnerData::Data(data) = tl::enums::ServerDhInnerData::deserialize(&mut cursor)
        .map_err(|_| ExchangeError::Violation("inner data"))?;
    require(
        hash == Sha1::digest(&plain[..cursor.pos()]).as_slice(),
        "hash of the inner data",
    )?;
    require(
        data.nonce == nonces.client && data.server_nonce == nonces.server,
        "nonce",
    )?;
    Ok(data)
}

/// Encrypts our inner data as the protocol demands: hash, data, padding to the cipher's block.
fn seal_answer(inner: &[u8], nonces: &Nonces) -> Vec<u8> {
    let mut plain = Sha1::digest(inner).to_vec();
    plain.extend_from_slice(inner);
    let padding: [u8; 16] = random();
    let missing = plain.len().next_multiple_of(16) - plain.len();
    plain.extend_from_slice(&padding[..missing]);
    let (key, iv) = generate_key_data_from_nonce(&nonces.server, &nonces.new);
    aes::ige_encrypt(&mut plain, &key, &iv);
    plain
}

/// The prime is a safe 2048-bit one, `g` generates a subgroup of prime order, `g_a` is in range.
fn check_dh_params(data: &tl::types::ServerDhInnerData) -> Result<(), ExchangeError> {
    let prime = BigUint::from_bytes_be(&data.dh_prime);
    check_group(&prime, data.g)?;
    require(
        in_range(&BigUint::from_bytes_be(&data.g_a), &prime),
        "range of g_a",
    )
}

/// The prime is a safe one of 2048 bits, and `g` generates a subgroup of prime order.
pub(super) fn check_group(prime: &BigUint, g: i32) -> Result<(), ExchangeError> {
    require(prime.bits() == 2048, "size of the prime")?;
    let known = BigUint::parse_bytes(KNOWN_PRIME.as_bytes(), 16);
    let safe = known.as_ref() == Some(prime) || glass_pumpkin::safe_prime::strong_check(prime);
    require(safe, "prime is not safe")?;
    require(generates_large_subgroup(prime, g), "generator")
}

/// The conditions of the protocol's page on `g` for a safe prime.
fn generates_large_subgroup(prime: &BigUint, g: i32) -> bool {
    let rest = |by: u32| u32::try_from(prime % by).unwrap_or_default();
    match g {
        2 => rest(8) == 7,
        3 => rest(3) == 2,
        4 => true,
        5 => matches!(rest(5), 1 | 4),
        6 => matches!(rest(24), 19 | 23),
        7 => matches!(rest(7), 3 | 5 | 6),
        _ => false,
    }
}

/// Between 2^1984 and the prime less 2^1984.
pub(super) fn in_range(value: &BigUint, prime: &BigUint) -> bool {
    let margin = BigUint::from(1u8) << (2048 - 64);
    *value > margin && *value < prime - &margin
}

/// Chooses our exponent: `g_b` for the server and the auth key for us.
fn choose_exponent(data: &tl::types::ServerDhInnerData) -> Result<(Vec<u8>, [u8; 256]), ExchangeError> {
    let prime = BigUint::from_bytes_be(&data.dh_prime);
    let g = BigUint::from(data.g.unsigned_abs());
    let b = BigUint::from_bytes_be(&random::<256>());
    let g_b = g.modpow(&b, &prime);
    require(in_range(&g_b, &prime), "range of g_b")?;
    let shared = BigUint::from_bytes_be(&data.g_a).modpow(&b, &prime).to_bytes_be();
    let mut auth_key = [0; 256];
    auth_key[256 - shared.len()..].copy_from_slice(&shared);
    Ok((g_b.to_bytes_be(), auth_key))
}

/// The first eight bytes of the key's SHA1, as the protocol's `retry_id`.
fn aux_hash(auth_key: &[u8; 256]) -> i64 {
    let digest = Sha1::digest(auth_key);
    i64::from_le_bytes(std::array::from_fn(|index| digest[index]))
}

fn minimal_bytes(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    bytes[(number.leading_zeros() / 8) as usize..].to_vec()
}

fn require(holds: bool, what: &'static str) -> Result<(), ExchangeError> {
    if holds {
        Ok(())
    } else {
        Err(ExchangeError::Violation(what))
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(g: i32, g_a: BigUint) -> tl::types::ServerDhInnerData {
        let prime = BigUint::parse_bytes(KNOWN_PRIME.as_bytes(), 16).expect("a number");
        tl::types::ServerDhInnerData {
            nonce: [1; 16],
            server_nonce: [2; 16],
            g,
            dh_prime: prime.to_bytes_be(),
            g_a: g_a.to_bytes_be(),
            server_time: 0,
        }
    }

    #[test]
    fn the_known_prime_with_three_passes() {
        let g_a = BigUint::from(1u8) << 2000;
        assert!(check_dh_params(&params(3, g_a)).is_ok());
    }

    #[test]
    fn weak_parameters_are_refused() {
        let good: BigUint = BigUint::from(1u8) << 2000;
        assert!(
            check_dh_params(&params(2, good.clone())).is_err(),
            "two generates a subgroup too small"
        );
        assert!(
            check_dh_params(&params(9, good.clone())).is_err(),
            "nine is none of the allowed"
        );
        assert!(
            check_dh_params(&params(3, BigUint::from(1u8))).is_err(),
            "g_a too small"
        );
        let mut composite = params(3, good);
        composite.dh_prime[255] ^= 2;
        assert!(check_dh_params(&composite).is_err(), "no prime");
    }

    #[test]
    fn both_sides_come_to_the_same_key() {
        let prime = BigUint::parse_bytes(KNOWN_PRIME.as_bytes(), 16).expect("a number");
        let a = BigUint::from_bytes_be(&random::<256>());
        let given = params(3, BigUint::from(3u8).modpow(&a, &prime));
        let (g_b, ours) = choose_exponent(&given).expect("an exponent");
        let theirs = BigUint::from_bytes_be(&g_b).modpow(&a, &prime);
        assert_eq!(BigUint::from_bytes_be(&ours), theirs);
    }

    #[test]
    fn numbers_lose_their_leading_zeros() {
        assert_eq!(minimal_bytes(0x0102), vec![1, 2]);
        assert_eq!(minimal_bytes(u64::MAX).len(), 8);
    }
}
