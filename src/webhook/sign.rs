//! Standard Webhooks signatures: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
//!
//! Pure. While a secret is being replaced the old one signs too, so a header may carry two
//! signatures, separated by a space.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `webhook-signature` for one attempt: one signature for each key.
pub fn signatures<'a>(
    keys: impl IntoIterator<Item = &'a [u8]>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let head = format!("{id}.{timestamp}.");
    let mut value = String::with_capacity(48);
    for key in keys {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
        mac.update(head.as_bytes());
        mac.update(body);
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the Standard Webhooks libraries share.
    #[test]
    fn the_published_example_comes_out() {
        let key = STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("base64");
        let value = signatures(
            [key.as_slice()],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(value, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_independent_verifier_accepts_both_secrets_of_a_rotation() {
        let (old, new) = ([7u8; 32], [9u8; 32]);
        let now = crate::base::Timestamp::now().as_secs();
        let body = "{\"text\":\"سلام ✓\"}".as_bytes();
        let value = signatures([new.as_slice(), old.as_slice()], "dlv_1", now, body);
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("webhook-id", "dlv_1".parse().expect("header"));
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", value.parse().expect("header"));
        for key in [old, new] {
            let verifier = standardwebhooks::Webhook::from_bytes(key.to_vec()).expect("key");
            verifier.verify(body, &headers).expect("accepted");
            assert!(verifier.verify(b"{}", &headers).is_err());
        }
        let stranger = standardwebhooks::Webhook::from_bytes(vec![1; 32]).expect("key");
        assert!(stranger.verify(body, &headers).is_err());
    }
}
