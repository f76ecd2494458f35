//! `auth.*`: login by code, sign-up, log out.

use grammers_tl_types::{Deserializable, Identifiable, enums, functions::auth as f, types};

use super::account::{end, may_end_others};
use super::{Answer, Ctx};
use crate::sandbox::world::codes::{Code, Proof, Sent, SignIn};
use crate::sandbox::world::state::digits;
use crate::sandbox::world::ways::Way;
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
    let enums::CodeSettings::Settings(settings) = r.settings;
    let tokens = settings.logout_tokens.unwrap_or_default();
    match ctx.state.send_code(ctx.key.0, &r.phone_number, &tokens)? {
        Sent::Code(code) => Ok(sent(ctx, &r.phone_number, code)),
        Sent::Done(user) => Ok(types::auth::SentCodeSuccess {
            authorization: authorization(ctx, user),
        }
        .into()),
    }
}

/// `auth.resendCode`
pub fn resend_code(ctx: &mut Ctx<'_>, r: f::ResendCode) -> Answer<enums::auth::SentCode> {
    check_centre(ctx, &r.phone_number)?;
    let code = ctx
        .state
        .resend_code(ctx.key.0, &r.phone_number, &r.phone_code_hash)?;
    Ok(sent(ctx, &r.phone_number, code))
}

fn sent(ctx: &Ctx<'_>, phone: &str, code: Code) -> enums::auth::SentCode {
    use enums::auth::CodeType;
    let plan = ctx.state.plan(&digits(phone));
    let length = i32::try_from(code.code.len()).unwrap_or_default();
    let first = |text: &str, many: usize| Some(text.chars().take(many).collect::<String>());
    let r#type: enums::auth::SentCodeType = match code.way {
        Way::App => types::auth::SentCodeTypeApp { length }.into(),
        Way::Sms => types::auth::SentCodeTypeSms { length }.into(),
        Way::Call => types::auth::SentCodeTypeCall { length }.into(),
        Way::FlashCall => types::auth::SentCodeTypeFlashCall {
            pattern: format!("{}*", first(&code.code, 4).unwrap_or_default()),
        }
        .into(),
        Way::MissedCall => types::auth::SentCodeTypeMissedCall {
            prefix: "+447400".to_owned(),
            length,
        }
        .into(),
        Way::Fragment => types::auth::SentCodeTypeFragmentSms {
            url: format!("https://fragment.com/login/{}", digits(phone)),
            length,
        }
        .into(),
        Way::Firebase => types::auth::SentCodeTypeFirebaseSms {
            nonce: Some(vec![7; 32]),
            play_integrity_project_id: None,
            play_integrity_nonce: None,
            receipt: None,
            push_timeout: None,
            length,
        }
        .into(),
        Way::Word => types::auth::SentCodeTypeSmsWord {
            beginning: first(&code.code, 1),
        }
        .into(),
        Way::Phrase => types::auth::SentCodeTypeSmsPhrase {
            beginning: code.code.split(' ').next().map(str::to_owned),
        }
        .into(),
        Way::Email => types::auth::SentCodeTypeEmailCode {
            apple_signin_allowed: false,
            google_signin_allowed: false,
            email_pattern: plan.pattern(),
            length,
            reset_available_period: None,
            reset_pending_date: None,
        }
        .into(),
        Way::EmailSetup => types::auth::SentCodeTypeSetUpEmailRequired {
            apple_signin_allowed: false,
            google_signin_allowed: false,
        }
        .into(),
        Way::Payment => {
            return types::auth::SentCodePaymentRequired {
                store_product: "org.telegram.login".to_owned(),
                phone_code_hash: code.hash,
                support_email_address: "login@example.org".to_owned(),
                support_email_subject: "A code".to_owned(),
                premium_days: 7,
                currency: "USD".to_owned(),
                amount: 99,
            }
            .into();
        }
    };
    let next = plan.next(code.way).filter(|way| way.may_come_next());
    let wait = code.again_at - ctx.state.now;
    types::auth::SentCode {
        r#type,
        phone_code_hash: code.hash,
        next_type: next.map(|way| match way {
            Way::Call => CodeType::Call,
            Way::FlashCall => CodeType::FlashCall,
            Way::MissedCall => CodeType::MissedCall,
            Way::Fragment => CodeType::FragmentSms,
            _ => CodeType::Sms,
        }),
        timeout: (wait > 0).then(|| i32::try_from(wait / 1000).unwrap_or(i32::MAX)),
    }
    .into()
}

/// `auth.cancelCode`
pub fn cancel_code(ctx: &mut Ctx<'_>, r: f::CancelCode) -> Answer<bool> {
    ctx.state
        .cancel_code(ctx.key.0, &r.phone_number, &r.phone_code_hash)
        .map(|()| true)
}

/// `auth.signIn`
pub fn sign_in(ctx: &mut Ctx<'_>, r: f::SignIn) -> Answer<enums::auth::Authorization> {
    let proof = match (&r.email_verification, &r.phone_code) {
        (Some(enums::EmailVerification::Code(mailed)), _) => Proof::Mailed(&mailed.code),
        (Some(_), _) => return Err(Refusal::bad("PHONE_CODE_INVALID")),
        (None, typed) => Proof::Typed(typed.as_deref().unwrap_or_default()),
    };
    check_centre(ctx, &r.phone_number)?;
    match ctx
        .state
        .sign_in(ctx.key.0, &r.phone_number, &r.phone_code_hash, proof)?
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
pub fn authorization(ctx: &mut Ctx<'_>, user: i64) -> enums::auth::Authorization {
    let future_auth_token = ctx.state.future_token(user);
    types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token,
        user: ctx.viewer(user).user(user),
    }
    .into()
}

/// `auth.logOut`
pub fn log_out(ctx: &mut Ctx<'_>, _: f::LogOut) -> Answer<enums::auth::LoggedOut> {
    let me = ctx.me()?;
    ctx.state.log_out(ctx.key.0);
    ctx.hub.unsubscribe(ctx.key);
    let future_auth_token = ctx.state.future_token(me);
    Ok(types::auth::LoggedOut { future_auth_token }.into())
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
