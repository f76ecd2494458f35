//! How accounts get in and out: QR codes, passwords, codes and their ways, several logins, two data centres.

use std::time::Duration;

use grammers_crypto::two_factor_auth::calculate_2fa;
use grammers_tl_types::{enums, functions as f, types};
use trunkline::ops::audit::Initiator;
use trunkline::sandbox::telegram::Telegram;
use trunkline::sandbox::world::settings::Change;
use trunkline::sandbox::{Sandbox, SandboxConfig, World};
use trunkline::telegram::NewAccount;

use super::client::*;
use crate::sandbox_wire::client::{Client as Wire, Incoming, Pipe, introduced};
use crate::stage::{Stage, received, until};

const PHONE: &str = "9990000001";
const PASSWORD: &str = "گذرواژه, with 🔑";

/// A world with two data centres, and one who lives in the first.
fn world_with_one() -> (Telegram, World, i64) {
    let (telegram, world) = world();
    for dc in [2, 4] {
        telegram.centre_listens_at(dc, ([127, 0, 0, 1], 1000 + dc as u16).into());
    }
    let user = world.user(PHONE, "Ann").expect("a user");
    (telegram, world, user)
}

fn export() -> f::auth::ExportLoginToken {
    f::auth::ExportLoginToken {
        api_id: 1,
        api_hash: "x".into(),
        except_ids: vec![],
    }
}

/// The token that a client shows.
async fn shown(client: &Client) -> Vec<u8> {
    match client.ask(export()).await {
        enums::auth::LoginToken::Token(shown) => shown.token,
        other => panic!("no token: {other:?}"),
    }
}

/// The link that a QR code says.
fn link(token: &[u8]) -> String {
    use base64::Engine;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token);
    format!("tg://login?token={token}")
}

fn user_of(token: enums::auth::LoginToken) -> i64 {
    let enums::auth::LoginToken::Success(types::auth::LoginTokenSuccess {
        authorization: enums::auth::Authorization::Authorization(done),
    }) = token
    else {
        panic!("not logged in: {token:?}")
    };
    match done.user {
        enums::User::User(user) => user.id,
        enums::User::Empty(_) => panic!("nobody"),
    }
}

async fn asked(client: &Client) -> types::account::Password {
    let enums::account::Password::Password(asked) = client.ask(f::account::GetPassword {}).await;
    asked
}

/// What a client that we did not write answers to the question for a password.
fn answer(asked: &types::account::Password, password: &str) -> f::auth::CheckPassword {
    use enums::PasswordKdfAlgo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow as ModPow;
    let Some(ModPow(how)) = &asked.current_algo else {
        panic!("another algorithm")
    };
    let public = asked.srp_b.clone().expect("a public value");
    let secret = asked.secure_random.clone();
    let (m1, a) = calculate_2fa(&how.salt1, &how.salt2, &how.p, &how.g, public, secret, password);
    let (srp_id, a, m1) = (asked.srp_id.expect("a number"), a.to_vec(), m1.to_vec());
    f::auth::CheckPassword {
        password: types::InputCheckPasswordSrp { srp_id, a, m1 }.into(),
    }
}

#[tokio::test]
async fn a_qr_code_is_shown_accepted_and_becomes_a_login() {
    let (telegram, world, user) = world_with_one();
    let client = Client::new(&telegram, 1);
    let token = shown(&client).await;
    world.accept_login(user, &link(&token)).expect("accepted");
    let again = world.accept_token(user, &token).expect_err("once only");
    assert_eq!(again.name, "AUTH_TOKEN_ALREADY_ACCEPTED");
    assert_eq!(
        client.refused(f::updates::GetState {}).await,
        "AUTH_KEY_UNREGISTERED"
    );
    assert_eq!(user_of(client.ask(export()).await), user);
    assert_eq!(
        user_of(client.ask(export()).await),
        user,
        "who is logged in hears so"
    );
    client.state().await;

    // Another device of the same account scans the next one.
    let next = Client::new(&telegram, 2);
    let token = shown(&next).await;
    let accept = f::auth::AcceptLoginToken { token };
    let enums::Authorization::Authorization(record) = client.ask(accept.clone()).await;
    assert_eq!(client.refused(accept).await, "AUTH_TOKEN_ALREADY_ACCEPTED");
    assert_eq!(user_of(next.ask(export()).await), user);
    let logins = world.logins(user).expect("a user");
    assert_eq!(logins.len(), 2);
    assert!(
        logins
            .iter()
            .any(|login| login.session == record.hash.to_string())
    );
}

