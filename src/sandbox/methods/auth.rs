//! `auth.*`: login by code, sign-up, log out.

use grammers_tl_types::{Deserializable, Identifiable, enums, functions::auth as f, types};

use super::account::{end, may_end_others};
use super::{Answer, Ctx};
use crate::sandbox::world::codes::{Code, SignIn, Way};
use crate::sandbox::world::state::digits;
use crate::sandbox::world::{Refusal, State};

/// Who a call says to be that comes from a key without a login: the account of its phone number, or the one whose
/// password is asked for.
pub fn comer(state: &State, key: i64, body: &[u8]) -> Option<i64> {
    let constructor = u32::from_le_bytes(*body.first_chunk::<4>()?);
    let parameters = body.get(4..)?;
    let phone = match constructor {
        f::SendCode::CONSTRUCTOR_ID => f::SendCode::from_bytes(parameters).ok()?.phone_number,
        f::ResendCode::CONSTRUCTOR_ID => f::ResendCode::from_bytes(parameters).ok()?.phone_number,
        f::CancelCode::CONSTRUCTOR_ID => f::CancelCode::from_bytes(parameters).ok()?.phone_number,
        f::SignIn::CONSTRUCTOR_ID => f::SignIn::from_bytes(parameters).ok()?.phone_number,
        _ => return state.keys.known.get(&key)?.pending,
    };
    state.phones.get(&digits(&phone)).copied()
}

/// Refuses applications that the server does not know.
pub fn check_application(ctx: &mut Ctx<'_>, api_id: i32, api_hash: &str) -> Answer<()> {
    if ctx
        .api
        .is_some_and(|(id, hash)| *id != api_id || hash != api_hash)
    {
        return Err(Refusal::bad("API_ID_INVALID"));
    }
    ctx.state.keys.known.entry(ctx.key.0).or_default().api_id = api_id;
    Ok(())
}

/// Sends who comes with a number to the data centre where its account lives.
fn check_centre(ctx: &Ctx<'_>, phone: &str) -> Answer<()> {
    let home = ctx
        .state
        .phones
        .get(&digits(phone))
        .map(|user| ctx.state.home(*user));
    match home {
        Some(home) if home != ctx.dc => Err(Refusal::other(303, format!("PHONE_MIGRATE_{home}"))),
        _ => Ok(()),
    }
}

/// `auth.sendCode`
pub fn send_code(ctx: &mut Ctx<'_>, r: f::SendCode) -> Answer<enums::auth::SentCode> {
    check_application(ctx, r.api_id, &r.api_hash)?;
    check_centre(ctx, &r.phone_number)?;
    ctx.state.send_code(&r.phone_number).map(sent)
}

/// `auth.resendCode`
pub fn resend_code(ctx: &mut Ctx<'_>, r: f::ResendCode) -> Answer<enums::auth::SentCode> {
    check_centre(ctx, &r.phone_number)?;
    ctx.state
        .resend_code(&r.phone_number, &r.phone_code_hash)
        .map(sent)
}

fn sent(code: Code) -> enums::auth::SentCode {
    use enums::auth::CodeType;
    types::auth::SentCode {
        r#type: match code.way {
            Way::App => types::auth::SentCodeTypeApp { length: 5 }.into(),
            Way::Sms => types::auth::SentCodeTypeSms { length: 5 }.into(),
            Way::Call => types::auth::SentCodeTypeCall { length: 5 }.into(),
        },
        phone_code_hash: code.hash,
        next_type: code.way.next().map(|way| match way {
            Way::App | Way::Sms => CodeType::Sms,
            Way::Call => CodeType::Call,
        }),
        timeout: Some(120),
    }
    .into()
}

/// `auth.cancelCode`
pub fn cancel_code(ctx: &mut Ctx<'_>, r: f::CancelCode) -> Answer<bool> {
    ctx.state
        .cancel_code(&r.phone_number, &r.phone_code_hash)
        .map(|()| true)
}

/// `auth.signIn`
pub fn sign_in(ctx: &mut Ctx<'_>, r: f::SignIn) -> Answer<enums::auth::Authorization> {
    let code = r.phone_code.unwrap_or_default();
    check_centre(ctx, &r.phone_number)?;
    match ctx
        .state
        .sign_in(ctx.key.0, &r.phone_number, &r.phone_code_hash, &code)?
    {
        SignIn::Done(user) => Ok(authorization(ctx, user)),
        SignIn::SignUp => Ok(types::auth::AuthorizationSignUpRequired {
            terms_of_service: None,
        }
        .into()),
    }
}

/// `auth.signUp`
pub fn sign_up(ctx: &mut Ctx<'_>, r: f::SignUp) -> Answer<enums::auth::Authorization> {
    let user = ctx.state.sign_up(
        ctx.key.0,
        &r.phone_number,
        &r.phone_code_hash,
        &r.first_name,
        &r.last_name,
    )?;
    Ok(authorization(ctx, user))
}

/// What who has logged in is answered.
pub fn authorization(ctx: &Ctx<'_>, user: i64) -> enums::auth::Authorization {
    types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user: ctx.viewer(user).user(user),
    }
    .into()
}

/// `auth.logOut`
pub fn log_out(ctx: &mut Ctx<'_>, _: f::LogOut) -> Answer<enums::auth::LoggedOut> {
    ctx.me()?;
    ctx.state.log_out(ctx.key.0);
    ctx.hub.unsubscribe(ctx.key);
    Ok(types::auth::LoggedOut {
        future_auth_token: None,
    }
    .into())
}

/// `auth.resetAuthorizations`
pub fn reset_authorizations(ctx: &mut Ctx<'_>, _: f::ResetAuthorizations) -> Answer<bool> {
    let me = ctx.me()?;
    may_end_others(ctx)?;
    let others: Vec<i64> = ctx
        .state
        .account(me)?
        .keys
        .iter()
        .copied()
        .filter(|key| *key != ctx.key.0)
        .collect();
    for key in others {
        end(ctx, key);
    }
    Ok(true)
}

/// `auth.exportAuthorization`
pub fn export_authorization(
    ctx: &mut Ctx<'_>,
    r: f::ExportAuthorization,
) -> Answer<enums::auth::ExportedAuthorization> {
    let (id, bytes) = ctx.state.make_ticket(ctx.key.0, ctx.dc, r.dc_id)?;
    Ok(types::auth::ExportedAuthorization { id, bytes }.into())
}

/// `auth.importAuthorization`
pub fn import_authorization(
    ctx: &mut Ctx<'_>,
    r: f::ImportAuthorization,
) -> Answer<enums::auth::Authorization> {
    let user = ctx.state.take_ticket(ctx.key.0, ctx.dc, r.id, &r.bytes)?;
    Ok(authorization(ctx, user))
}
