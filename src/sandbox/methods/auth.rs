//! `auth.*`: login by code, sign-up, log out.

use grammers_tl_types::{enums, functions::auth as f, types};

use super::{Answer, Ctx};
use crate::sandbox::world::Refusal;
use crate::sandbox::world::keys::{Code, SignIn};
use crate::sandbox::world::state::digits;

/// `auth.sendCode`
pub fn send_code(ctx: &mut Ctx<'_>, r: f::SendCode) -> Answer<enums::auth::SentCode> {
    if ctx
        .api
        .is_some_and(|(id, hash)| *id != r.api_id || *hash != r.api_hash)
    {
        return Err(Refusal::bad("API_ID_INVALID"));
    }
    ctx.state.keys.known.entry(ctx.key.0).or_default().api_id = r.api_id;
    let code = ctx.state.send_code(&r.phone_number)?;
    Ok(sent(ctx, &r.phone_number, &code))
}

/// `auth.resendCode`
pub fn resend_code(ctx: &mut Ctx<'_>, r: f::ResendCode) -> Answer<enums::auth::SentCode> {
    let known = ctx.state.keys.codes.get(&digits(&r.phone_number));
    if known.is_none_or(|code| code.hash != r.phone_code_hash) {
        return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
    }
    let code = ctx.state.send_code(&r.phone_number)?;
    Ok(sent(ctx, &r.phone_number, &code))
}

fn sent(ctx: &Ctx<'_>, phone: &str, code: &Code) -> enums::auth::SentCode {
    let user = ctx
        .state
        .phones
        .get(&digits(phone))
        .and_then(|user| ctx.state.accounts.get(user));
    let elsewhere = user.is_some_and(|account| !account.keys.is_empty());
    types::auth::SentCode {
        r#type: match elsewhere {
            true => types::auth::SentCodeTypeApp { length: 5 }.into(),
            false => types::auth::SentCodeTypeSms { length: 5 }.into(),
        },
        phone_code_hash: code.hash.clone(),
        next_type: None,
        timeout: Some(120),
    }
    .into()
}

/// `auth.cancelCode`
pub fn cancel_code(ctx: &mut Ctx<'_>, r: f::CancelCode) -> Answer<bool> {
    let phone = digits(&r.phone_number);
    if ctx
        .state
        .keys
        .codes
        .get(&phone)
        .is_none_or(|code| code.hash != r.phone_code_hash)
    {
        return Err(Refusal::bad("PHONE_CODE_HASH_EMPTY"));
    }
    ctx.state.keys.codes.remove(&phone);
    Ok(true)
}

/// `auth.signIn`
pub fn sign_in(ctx: &mut Ctx<'_>, r: f::SignIn) -> Answer<enums::auth::Authorization> {
    let code = r.phone_code.unwrap_or_default();
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

fn authorization(ctx: &Ctx<'_>, user: i64) -> enums::auth::Authorization {
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
    let others: Vec<i64> = ctx
        .state
        .account(me)?
        .keys
        .iter()
        .copied()
        .filter(|key| *key != ctx.key.0)
        .collect();
    for key in others {
        super::account::end(ctx, key);
    }
    Ok(true)
}

/// `auth.exportAuthorization`: there is one data centre only.
pub fn export_authorization(
    ctx: &mut Ctx<'_>,
    _: f::ExportAuthorization,
) -> Answer<enums::auth::ExportedAuthorization> {
    ctx.me()?;
    Err(Refusal::bad("DC_ID_INVALID"))
}

/// `auth.importAuthorization`: nothing is ever exported.
pub fn import_authorization(
    _: &mut Ctx<'_>,
    _: f::ImportAuthorization,
) -> Answer<enums::auth::Authorization> {
    Err(Refusal::bad("AUTH_BYTES_INVALID"))
}
