//! The key exchange, each refusal and the way through.

use std::sync::LazyLock;

use super::*;

static RSA: LazyLock<Arc<RsaKey>> = LazyLock::new(|| Arc::new(RsaKey::generate().expect("a key")));

const NOW: u64 = 1_800_000_000;

/// A client with its own arithmetic.
struct Client {
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    new_nonce: [u8; 32],
    p: Vec<u8>,
    q: Vec<u8>,
    pq: Vec<u8>,
}

impl Client {
    fn begin(exchange: &mut Exchange) -> Self {
        let nonce = rand::random();
        let answer = expect_answer(exchange.answer(&tl::functions::ReqPqMulti { nonce }.to_bytes(), NOW));
        let tl::enums::ResPq::Pq(pq) = tl::enums::ResPq::from_bytes(&answer).expect("resPQ");
        assert_eq!(pq.nonce, nonce);
        let (p, q) = grammers_crypto::factorize(u64::from_be_bytes(part(&pq.pq, 0)));
        let bytes = |prime: u64| (prime as u32).to_be_bytes().to_vec();
        let server_nonce = pq.server_nonce;
        Self {
            nonce,
            server_nonce,
            new_nonce: rand::random(),
            p: bytes(p),
            q: bytes(q),
            pq: pq.pq,
        }
    }

    fn inner(&self) -> tl::types::PQInnerData {
        tl::types::PQInnerData {
            pq: self.pq.clone(),
            p: self.p.clone(),
            q: self.q.clone(),
            nonce: self.nonce,
            server_nonce: self.server_nonce,
            new_nonce: self.new_nonce,
        }
    }

    fn in_dc(&self, dc: i32) -> tl::types::PQInnerDataTempDc {
        let it = self.inner();
        tl::types::PQInnerDataTempDc {
            pq: it.pq,
            p: it.p,
            q: it.q,
            nonce: it.nonce,
            server_nonce: it.server_nonce,
            new_nonce: it.new_nonce,
            dc,
            expires_in: 86_400,
        }
    }

    fn ask_parameters(&self, encrypted_data: Vec<u8>) -> Vec<u8> {
        tl::functions::ReqDhParams {
            nonce: self.nonce,
            server_nonce: self.server_nonce,
            p: self.p.clone(),
            q: self.q.clone(),
            public_key_fingerprint: RSA.fingerprint(),
            encrypted_data,
        }
        .to_bytes()
    }

    /// The last question and the key it should lead to.
    fn ask_key(&self, answer: &[u8]) -> (Vec<u8>, [u8; 256]) {
        let tl::enums::ServerDhParams::Ok(ok) =
            tl::enums::ServerDhParams::from_bytes(answer).expect("an answer")
        else {
            panic!("refused")
        };
        let (key, iv) = temporary_key(&self.new_nonce, &self.server_nonce);
        let mut data = ok.encrypted_answer;
        ige_decrypt(&mut data, &key, &iv);
        let mut cursor = Cursor::from_slice(&data[20..]);
        let tl::enums::ServerDhInnerData::Data(inner) =
            tl::enums::ServerDhInnerData::deserialize(&mut cursor).expect("inner data");
        assert_eq!(sha1(&[&data[20..20 + cursor.pos()]])[..], data[..20]);
        assert_eq!(
            (inner.g, inner.server_time, inner.dh_prime.len()),
            (3, NOW as i32, 256)
        );
        let (b, g_b) = half();
        let shared = bytes_256(&BigUint::from_bytes_be(&inner.g_a).modpow(&b, &PRIME));
        (self.send_half(g_b.to_bytes_be()), shared)
    }

    fn send_half(&self, g_b: Vec<u8>) -> Vec<u8> {
        let data = tl::enums::ClientDhInnerData::Data(tl::types::ClientDhInnerData {
            nonce: self.nonce,
            server_nonce: self.server_nonce,
            retry_id: 0,
            g_b,
        })
        .to_bytes();
        let mut encrypted_data = sha1(&[&data]).to_vec();
        encrypted_data.extend_from_slice(&data);
        encrypted_data.resize(encrypted_data.len().next_multiple_of(16), 0);
        let (key, iv) = temporary_key(&self.new_nonce, &self.server_nonce);
        ige_encrypt(&mut encrypted_data, &key, &iv);
        let (nonce, server_nonce) = (self.nonce, self.server_nonce);
        tl::functions::SetClientDhParams {
            nonce,
            server_nonce,
            encrypted_data,
        }
        .to_bytes()
    }
}

fn expect_answer(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Created(..) => panic!("a key too early"),
        Outcome::Refused(code) => panic!("refused with {code}"),
    }
}

