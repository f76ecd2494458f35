//! A small MTProto client of another make than the server: its cryptography and schema are grammers'.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grammers_crypto::{AuthKey, DequeBuffer, aes, decrypt_data_v2, encrypt_data_v2, factorize};
use grammers_tl_types as tl;
use num_bigint::BigUint;
use pkcs1::DecodeRsaPublicKey;
use sha1::{Digest, Sha1};
use tl::{Cursor, Deserializable, RemoteCall, Serializable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const GZIP_PACKED: u32 = 0x3072_cfa1;

/// A TCP connection with the full transport.
pub struct Pipe {
    stream: TcpStream,
    sent: u32,
    received: u32,
}

/// What a connection says.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Packet(Vec<u8>),
    TransportError(i32),
    Closed,
}

impl Pipe {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listening server");
        Self {
            stream,
            sent: 0,
            received: 0,
        }
    }

    /// Whether a new connection is turned away, be it at once or a moment later.
    pub async fn is_refused(address: SocketAddr) -> bool {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let mut pipe = Self {
                    stream,
                    sent: 0,
                    received: 0,
                };
                pipe.hear().await == Heard::Closed
            }
            Err(_) => true,
        }
    }

    pub async fn send(&mut self, payload: &[u8]) {
        let mut frame = Vec::new();
        frame.extend_from_slice(&(payload.len() as u32 + 12).to_le_bytes());
        frame.extend_from_slice(&self.sent.to_le_bytes());
        frame.extend_from_slice(payload);
        frame.extend_from_slice(&crc32fast::hash(&frame).to_le_bytes());
        self.sent += 1;
        self.stream.write_all(&frame).await.expect("an open connection");
    }

    pub async fn hear(&mut self) -> Heard {
        timeout(PATIENCE, self.hear_patiently())
            .await
            .expect("word from the server")
    }

    async fn hear_patiently(&mut self) -> Heard {
        let mut length = [0; 4];
        if self.stream.read_exact(&mut length).await.is_err() {
            return Heard::Closed;
        }
        let length = i32::from_le_bytes(length);
        if length < 0 {
            return Heard::TransportError(length);
        }
        let mut rest = vec![0; length as usize - 4];
        if self.stream.read_exact(&mut rest).await.is_err() {
            return Heard::Closed;
        }
        let checksum = rest.split_off(rest.len() - 4);
        let whole = [&length.to_le_bytes()[..], &rest].concat();
        assert_eq!(checksum, crc32fast::hash(&whole).to_le_bytes());
        assert_eq!(rest[..4], self.received.to_le_bytes());
        self.received += 1;
        Heard::Packet(rest.split_off(4))
    }

    pub async fn packet(&mut self) -> Vec<u8> {
        match self.hear().await {
            Heard::Packet(packet) => packet,
            other => panic!("{other:?} instead of a packet"),
        }
    }

    async fn ask_plain(&mut self, query: Vec<u8>) -> Vec<u8> {
        let mut packet = vec![0; 16];
        packet.extend_from_slice(&(query.len() as u32).to_le_bytes());
        packet.extend_from_slice(&query);
        self.send(&packet).await;
        let answer = self.packet().await;
        assert_eq!(answer[..8], [0; 8]);
        let id = i64::from_le_bytes(answer[8..16].try_into().unwrap());
        assert!(id > 0 && id % 4 == 1);
        assert_eq!(answer[16..20], (answer.len() as u32 - 20).to_le_bytes());
        answer[20..].to_vec()
    }

    /// The whole key exchange: the key and the first salt.
    pub async fn exchange(&mut self, public_pem: &str) -> (AuthKey, i64) {
        let public = pkcs1::RsaPublicKeyOwned::from_pkcs1_pem(public_pem).expect("a public key");
        let decimal = |it: &[u8]| BigUint::from_bytes_be(it).to_string();
        let (n, e) = (
            decimal(public.modulus.as_bytes()),
            decimal(public.public_exponent.as_bytes()),
        );
        let rsa = grammers_crypto::rsa::Key::new(&n, &e).expect("numbers");

        let nonce: [u8; 16] = rand::random();
        let answer = self
            .ask_plain(tl::functions::ReqPqMulti { nonce }.to_bytes())
            .await;
        let tl::enums::ResPq::Pq(found) = tl::enums::ResPq::from_bytes(&answer).expect("resPQ");
        assert_eq!(found.nonce, nonce);
        let (p, q) = factorize(u64::from_be_bytes(found.pq[..].try_into().unwrap()));
        let bytes = |prime: u64| {
            prime
                .to_be_bytes()
                .iter()
                .copied()
                .skip_while(|b| *b == 0)
                .collect::<Vec<u8>>()
        };
        let (server_nonce, new_nonce) = (found.server_nonce, rand::random::<[u8; 32]>());
        let inner = tl::enums::PQInnerData::Data(tl::types::PQInnerData {
            pq: found.pq.clone(),
            p: bytes(p),
            q: bytes(q),
            nonce,
            server_nonce,
            new_nonce,
        });
        let mut padding = [0; 224];
        rand::fill(&mut padding);
        let encrypted_data = grammers_crypto::rsa::encrypt_hashed(&inner.to_bytes(), &rsa, &padding);
        let ask = tl::functions::ReqDhParams {
            nonce,
            server_nonce,
            p: bytes(p),
            q: bytes(q),
            public_key_fingerprint: found.server_public_key_fingerprints[0],
            encrypted_data,
        };
        let answer = self.ask_plain(ask.to_bytes()).await;
        let Ok(tl::enums::ServerDhParams::Ok(mut ok)) = tl::enums::ServerDhParams::from_bytes(&answer) else {
            panic!("no parameters")
        };
        let (key, iv) = temporary_key(&new_nonce, &server_nonce);
        aes::ige_decrypt(&mut ok.encrypted_answer, &key, &iv);
        let mut cursor = Cursor::from_slice(&ok.encrypted_answer[20..]);
        let tl::enums::ServerDhInnerData::Data(dh) =
            tl::enums::ServerDhInnerData::deserialize(&mut cursor).expect("inner data");
        let prime = BigUint::from_bytes_be(&dh.dh_prime);
        let mut exponent = [0; 256];
        rand::fill(&mut exponent);
        let b = BigUint::from_bytes_be(&exponent);
        let g_b = BigUint::from(dh.g as u32).modpow(&b, &prime).to_bytes_be();
        let shared = BigUint::from_bytes_be(&dh.g_a).modpow(&b, &prime).to_bytes_be();
        let mut key_bytes = [0; 256];
        key_bytes[256 - shared.len()..].copy_from_slice(&shared);
        let auth_key = AuthKey::from_bytes(key_bytes);

        let inner = tl::types::ClientDhInnerData {
            nonce,
            server_nonce,
            retry_id: 0,
            g_b,
        };
        let inner = tl::enums::ClientDhInnerData::Data(inner).to_bytes();
        let mut encrypted_data = Sha1::digest(&inner).to_vec();
        encrypted_data.extend_from_slice(&inner);
        encrypted_data.resize(encrypted_data.len().next_multiple_of(16), 0);
        aes::ige_encrypt(&mut encrypted_data, &key, &iv);
        let ask = tl::functions::SetClientDhParams {
            nonce,
            server_nonce,
            encrypted_data,
        };
        let answer = self.ask_plain(ask.to_bytes()).await;
        let Ok(tl::enums::SetClientDhParamsAnswer::DhGenOk(ok)) =
            tl::enums::SetClientDhParamsAnswer::from_bytes(&answer)
        else {
            panic!("no key")
        };
        assert_eq!(ok.new_nonce_hash1, auth_key.calc_new_nonce_hash(&new_nonce, 1));
        let half = |it: &[u8]| i64::from_le_bytes(it[..8].try_into().unwrap());
        (auth_key, half(&new_nonce) ^ half(&server_nonce))
    }
}

