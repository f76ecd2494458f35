//! The key exchange, the server's side: three questions, and what they make of a connection's runs.
//!
//! Pure but for randomness, and heavy: [`Exchange::answer`] belongs on a thread for blocking work. A query
//! repeated byte for byte gets the same answer; after a wrong one its run answers nothing but 404.

use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use grammers_tl_types as tl;
use num_bigint::BigUint;
use std::sync::Arc;
use tl::{Cursor, Deserializable, Identifiable, Serializable};

use super::cipher::AuthKey;
use super::numbers::two_primes;
use super::rsa::RsaKey;
use crate::sandbox::group::{G, PRIME, bytes_256, in_safe_range, random_exponent};
use crate::sandbox::hash::{part, sha1};

/// How many runs a connection may have under way.
const MAX_RUNS: usize = 16;

/// A wrong step, an unknown key, an undecryptable packet.
pub const NOT_FOUND: i32 = -404;
/// A data centre's number that is not ours.
pub const WRONG_DC: i32 = -444;

/// What comes of one query.
pub enum Outcome {
    /// An answer, in plain.
    Answer(Vec<u8>),
    /// An answer, and with it a key. The key must be known everywhere before the answer is sent.
    Created(Vec<u8>, NewKey),
    /// A transport error.
    Refused(i32),
}

/// What a run ended with.
#[derive(Clone)]
pub struct NewKey {
    /// The key.
    pub key: Box<AuthKey>,
    /// The salt that both sides know without having exchanged it.
    pub first_salt: i64,
    /// Seconds for which it holds, if the client wanted a temporary one.
    pub expires_in: Option<i32>,
}

/// One connection's exchanges.
pub struct Exchange {
    rsa: Arc<RsaKey>,
    dc: i32,
    runs: Vec<Run>,
}

struct Run {
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    step: Step,
    answered: Vec<(Vec<u8>, Vec<u8>)>,
}

enum Step {
    /// The client has to factorise and to choose its secret nonce.
    Parameters { p: u32, q: u32 },
    /// The client has to give its half of the key.
    ClientHalf {
        new_nonce: [u8; 32],
        a: BigUint,
        expires_in: Option<i32>,
    },
    /// The key is made.
    Done,
    /// It went wrong.
    Failed,
}

impl Exchange {
    /// A connection's beginning, in that data centre.
    pub fn new(rsa: Arc<RsaKey>, dc: i32) -> Self {
        Self {
            rsa,
            dc,
            runs: Vec::new(),
        }
    }

    /// Answers one plain query, at that unix time.
    pub fn answer(&mut self, query: &[u8], now: u64) -> Outcome {
        if let Some(known) = self.repeated(query) {
            return Outcome::Answer(known);
        }
        let Some((constructor, rest)) = query.split_first_chunk::<4>() else {
            return Outcome::Refused(NOT_FOUND);
        };
        let found = match u32::from_le_bytes(*constructor) {
            tl::functions::ReqPqMulti::CONSTRUCTOR_ID | tl::functions::ReqPq::CONSTRUCTOR_ID => {
                tl::functions::ReqPqMulti::from_bytes(rest)
                    .ok()
                    .map(|ask| self.begin(query, ask.nonce))
            }
            tl::functions::ReqDhParams::CONSTRUCTOR_ID => tl::functions::ReqDhParams::from_bytes(rest)
                .ok()
                .map(|ask| self.parameters(query, ask, now)),
            tl::functions::SetClientDhParams::CONSTRUCTOR_ID => {
                tl::functions::SetClientDhParams::from_bytes(rest)
                    .ok()
                    .map(|ask| self.finish(query, ask))
            }
            _ => None,
        };
        found.unwrap_or(Outcome::Refused(NOT_FOUND))
    }

    fn repeated(&self, query: &[u8]) -> Option<Vec<u8>> {
        let known = self.runs.iter().filter(|run| !matches!(run.step, Step::Failed));
        let mut answers = known.flat_map(|run| &run.answered);
        answers
            .find(|(asked, _)| asked == query)
            .map(|(_, answer)| answer.clone())
    }

    fn begin(&mut self, query: &[u8], nonce: [u8; 16]) -> Outcome {
        if self.runs.len() >= MAX_RUNS {
            self.runs.remove(0);
        }
        let (p, q) = two_primes();
        let server_nonce = rand::random();
        let answer = tl::enums::ResPq::Pq(tl::types::ResPq {
            nonce,
            server_nonce,
            pq: (u64::from(p) * u64::from(q)).to_be_bytes().to_vec(),
            server_public_key_fingerprints: vec![self.rsa.fingerprint()],
        })
        .to_bytes();
        let step = Step::Parameters { p, q };
        self.runs.push(Run {
            nonce,
            server_nonce,
            step,
            answered: vec![(query.to_vec(), answer.clone())],
        });
        Outcome::Answer(answer)
    }