fn refusal(outcome: Outcome) -> Option<i32> {
    match outcome {
        Outcome::Refused(code) => Some(code),
        _ => None,
    }
}

fn padded(data: &[u8]) -> Vec<u8> {
    RSA.encrypt_for_test(data)
}

#[test]
fn both_sides_end_with_one_key_and_one_salt() {
    let mut exchange = Exchange::new(RSA.clone(), 2);
    let client = Client::begin(&mut exchange);
    let ask = client.ask_parameters(padded(&tl::enums::PQInnerData::Data(client.inner()).to_bytes()));
    let answer = expect_answer(exchange.answer(&ask, NOW));
    assert_eq!(
        expect_answer(exchange.answer(&ask, NOW + 1)),
        answer,
        "a repeated query"
    );

    let (ask, shared) = client.ask_key(&answer);
    let Outcome::Created(answer, made) = exchange.answer(&ask, NOW) else {
        panic!("no key")
    };
    assert_eq!(*made.key, shared);
    assert_eq!(made.expires_in, None);
    let salt = client
        .new_nonce
        .iter()
        .zip(client.server_nonce)
        .take(8)
        .map(|(a, b)| a ^ b);
    assert_eq!(made.first_salt.to_le_bytes().to_vec(), salt.collect::<Vec<_>>());
    let key = grammers_crypto::AuthKey::from_bytes(shared);
    let tl::enums::SetClientDhParamsAnswer::DhGenOk(ok) =
        tl::enums::SetClientDhParamsAnswer::from_bytes(&answer).expect("an answer")
    else {
        panic!("no dh_gen_ok")
    };
    assert_eq!(ok.new_nonce_hash1, key.calc_new_nonce_hash(&client.new_nonce, 1));
    assert_eq!(
        expect_answer(exchange.answer(&ask, NOW)),
        answer,
        "repeated, it makes no second key"
    );
}

#[test]
fn a_temporary_key_of_this_centre_is_made_and_one_of_another_is_refused() {
    for (dc, refused) in [(2, None), (10_002, None), (-2, None), (3, Some(WRONG_DC))] {
        let mut exchange = Exchange::new(RSA.clone(), 2);
        let client = Client::begin(&mut exchange);
        let ask = client.ask_parameters(padded(
            &tl::enums::PQInnerData::TempDc(client.in_dc(dc)).to_bytes(),
        ));
        let outcome = exchange.answer(&ask, NOW);
        if refused.is_some() {
            assert_eq!(refusal(outcome), refused, "dc {dc}");
            continue;
        }
        let (ask, _) = client.ask_key(&expect_answer(outcome));
        let Outcome::Created(_, made) = exchange.answer(&ask, NOW) else {
            panic!("no key")
        };
        assert_eq!(made.expires_in, Some(86_400));
    }
}

#[test]
fn a_wrong_query_ends_its_run_and_no_other() {
    let mut exchange = Exchange::new(RSA.clone(), 2);
    let (bad, good) = (Client::begin(&mut exchange), Client::begin(&mut exchange));
    let mut inner = bad.inner();
    inner.nonce[0] ^= 1;
    let ask = bad.ask_parameters(padded(&tl::enums::PQInnerData::Data(inner).to_bytes()));
    assert_eq!(refusal(exchange.answer(&ask, NOW)), Some(NOT_FOUND));
    let ask = bad.ask_parameters(padded(&tl::enums::PQInnerData::Data(bad.inner()).to_bytes()));
    assert_eq!(
        refusal(exchange.answer(&ask, NOW)),
        Some(NOT_FOUND),
        "right now, but too late"
    );

    let ask = good.ask_parameters(padded(&tl::enums::PQInnerData::Data(good.inner()).to_bytes()));
    expect_answer(exchange.answer(&ask, NOW));
    let weak = good.send_half(vec![1]);
    assert_eq!(
        refusal(exchange.answer(&weak, NOW)),
        Some(NOT_FOUND),
        "a half at the group's end"
    );
}

#[test]
fn nonsense_is_refused() {
    let mut exchange = Exchange::new(RSA.clone(), 2);
    for nonsense in [&b""[..], b"abc", b"abcdefghijklmnop"] {
        assert_eq!(refusal(exchange.answer(nonsense, NOW)), Some(NOT_FOUND));
    }
    let client = Client::begin(&mut exchange);
    let ask = client.ask_parameters(vec![7; 256]);
    assert_eq!(refusal(exchange.answer(&ask, NOW)), Some(NOT_FOUND));
    let early = client.send_half(vec![1]);
    assert_eq!(refusal(exchange.answer(&early, NOW)), Some(NOT_FOUND));
}