fn temporary_key(new_nonce: &[u8; 32], server_nonce: &[u8; 16]) -> ([u8; 32], [u8; 32]) {
    let hash = |a: &[u8], b: &[u8]| Sha1::digest([a, b].concat()).to_vec();
    let (ns, sn, nn) = (
        hash(new_nonce, server_nonce),
        hash(server_nonce, new_nonce),
        hash(new_nonce, new_nonce),
    );
    let key = [&ns[..], &sn[..12]].concat().try_into().unwrap();
    let iv = [&sn[12..], &nn[..], &new_nonce[..4]].concat().try_into().unwrap();
    (key, iv)
}

/// One message as it came, out of its container.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    pub id: i64,
    pub seq_no: i32,
    pub body: Vec<u8>,
}

impl Incoming {
    pub fn constructor(&self) -> u32 {
        u32::from_le_bytes(self.body[..4].try_into().unwrap())
    }

    /// The message without gzip around it. An answer's is within the answer, and stays.
    fn unpacked(mut self) -> Self {
        if self.constructor() == GZIP_PACKED {
            self.body = unpack(&self.body);
        }
        self
    }

    /// The protocol's object of that type, if it is one.
    pub fn is<T: Deserializable>(&self) -> Option<T> {
        T::from_bytes(&self.body).ok()
    }
}

