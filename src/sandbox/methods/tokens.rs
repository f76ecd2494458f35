//! `auth.*LoginToken`: login by QR, and the acceptance of one by an account that is logged in.

use grammers_tl_types::{enums, functions::auth as f, types};

use super::{Answer, Ctx, account, auth};
use crate::sandbox::world::tokens::Exported;

/// `auth.exportLoginToken`. Who asks is told when the token is accepted, though nobody is logged in.
pub fn export_login_token(ctx: &mut Ctx<'_>, r: f::ExportLoginToken) -> Answer<enums::auth::LoginToken> {
    auth::check_application(ctx, r.api_id, &r.api_hash)?;
    ctx.hub.subscribe(ctx.key, ctx.session);
    let exported = ctx.state.export_token(ctx.key.0, ctx.dc, r.except_ids)?;
    Ok(login_token(ctx, exported))
}

/// `auth.importLoginToken`
pub fn import_login_token(ctx: &mut Ctx<'_>, r: f::ImportLoginToken) -> Answer<enums::auth::LoginToken> {
    let exported = ctx.state.import_token(ctx.key.0, ctx.dc, &r.token)?;
    Ok(login_token(ctx, exported))
}

/// `auth.acceptLoginToken`
pub fn accept_login_token(ctx: &mut Ctx<'_>, r: f::AcceptLoginToken) -> Answer<enums::Authorization> {
    let me = ctx.me()?;
    let key = ctx.state.accept_token(me, &r.token)?;
    let known = ctx.state.keys.known.get(&key).cloned().unwrap_or_default();
    let hash = ctx.state.login_hash(key);
    let now = ctx.state.date();
    let record = account::record(&known, hash);
    Ok(types::Authorization {
        password_pending: ctx.state.account(me)?.password.is_some(),
        date_created: now,
        date_active: now,
        ..record
    }
    .into())
}

fn login_token(ctx: &mut Ctx<'_>, exported: Exported) -> enums::auth::LoginToken {
    match exported {
        Exported::Show { token, expires } => types::auth::LoginToken { expires, token }.into(),
        Exported::Elsewhere { dc, token } => types::auth::LoginTokenMigrateTo { dc_id: dc, token }.into(),
        Exported::Done(user) => types::auth::LoginTokenSuccess {
            authorization: auth::authorization(ctx, user),
        }
        .into(),
    }
}