    fn parameters(&mut self, query: &[u8], ask: tl::functions::ReqDhParams, now: u64) -> Outcome {
        let (rsa, dc) = (self.rsa.clone(), self.dc);
        let Some(run) = self.run(&ask.nonce, &ask.server_nonce) else {
            return Outcome::Refused(NOT_FOUND);
        };
        let Step::Parameters { p, q } = run.step else {
            return run.fail(NOT_FOUND);
        };
        let factors = [(&ask.p, p), (&ask.q, q)];
        let right = factors
            .iter()
            .all(|(given, prime)| same_number(given, u64::from(*prime)));
        if !right || ask.public_key_fingerprint != rsa.fingerprint() {
            return run.fail(NOT_FOUND);
        }
        let inner = rsa.decrypt(&ask.encrypted_data, |data| {
            Inner::read(data).map(|(_, length)| length)
        });
        let Some((inner, _)) = inner.as_deref().and_then(Inner::read) else {
            return run.fail(NOT_FOUND);
        };
        let factors = [
            (&inner.pq, u64::from(p) * u64::from(q)),
            (&inner.p, p.into()),
            (&inner.q, q.into()),
        ];
        if inner.nonce != run.nonce
            || inner.server_nonce != run.server_nonce
            || !factors.iter().all(|(given, number)| same_number(given, *number))
        {
            return run.fail(NOT_FOUND);
        }
        if inner.dc.is_some_and(|named| plain_dc(named) != dc) {
            return run.fail(WRONG_DC);
        }

        let (a, g_a) = half();
        let data = tl::enums::ServerDhInnerData::Data(tl::types::ServerDhInnerData {
            nonce: run.nonce,
            server_nonce: run.server_nonce,
            g: G as i32,
            dh_prime: bytes_256(&PRIME).to_vec(),
            g_a: bytes_256(&g_a).to_vec(),
            server_time: now as i32,
        })
        .to_bytes();
        let mut encrypted_answer = sha1(&[&data]).to_vec();
        encrypted_answer.extend_from_slice(&data);
        let padding = (16 - encrypted_answer.len() % 16) % 16;
        encrypted_answer.extend_from_slice(&rand::random::<[u8; 16]>()[..padding]);
        let (key, iv) = temporary_key(&inner.new_nonce, &run.server_nonce);
        ige_encrypt(&mut encrypted_answer, &key, &iv);
        run.step = Step::ClientHalf {
            new_nonce: inner.new_nonce,
            a,
            expires_in: inner.expires_in,
        };
        let answer = tl::enums::ServerDhParams::Ok(tl::types::ServerDhParamsOk {
            nonce: run.nonce,
            server_nonce: run.server_nonce,
            encrypted_answer,
        });
        Outcome::Answer(run.keep(query, answer.to_bytes()))
    }

    fn finish(&mut self, query: &[u8], ask: tl::functions::SetClientDhParams) -> Outcome {
        let Some(run) = self.run(&ask.nonce, &ask.server_nonce) else {
            return Outcome::Refused(NOT_FOUND);
        };
        let Step::ClientHalf {
            new_nonce,
            a,
            expires_in,
        } = &run.step
        else {
            return run.fail(NOT_FOUND);
        };
        let (new_nonce, expires_in) = (*new_nonce, *expires_in);
        let Some(inner) = client_half(ask.encrypted_data, &new_nonce, &run.server_nonce) else {
            return run.fail(NOT_FOUND);
        };
        let g_b = BigUint::from_bytes_be(&inner.g_b);
        if inner.nonce != run.nonce || inner.server_nonce != run.server_nonce || !in_safe_range(&g_b) {
            return run.fail(NOT_FOUND);
        }
        let key = Box::new(bytes_256(&g_b.modpow(a, &PRIME)));
        let key_hash = sha1(&[key.as_slice()]);
        let answer = tl::enums::SetClientDhParamsAnswer::DhGenOk(tl::types::DhGenOk {
            nonce: run.nonce,
            server_nonce: run.server_nonce,
            new_nonce_hash1: part(&sha1(&[&new_nonce, &[1], &key_hash[..8]]), 4),
        });
        let first_salt =
            i64::from_le_bytes(part(&new_nonce, 0)) ^ i64::from_le_bytes(part(&run.server_nonce, 0));
        run.step = Step::Done;
        let answer = run.keep(query, answer.to_bytes());
        Outcome::Created(
            answer,
            NewKey {
                key,
                first_salt,
                expires_in,
            },
        )
    }