/// A session over a pipe.
pub struct Client {
    pub pipe: Pipe,
    pub key: AuthKey,
    pub session: i64,
    pub salt: i64,
    last_id: i64,
    content_sent: i32,
    heard: VecDeque<Incoming>,
}

impl Client {
    /// Exchanges a key on a new connection and begins a session under it.
    pub async fn begin(address: SocketAddr, public_pem: &str) -> Self {
        let mut pipe = Pipe::open(address).await;
        let (key, salt) = pipe.exchange(public_pem).await;
        Self::over(pipe, key, rand::random(), salt)
    }

    pub fn over(pipe: Pipe, key: AuthKey, session: i64, salt: i64) -> Self {
        Self {
            pipe,
            key,
            session,
            salt,
            last_id: 0,
            content_sent: 0,
            heard: VecDeque::new(),
        }
    }

    /// The same session on another connection.
    pub async fn reconnect(&mut self, address: SocketAddr) {
        self.pipe = Pipe::open(address).await;
        self.heard.clear();
    }

    pub fn next_id(&mut self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = ((now.as_secs() << 32) | (u64::from(now.subsec_nanos()) << 2)) as i64;
        self.last_id = id.max(self.last_id + 4);
        self.last_id
    }

    pub async fn send_as(&mut self, id: i64, body: &[u8], content: bool) {
        let mut seq_no = self.content_sent * 2;
        if content {
            seq_no += 1;
            self.content_sent += 1;
        }
        self.send_numbered(id, seq_no, body).await;
    }

    /// Sends a body under a sequence number of one's choice.
    pub async fn send_numbered(&mut self, id: i64, seq_no: i32, body: &[u8]) {
        let mut plain = DequeBuffer::with_capacity(body.len() + 64, 32);
        plain.extend(self.salt.to_le_bytes());
        plain.extend(self.session.to_le_bytes());
        plain.extend(id.to_le_bytes());
        plain.extend(seq_no.to_le_bytes());
        plain.extend((body.len() as u32).to_le_bytes());
        plain.extend(body.iter().copied());
        encrypt_data_v2(&mut plain, &self.key);
        self.pipe.send(&plain[..]).await;
    }

    pub async fn send(&mut self, body: &[u8]) -> i64 {
        let id = self.next_id();
        self.send_as(id, body, true).await;
        id
    }

    /// Sends several bodies in one container; their ids.
    pub async fn send_container(&mut self, bodies: &[Vec<u8>]) -> (i64, Vec<i64>) {
        let mut object = 0x73f1_f8dcu32.to_le_bytes().to_vec();
        object.extend_from_slice(&(bodies.len() as u32).to_le_bytes());
        let mut ids = Vec::new();
        for body in bodies {
            let id = self.next_id();
            object.extend_from_slice(&id.to_le_bytes());
            object.extend_from_slice(&(self.content_sent * 2 + 1).to_le_bytes());
            self.content_sent += 1;
            object.extend_from_slice(&(body.len() as u32).to_le_bytes());
            object.extend_from_slice(body);
            ids.push(id);
        }
        let id = self.next_id();
        self.send_as(id, &object, false).await;
        (id, ids)
    }

    pub async fn acknowledge(&mut self, ids: &[i64]) {
        let ack = tl::enums::MsgsAck::Ack(tl::types::MsgsAck {
            msg_ids: ids.to_vec(),
        });
        let id = self.next_id();
        self.send_as(id, &ack.to_bytes(), false).await;
    }