#[tokio::test]
async fn what_is_ended_or_banned_cannot_come_in() {
    let (telegram, world, user) = world_with_one();
    let client = Client::new(&telegram, 1);
    let (first, second) = (shown(&client).await, shown(&client).await);
    world.accept_token(user, &first).expect("accepted");
    world.ban(user, true).expect("banned");
    let refused = world.accept_token(user, &second).expect_err("banned");
    assert_eq!((refused.code, &*refused.name), (401, "USER_DEACTIVATED_BAN"));
    let refused = client.call(export()).await.expect_err("banned meanwhile");
    assert_eq!(refused, (401, "USER_DEACTIVATED_BAN".into()));
    world.ban(user, false).expect("taken back");
    assert_eq!(user_of(client.ask(export()).await), user);
    let revoke = format!(r#"{{"kind":"revoke","account":{user},"name":"AUTH_KEY_DUPLICATED"}}"#);
    let fault = serde_json::from_str(&revoke).expect("a fault");
    world.fault(fault).expect("done");
    let refused = client.call(f::updates::GetState {}).await.expect_err("ended");
    assert_eq!(refused, (406, "AUTH_KEY_DUPLICATED".into()));
    // The key is good still: it may come in anew.
    let token = shown(&client).await;
    world.accept_token(user, &token).expect("accepted");
    assert_eq!(user_of(client.ask(export()).await), user);
}

#[tokio::test]
async fn tokens_that_are_no_good_are_named_as_telegram_does() {
    let (telegram, world, user) = world_with_one();
    let life = Change {
        login_token_life: Some(1),
        ..Change::default()
    };
    world.set(life);
    let client = Client::new(&telegram, 1);
    let token = shown(&client).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let refused = |answer: Result<i64, trunkline::sandbox::world::Refusal>| answer.expect_err("refused").name;
    assert_eq!(refused(world.accept_token(user, &token)), "AUTH_TOKEN_EXPIRED");
    assert_eq!(refused(world.accept_token(user, b"other")), "AUTH_TOKEN_INVALID");
    assert_eq!(
        refused(world.accept_login(user, "https://x")),
        "AUTH_TOKEN_INVALID"
    );
    let import = f::auth::ImportLoginToken { token };
    assert_eq!(client.refused(import).await, "AUTH_TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_password_is_asked_for_after_a_code_and_proved() {
    let (telegram, world, user) = world_with_one();
    world.set_password(user, PASSWORD, "a key").expect("set");
    let client = Client::new(&telegram, 1);
    let enums::auth::SentCode::Code(sent) = client.ask(send_code(PHONE)).await else {
        panic!("a code")
    };
    let sign_in = f::auth::SignIn {
        phone_number: PHONE.into(),
        phone_code_hash: sent.phone_code_hash,
        phone_code: world.code(PHONE),
        email_verification: None,
    };
    for _ in 0..2 {
        let refused = client.call(sign_in.clone()).await.expect_err("not yet");
        assert_eq!(refused, (401, "SESSION_PASSWORD_NEEDED".into()));
    }
    assert_eq!(
        client.refused(f::updates::GetState {}).await,
        "SESSION_PASSWORD_NEEDED"
    );

    let first = asked(&client).await;
    assert_eq!((first.has_password, first.hint.as_deref()), (true, Some("a key")));
    assert_eq!(first.srp_b.as_ref().map(Vec::len), Some(256));
    let second = asked(&client).await;
    assert_ne!((first.srp_id, &first.srp_b), (second.srp_id, &second.srp_b));
    assert_eq!(
        client.refused(answer(&first, PASSWORD)).await,
        "SRP_ID_INVALID",
        "each question ends the one before"
    );
    assert_eq!(
        client.refused(answer(&second, "wrong")).await,
        "PASSWORD_HASH_INVALID"
    );
    assert_eq!(
        client.refused(answer(&second, PASSWORD)).await,
        "SRP_ID_INVALID",
        "a question is good for one answer"
    );
    let empty = f::auth::CheckPassword {
        password: enums::InputCheckPasswordSrp::InputCheckPasswordEmpty,
    };
    assert_eq!(client.refused(empty.clone()).await, "PASSWORD_HASH_INVALID");
    let third = asked(&client).await;
    let enums::auth::Authorization::Authorization(_) = client.ask(answer(&third, PASSWORD)).await else {
        panic!("not logged in")
    };
    client.state().await;
    assert!(asked(&client).await.has_password, "also for who is logged in");
    assert_eq!(client.refused(empty).await, "PASSWORD_EMPTY");
    let stranger = Client::new(&telegram, 2);
    assert_eq!(
        stranger.refused(f::account::GetPassword {}).await,
        "AUTH_KEY_UNREGISTERED"
    );
}

#[tokio::test]
async fn a_password_is_asked_for_after_a_qr_code_too() {
    let (telegram, world, user) = world_with_one();
    world.set_password(user, PASSWORD, "").expect("set");
    let client = Client::new(&telegram, 1);
    let token = shown(&client).await;
    world.accept_token(user, &token).expect("accepted");
    for _ in 0..2 {
        let refused = client.call(export()).await.expect_err("not yet");
        assert_eq!(refused, (401, "SESSION_PASSWORD_NEEDED".into()));
    }
    let listed = world.logins(user).expect("a user");
    assert!(matches!(&listed[..], [login] if login.password_pending));
    let question = asked(&client).await;
    assert_eq!(question.hint, None);
    client.ask(answer(&question, PASSWORD)).await;
    client.state().await;
    // Another one that waits is seen from here, and sent away.
    let next = Client::new(&telegram, 2);
    let token = shown(&next).await;
    world.accept_token(user, &token).expect("accepted");
    next.call(export()).await.expect_err("not yet");
    let enums::account::Authorizations::Authorizations(listed) =
        client.ask(f::account::GetAuthorizations {}).await;
    let pending = listed.authorizations.into_iter().find_map(|login| {
        let enums::Authorization::Authorization(login) = login;
        login.password_pending.then_some(login.hash)
    });
    let hash = pending.expect("it is listed").to_string();
    assert_eq!(world.end_logins(user, hash.parse().ok()), Ok(1));
    assert_eq!(next.refused(f::account::GetPassword {}).await, "SESSION_REVOKED");
    // A password that is taken away is not asked for.
    world.remove_password(user).expect("taken away");
    assert!(!asked(&client).await.has_password);
}

#[tokio::test]
async fn an_account_of_the_other_centre_is_sent_there() {
    let (telegram, world, user) = world_with_one();
    world.set_home(user, 4).expect("there is one");
    assert_eq!(world.set_home(user, 3).expect_err("none").name, "DC_ID_INVALID");
    world.set_password(user, PASSWORD, "").expect("set");
    let here = Client::new(&telegram, 1);
    let moved = here.call(send_code(PHONE)).await.expect_err("not here");
    assert_eq!(moved, (303, "PHONE_MIGRATE_4".into()));

    let token = shown(&here).await;
    world.accept_token(user, &token).expect("accepted");
    let enums::auth::LoginToken::MigrateTo(there) = here.ask(export()).await else {
        panic!("not sent on")
    };
    assert_eq!(there.dc_id, 4);
    let client = Client::of(&telegram, 4, 2);
    let import = f::auth::ImportLoginToken { token: there.token };
    assert_eq!(client.refused(import.clone()).await, "SESSION_PASSWORD_NEEDED");
    assert_eq!(client.refused(import).await, "SESSION_PASSWORD_NEEDED");
    let question = asked(&client).await;
    client.ask(answer(&question, PASSWORD)).await;
    client.state().await;
    assert_eq!(
        here.refused(f::updates::GetState {}).await,
        "AUTH_KEY_UNREGISTERED"
    );
    let enums::Config::Config(config) = client.ask(f::help::GetConfig {}).await;
    let id = |option: &enums::DcOption| match option {
        enums::DcOption::Option(it) => it.id,
    };
    let centres: std::collections::BTreeSet<i32> = config.dc_options.iter().map(id).collect();
    assert_eq!(config.this_dc, 4);
    assert!(
        centres.contains(&2) && centres.contains(&4),
        "both are named: {centres:?}"
    );
}

#[tokio::test]
async fn a_code_is_its_keys_and_takes_its_time() {
    let (telegram, world, _) = world_with_one();
    let (client, other) = (Client::new(&telegram, 2), Client::new(&telegram, 3));
    let enums::auth::SentCode::Code(sent) = client.ask(send_code(PHONE)).await else {
        panic!("a code")
    };
    assert_eq!(sent.timeout, Some(120));
    let resend = f::auth::ResendCode {
        phone_number: PHONE.into(),
        phone_code_hash: sent.phone_code_hash.clone(),
        reason: None,
    };
    let early = client.call(resend.clone()).await;
    assert_eq!(early.err(), Some((406, "SEND_CODE_UNAVAILABLE".into())));
    let sign_in = f::auth::SignIn {
        phone_number: PHONE.into(),
        phone_code_hash: sent.phone_code_hash,
        phone_code: world.code(PHONE),
        email_verification: None,
    };
    assert_eq!(other.refused(sign_in.clone()).await, "PHONE_CODE_EXPIRED");
    let off = ["codes_of_their_key", "resend_waits"].map(|name| (name.to_owned(), false));
    world.turn(&off.into()).expect("known");
    other.ask(sign_in).await;
    assert_eq!(other.refused(resend).await, "PHONE_CODE_EXPIRED", "it was taken");
}

#[tokio::test]
async fn a_code_goes_its_ways_and_then_there_is_none() {
    let (telegram, world, _) = world_with_one();
    Client::logged_in(&telegram, &world, 1, PHONE).await;
    world.set(Change {
        resend_after: Some(0),
        ..Change::default()
    });
    let client = Client::new(&telegram, 2);
    let enums::auth::SentCode::Code(mut sent) = client.ask(send_code(PHONE)).await else {
        panic!("a code")
    };
    let resend = |hash: &str| f::auth::ResendCode {
        phone_number: PHONE.into(),
        phone_code_hash: hash.to_owned(),
        reason: None,
    };
    let mut ways = Vec::new();
    loop {
        ways.push((sent.r#type.clone(), sent.next_type.clone()));
        let before = sent.phone_code_hash.clone();
        match client.call(resend(&before)).await {
            Ok(enums::auth::SentCode::Code(next)) => sent = next,
            Ok(other) => panic!("no code: {other:?}"),
            Err(refused) => {
                assert_eq!(refused, (406, "SEND_CODE_UNAVAILABLE".into()));
                break;
            }
        }
        assert_eq!(
            client.refused(resend(&before)).await,
            "PHONE_CODE_EXPIRED",
            "the hash before is no good"
        );
    }
    use enums::auth::{CodeType, SentCodeType};
    assert_eq!(
        ways,
        [
            (
                SentCodeType::App(types::auth::SentCodeTypeApp { length: 5 }),
                Some(CodeType::Sms)
            ),
            (
                SentCodeType::Sms(types::auth::SentCodeTypeSms { length: 5 }),
                Some(CodeType::Call)
            ),
            (
                SentCodeType::Call(types::auth::SentCodeTypeCall { length: 5 }),
                None
            ),
        ]
    );
    let cancel = f::auth::CancelCode {
        phone_number: PHONE.into(),
        phone_code_hash: sent.phone_code_hash,
    };
    assert!(client.ask(cancel.clone()).await);
    assert_eq!(client.refused(cancel).await, "PHONE_CODE_EXPIRED");
    assert_eq!(client.refused(resend("")).await, "PHONE_CODE_HASH_EMPTY");
    assert_eq!(world.code(PHONE), None);
}

#[tokio::test]
async fn who_is_refused_or_banned_hears_so() {
    let (telegram, world, user) = world_with_one();
    let client = Client::logged_in(&telegram, &world, 1, PHONE).await;
    let next = Client::new(&telegram, 2);
    for (name, code) in [
        ("PHONE_NUMBER_FLOOD", 400),
        ("FLOOD_WAIT_30", 420),
        ("PHONE_PASSWORD_FLOOD", 406),
    ] {
        world.refuse_codes(PHONE, Some(name));
        let refused = next.call(send_code(PHONE)).await.expect_err("refused");
        assert_eq!(refused, (code, name.to_owned()));
    }
    world.refuse_codes(PHONE, None);
    next.ask(send_code(PHONE)).await;
    assert_eq!(next.refused(send_code("12")).await, "PHONE_NUMBER_INVALID");

    let wait = format!(r#"{{"kind":"flood_wait","seconds":7,"method":"auth.sendCode","account":{user}}}"#);
    let fault = serde_json::from_str(&wait).expect("a fault");
    world.fault(fault).expect("added");
    next.ask(send_code("+15550007")).await;
    let refused = next.call(send_code(PHONE)).await.expect_err("a fault");
    assert_eq!(refused, (420, "FLOOD_WAIT_7".into()), "of this number only");

    world.ban(user, true).expect("banned");
    let refused = client.call(f::updates::GetState {}).await.expect_err("banned");
    assert_eq!(refused, (401, "USER_DEACTIVATED_BAN".into()));
    assert_eq!(next.refused(send_code(PHONE)).await, "PHONE_NUMBER_BANNED");
    world.ban(user, false).expect("taken back");
    client.state().await;
}

#[tokio::test]
async fn a_login_ends_others_only_when_it_has_a_day() {
    let (telegram, world, user) = world_with_one();
    let old = Client::logged_in(&telegram, &world, 1, PHONE).await;
    let new = Client::logged_in(&telegram, &world, 2, PHONE).await;
    let fresh = (406, "FRESH_RESET_AUTHORISATION_FORBIDDEN".to_owned());
    let logins = world.logins(user).expect("a user");
    let hash = logins[0].session.parse().expect("a number");
    let end = f::account::ResetAuthorization { hash };
    assert_eq!(new.call(end.clone()).await, Err(fresh.clone()));
    assert_eq!(new.call(f::auth::ResetAuthorizations {}).await, Err(fresh));
    let wrong = f::account::ResetAuthorization { hash: 1 };
    assert_eq!(new.refused(wrong).await, "HASH_INVALID");
    world.set(Change {
        fresh_login: Some(0),
        ..Change::default()
    });
    assert!(new.ask(end).await);
    assert_eq!(old.refused(f::updates::GetState {}).await, "SESSION_REVOKED");
    assert_eq!(world.end_logins(user, None), Ok(1));
    assert_eq!(new.refused(f::updates::GetState {}).await, "SESSION_REVOKED");
    assert!(world.end_logins(user, Some(1)).is_err());
}

/// Whether a push came that says that a token was accepted, in the form that some clients look for.
fn says_accepted(message: &Incoming) -> bool {
    let told = message.is::<enums::Updates>();
    matches!(told, Some(enums::Updates::UpdateShort(short)) if short.update == enums::Update::LoginToken)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_token_is_told_though_nobody_is_logged_in() {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.expect("starts");
    let world = sandbox.world();
    let user = world.user(PHONE, "Ann").expect("a user");
    let mut wire = Wire::begin(sandbox.address(), sandbox.rsa_public_pem()).await;
    let token = |answer| match answer {
        enums::auth::LoginToken::Token(shown) => shown.token,
        other => panic!("no token: {other:?}"),
    };
    let shown = token(wire.call(&introduced(export())).await.expect("a token"));
    world.accept_token(user, &shown).expect("accepted");
    wire.wait(|message| says_accepted(message).then_some(())).await;

    // Another one; the push is lost, and then there is another connection with another session.
    let mut wire = Wire::begin(sandbox.address(), sandbox.rsa_public_pem()).await;
    let lost = token(wire.call(&introduced(export())).await.expect("a token"));
    let kept = token(wire.call(&export()).await.expect("a token"));
    let gap = format!(r#"{{"kind":"gap","account":{user}}}"#);
    world
        .fault(serde_json::from_str(&gap).expect("a fault"))
        .expect("added");
    world.accept_token(user, &lost).expect("accepted");
    assert!(!wire.rest().await.iter().any(says_accepted), "it was lost");
    let (key, salt) = (wire.key.clone(), wire.salt);
    drop(wire);
    let mut again = Wire::over(Pipe::open(sandbox.address()).await, key, 7, salt);
    again
        .call(&introduced(f::help::GetConfig {}))
        .await
        .expect("a configuration");
    world.accept_token(user, &kept).expect("accepted");
    again.wait(|message| says_accepted(message).then_some(())).await;
    assert_eq!(user_of(again.call(&export()).await.expect("a login")), user);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_finds_an_account_in_the_other_centre() {
    let stage = Stage::with_centres(&[2, 4]).await;
    let (ann, bob) = (
        stage.user("+989120000001", "Ann"),
        stage.user("+989120000002", "Bob"),
    );
    let world = stage.handle();
    world.set_home(ann, 4).expect("there is one");
    let daemon = stage.daemon().await;
    let telegram = &daemon.handles.telegram;
    let added = telegram.add(NewAccount::default()).await.expect("added");
    let id = added.account.id;
    // The first time it is sent on to where the account lives.
    let begun = std::time::Instant::now();
    while let Err(error) = telegram
        .request_code(id, "+989120000001", Initiator::daemon())
        .await
    {
        assert!(begun.elapsed() < Duration::from_secs(20), "no code: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let code = world.code("+989120000001").expect("a code");
    telegram
        .submit_code(id, &code, Initiator::daemon())
        .await
        .expect("logged in");
    world.say(ann, bob, "over there?").expect("posted");
    until("it arrived", || received(&daemon) == ["over there?"]).await;
    assert_eq!(world.logins(ann).expect("a user")[0].dc, 4);
    daemon.stop(Duration::from_secs(5)).await;
}
