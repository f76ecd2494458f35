//! A world of a few functions, for a wire that is tested alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grammers_tl_types as tl;
use tl::functions as f;
use tl::{Identifiable, Serializable};
use trunkline::sandbox::rpc::{Call, ClientInfo, Hub, KeyId, KnownKey, Reply, Service};

/// A world of a few functions.
#[derive(Default)]
pub struct Little {
    pub hub: Hub,
    pub calls: AtomicUsize,
    pub clients: Mutex<Vec<ClientInfo>>,
    pub keys: Mutex<Vec<KnownKey>>,
}

/// An object to answer with, or to push; the text tells one from another.
pub fn nearest(country: &str) -> Vec<u8> {
    tl::enums::NearestDc::Dc(tl::types::NearestDc {
        country: country.into(),
        this_dc: 2,
        nearest_dc: 2,
    })
    .to_bytes()
}

impl Service for Little {
    async fn call(&self, call: Call) -> Reply {
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        let constructor = u32::from_le_bytes(call.body[..4].try_into().unwrap());
        match constructor {
            f::help::GetNearestDc::CONSTRUCTOR_ID => Reply::Result(nearest(&n.to_string())),
            f::updates::GetState::CONSTRUCTOR_ID => {
                self.hub.subscribe(call.key, call.session);
                Reply::Result(nearest("state"))
            }
            f::help::GetAppUpdate::CONSTRUCTOR_ID => Reply::Result(nearest(&"long ".repeat(1000))),
            f::help::GetSupport::CONSTRUCTOR_ID => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Reply::Result(nearest("slow"))
            }
            f::help::GetSupportName::CONSTRUCTOR_ID => Reply::DropConnection {
                answer: Some(nearest("kept")),
            },
            f::help::GetInviteText::CONSTRUCTOR_ID if n % 2 == 1 => Reply::DropConnection { answer: None },
            f::help::GetInviteText::CONSTRUCTOR_ID => Reply::Result(nearest("second try")),
            f::help::GetCdnConfig::CONSTRUCTOR_ID => panic!("a fault of the world's own"),
            _ => Reply::error(400, "INPUT_METHOD_INVALID"),
        }
    }

    fn key_created(&self, id: KeyId, dc: i32, auth_key: &[u8; 256]) {
        self.keys.lock().unwrap().push(KnownKey {
            id,
            dc,
            auth_key: *auth_key,
            layer: Some(tl::LAYER),
        });
    }

    fn key_destroyed(&self, key: KeyId) {
        self.keys.lock().unwrap().retain(|it| it.id != key);
    }

    fn client_known(&self, _: KeyId, client: ClientInfo) {
        self.clients.lock().unwrap().push(client);
    }

    fn known_keys(&self) -> Vec<KnownKey> {
        self.keys.lock().unwrap().clone()
    }
}