    /// The next message.
    pub async fn next(&mut self) -> Incoming {
        while self.heard.is_empty() {
            let packet = self.pipe.packet().await;
            self.open(packet);
        }
        self.heard.pop_front().unwrap()
    }

    fn open(&mut self, mut packet: Vec<u8>) {
        let plain = decrypt_data_v2(&mut packet, &self.key).expect("sealed for us");
        let long = |at: usize| i64::from_le_bytes(plain[at..at + 8].try_into().unwrap());
        let word = |at: usize| i32::from_le_bytes(plain[at..at + 4].try_into().unwrap());
        assert_eq!(long(8), self.session, "another session's message");
        let (id, seq_no, length) = (long(16), word(24), word(28) as usize);
        let message = Incoming {
            id,
            seq_no,
            body: plain[32..32 + length].to_vec(),
        };
        if message.constructor() != 0x73f1_f8dc {
            self.heard.push_back(message.unpacked());
            return;
        }
        let mut rest = &message.body[8..];
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest[12..16].try_into().unwrap()) as usize;
            let inner = Incoming {
                id: i64::from_le_bytes(rest[..8].try_into().unwrap()),
                seq_no: i32::from_le_bytes(rest[8..12].try_into().unwrap()),
                body: rest[16..16 + length].to_vec(),
            };
            assert!(inner.id < message.id);
            self.heard.push_back(inner.unpacked());
            rest = &rest[16 + length..];
        }
    }

    /// Waits for a message that the closure knows; others are passed over.
    pub async fn wait<T>(&mut self, mut known: impl FnMut(&Incoming) -> Option<T>) -> T {
        loop {
            let message = self.next().await;
            if let Some(found) = known(&message) {
                return found;
            }
        }
    }

    /// The answer to that call: the object, or code and name.
    pub async fn answer(&mut self, question: i64) -> Result<Vec<u8>, (i32, String)> {
        let result = self.wait(|it| answer_to(it, question)).await;
        match tl::enums::RpcError::from_bytes(&result) {
            Ok(tl::enums::RpcError::Error(error)) => Err((error.error_code, error.error_message)),
            Err(_) => Ok(result),
        }
    }

    /// Calls and waits for the answer.
    pub async fn call<F: RemoteCall>(&mut self, function: &F) -> Result<F::Return, (i32, String)> {
        let id = self.send(&function.to_bytes()).await;
        self.answer(id)
            .await
            .map(|it| F::Return::from_bytes(&it).expect("the function's type"))
    }

    /// Whether nothing more comes: everything before a pong has come when the pong comes.
    pub async fn rest(&mut self) -> Vec<Incoming> {
        let ping_id = rand::random();
        let id = self.next_id();
        self.send_as(id, &tl::functions::Ping { ping_id }.to_bytes(), false)
            .await;
        let mut rest = Vec::new();
        loop {
            let message = self.next().await;
            match message.is::<tl::enums::Pong>() {
                Some(tl::enums::Pong::Pong(pong)) if pong.ping_id == ping_id => return rest,
                _ => rest.push(message),
            }
        }
    }
}

/// The unpacked result, if the message answers that question.
pub fn answer_to(message: &Incoming, question: i64) -> Option<Vec<u8>> {
    if message.constructor() != 0xf35c_6d01 || message.body[4..12] != question.to_le_bytes() {
        return None;
    }
    let result = &message.body[12..];
    match result[..4] == GZIP_PACKED.to_le_bytes() {
        true => Some(unpack(result)),
        false => Some(result.to_vec()),
    }
}

/// What a `gzip_packed` object holds.
fn unpack(object: &[u8]) -> Vec<u8> {
    let packed = Vec::<u8>::from_bytes(&object[4..]).expect("packed data");
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut out)
        .expect("gzip");
    out
}

/// Wraps a first call as clients do.
pub fn introduced<X>(query: X) -> tl::functions::InvokeWithLayer<tl::functions::InitConnection<X>> {
    let query = tl::functions::InitConnection {
        api_id: 1,
        device_model: "test".into(),
        system_version: "1".into(),
        app_version: "1".into(),
        system_lang_code: "en".into(),
        lang_pack: String::new(),
        lang_code: "en".into(),
        proxy: None,
        params: None,
        query,
    };
    tl::functions::InvokeWithLayer {
        layer: tl::LAYER,
        query,
    }
}
