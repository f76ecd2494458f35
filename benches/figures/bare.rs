//! The floors made of the client library alone, each in a process of its own: sessions that only idle, and a loop
//! that only receives and sends. No store, no supervision, no limits, nothing survives the end.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use grammers_client::sender::{ConnectionParams, UpdatesConfiguration};
use grammers_client::session::Session;
use grammers_client::session::storages::MemorySession;
use grammers_client::session::types::DcOption;
use grammers_client::{Client, SenderPool, tl};
use tokio::sync::mpsc;
use trunkline::config::Config;
use trunkline::telegram::create_auth_key;

use crate::process::Process;
use crate::scene::{CODE, Failed, Scene, phone};

/// Logins at the same time.
const LOGINS: usize = 8;

/// A bare client: its calls and its updates.
struct Bare {
    client: Client,
    updates: mpsc::Receiver<grammers_client::session::updates::UpdatesLike>,
}

/// Starts a floor in a process of its own and waits until it says that it is ready.
pub async fn start(scene: &Scene, role: &str, arguments: &[String]) -> Result<Process, Failed> {
    let file = scene.folder().join("bare.toml");
    std::fs::write(&file, scene.config().await?)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--role", role])
        .arg(&file)
        .args(arguments)
        .stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let output = process.child().stdout.take().ok_or("no output")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    match lines.next() {
        Some(Ok(line)) if line == "ready" => Ok(process),
        _ => Err("the floor did not start".into()),
    }
}

/// The roles that a process of this program can have.
pub async fn play(role: &str, arguments: &[String]) -> Result<(), Failed> {
    let file = arguments.first().ok_or("no configuration")?;
    let config = Config::load(Some(file.as_ref()))?;
    let numbers = arguments[1..].iter().map(|argument| argument.parse::<i64>());
    let numbers: Vec<i64> = numbers.collect::<Result<_, _>>()?;
    match role {
        "idle" => idle(&config, &numbers).await,
        "forward" => forward(&config, &numbers).await,
        _ => Err("there is no such role".into()),
    }
}

/// Sessions of the accounts from one number up to another, which take what comes.
async fn idle(config: &Config, numbers: &[i64]) -> Result<(), Failed> {
    let [from, to] = numbers else {
        return Err("from and to".into());
    };
    let accounts = (*from..*to).map(|number| log_in(config, number));
    let bare: Vec<Bare> = stream::iter(accounts).buffered(LOGINS).try_collect().await?;
    for one in bare {
        let mut stream = one
            .client
            .stream_updates(one.updates, UpdatesConfiguration::default())
            .await?;
        tokio::spawn(async move { while stream.next_raw().await.is_ok() {} });
    }
    ready()?;
    std::future::pending().await
}

/// An account, then source, destination, source, destination, …: what arrives in one is sent to the other.
async fn forward(config: &Config, numbers: &[i64]) -> Result<(), Failed> {
    let (account, chats) = numbers.split_first().ok_or("no account")?;
    let routes: HashMap<i64, i64> = chats.chunks_exact(2).map(|route| (route[0], route[1])).collect();
    let bare = log_in(config, *account).await?;
    let peers = Arc::new(peers(&bare.client).await?);
    let mut stream = bare
        .client
        .stream_updates(bare.updates, UpdatesConfiguration::default())
        .await?;
    ready()?;
    loop {
        let (update, ..) = stream.next_raw().await?;
        let tl::enums::Update::NewChannelMessage(update) = update else {
            continue;
        };
        let tl::enums::Message::Message(message) = update.message else {
            continue;
        };
        let tl::enums::Peer::Channel(source) = &message.peer_id else {
            continue;
        };
        let Some(peer) = routes
            .get(&source.channel_id)
            .and_then(|destination| peers.get(destination))
        else {
            continue;
        };
        let request = send(peer.clone(), message.message);
        let client = bare.client.clone();
        tokio::spawn(async move { client.invoke(&request).await.map(|_| ()) });
    }
}

/// The channels of the account, by their own number.
async fn peers(client: &Client) -> Result<HashMap<i64, tl::enums::InputPeer>, Failed> {
    let mut peers = HashMap::new();
    let mut dialogs = client.iter_dialogs();
    while let Some(dialog) = dialogs.next().await? {
        if let tl::enums::InputPeer::Channel(channel) = dialog.peer_ref().into() {
            peers.insert(channel.channel_id, channel.into());
        }
    }
    Ok(peers)
}

async fn log_in(config: &Config, account: i64) -> Result<Bare, Failed> {
    let dc = config.telegram.server.dc.first().ok_or("no data centre")?;
    let key = create_auth_key(dc.address, &config.telegram.server.key()?).await?;
    let SocketAddr::V4(address) = dc.address else {
        return Err("not an IPv4 address".into());
    };
    let ipv6 = std::net::SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0);
    let option = DcOption {
        id: dc.id,
        ipv4: address,
        ipv6,
        auth_key: Some(key),
    };
    let session = MemorySession::default();
    session.set_home_dc_id(dc.id).await?;
    session.set_dc_option(&option).await?;
    // With the default of 100 a burst overflows it, and what is dropped may never be made up for.
    let params = ConnectionParams {
        updates_channel_capacity: NonZeroUsize::new(config.telegram.updates_buffer).ok_or("no buffer")?,
        ..ConnectionParams::default()
    };
    let pool = SenderPool::with_configuration(Arc::new(session), config.telegram.api_id, params);
    let client = Client::new(pool.handle);
    tokio::spawn(pool.runner.run());
    let number = phone(usize::try_from(account)?);
    let token = client
        .request_login_code(&number, config.telegram.api_hash.expose())
        .await?;
    client.sign_in(&token, CODE).await?;
    Ok(Bare {
        client,
        updates: pool.updates,
    })
}

fn send(peer: tl::enums::InputPeer, message: String) -> tl::functions::messages::SendMessage {
    tl::functions::messages::SendMessage {
        no_webpage: true,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer,
        reply_to: None,
        message,
        random_id: rand::random(),
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
        rich_message: None,
    }
}

fn ready() -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    out.write_all(b"ready\n")?;
    Ok(out.flush()?)
}