    fn run(&mut self, nonce: &[u8; 16], server_nonce: &[u8; 16]) -> Option<&mut Run> {
        self.runs
            .iter_mut()
            .find(|run| run.nonce == *nonce && run.server_nonce == *server_nonce)
    }
}

impl Run {
    fn fail(&mut self, code: i32) -> Outcome {
        self.step = Step::Failed;
        Outcome::Refused(code)
    }

    fn keep(&mut self, query: &[u8], answer: Vec<u8>) -> Vec<u8> {
        self.answered.push((query.to_vec(), answer.clone()));
        answer
    }
}

/// The four forms of inner data as one.
struct Inner {
    pq: Vec<u8>,
    p: Vec<u8>,
    q: Vec<u8>,
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    new_nonce: [u8; 32],
    dc: Option<i32>,
    expires_in: Option<i32>,
}

impl Inner {
    /// The inner data that the bytes begin with, and its length.
    fn read(data: &[u8]) -> Option<(Self, usize)> {
        use tl::enums::PQInnerData as Form;
        let mut cursor = Cursor::from_slice(data);
        let form = Form::deserialize(&mut cursor).ok()?;
        macro_rules! inner {
            ($it:ident, $dc:expr, $expires_in:expr) => {
                Self {
                    pq: $it.pq,
                    p: $it.p,
                    q: $it.q,
                    nonce: $it.nonce,
                    server_nonce: $it.server_nonce,
                    new_nonce: $it.new_nonce,
                    dc: $dc,
                    expires_in: $expires_in,
                }
            };
        }
        let inner = match form {
            Form::Data(it) => inner!(it, None, None),
            Form::Dc(it) => inner!(it, Some(it.dc), None),
            Form::Temp(it) => inner!(it, None, Some(it.expires_in)),
            Form::TempDc(it) => inner!(it, Some(it.dc), Some(it.expires_in)),
        };
        Some((inner, cursor.pos()))
    }
}

/// Test centres are numbered from 10000, media ones are negative.
fn plain_dc(named: i32) -> i32 {
    named.saturating_abs() % 10_000
}

fn same_number(bytes: &[u8], number: u64) -> bool {
    BigUint::from_bytes_be(bytes) == BigUint::from(number)
}

/// A secret exponent and its public value.
fn half() -> (BigUint, BigUint) {
    loop {
        let a = random_exponent();
        let g_a = BigUint::from(G).modpow(&a, &PRIME);
        if in_safe_range(&g_a) {
            return (a, g_a);
        }
    }
}

fn client_half(
    mut encrypted: Vec<u8>,
    new_nonce: &[u8; 32],
    server_nonce: &[u8; 16],
) -> Option<tl::types::ClientDhInnerData> {
    if encrypted.len() < 32 || !encrypted.len().is_multiple_of(16) {
        return None;
    }
    let (key, iv) = temporary_key(new_nonce, server_nonce);
    ige_decrypt(&mut encrypted, &key, &iv);
    let (hash, padded) = encrypted.split_at(20);
    let mut cursor = Cursor::from_slice(padded);
    let tl::enums::ClientDhInnerData::Data(inner) =
        tl::enums::ClientDhInnerData::deserialize(&mut cursor).ok()?;
    (sha1(&[&padded[..cursor.pos()]])[..] == *hash).then_some(inner)
}

/// Key and initial vector of what both sides encrypt before they share a key.
fn temporary_key(new_nonce: &[u8; 32], server_nonce: &[u8; 16]) -> ([u8; 32], [u8; 32]) {
    let new_server = sha1(&[new_nonce, server_nonce]);
    let server_new = sha1(&[server_nonce, new_nonce]);
    let new_new = sha1(&[new_nonce, new_nonce]);
    let mut key = [0; 32];
    key[..20].copy_from_slice(&new_server);
    key[20..].copy_from_slice(&server_new[..12]);
    let mut iv = [0; 32];
    iv[..8].copy_from_slice(&server_new[12..]);
    iv[8..28].copy_from_slice(&new_new);
    iv[28..].copy_from_slice(&new_nonce[..4]);
    (key, iv)
}

#[cfg(test)]
mod tests;
