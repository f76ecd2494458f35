//! `help.*` and `langpack.*`: what the server says of itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use grammers_tl_types::{enums, functions as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::blank_full;
use crate::sandbox::world::account::DC;

/// `help.getConfig`
pub fn get_config(ctx: &mut Ctx<'_>, _: f::help::GetConfig) -> Answer<enums::Config> {
    let date = ctx.state.date();
    Ok(types::Config {
        revoke_pm_inbox: true,
        date,
        expires: date + 3600,
        this_dc: ctx.dc,
        dc_options: options(ctx.centres, ctx.state.switches.many_options.decides()),
        dc_txt_domain_name: "sandbox.invalid".to_owned(),
        chat_size_max: 200,
        megagroup_size_max: 200_000,
        forwarded_count_max: 100,
        online_update_period_ms: 210_000,
        offline_blur_timeout_ms: 5_000,
        offline_idle_timeout_ms: 30_000,
        online_cloud_timeout_ms: 300_000,
        notify_cloud_delay_ms: 30_000,
        notify_default_delay_ms: 1_500,
        push_chat_period_ms: 60_000,
        push_chat_limit: 2,
        edit_time_limit: 172_800,
        revoke_time_limit: i32::MAX,
        revoke_pm_time_limit: i32::MAX,
        rating_e_decay: 2_419_200,
        stickers_recent_limit: 200,
        channels_read_media_period: 604_800,
        call_receive_timeout_ms: 20_000,
        call_ring_timeout_ms: 90_000,
        call_connect_timeout_ms: 30_000,
        call_packet_timeout_ms: 10_000,
        me_url_prefix: "https://t.me/".to_owned(),
        caption_length_max: 1024,
        message_length_max: 4096,
        webfile_dc_id: ctx.dc,
        ..blank_full::config()
    }
    .into())
}

/// The centre for files that are asked for by many, as clients know it.
const CDN: i32 = 203;

/// Where each data centre is found: its main address first, and on Telegram others beside it that are good for some
/// things or some clients only. Nobody listens at the address of version 6.
fn options(centres: &BTreeMap<i32, SocketAddr>, many: bool) -> Vec<enums::DcOption> {
    let main = |(id, address): (&i32, &SocketAddr)| types::DcOption {
        ipv6: address.is_ipv6(),
        media_only: false,
        tcpo_only: false,
        cdn: false,
        r#static: true,
        this_port_only: false,
        id: *id,
        ip_address: address.ip().to_string(),
        port: i32::from(address.port()),
        secret: None,
    };
    let others = |main: &types::DcOption| {
        [
            types::DcOption {
                ipv6: true,
                ip_address: "::1".to_owned(),
                ..main.clone()
            },
            types::DcOption {
                media_only: true,
                r#static: false,
                ..main.clone()
            },
            types::DcOption {
                tcpo_only: true,
                r#static: false,
                secret: Some(vec![0xdd; 16]),
                ..main.clone()
            },
        ]
    };
    let cdn = |main: &types::DcOption| types::DcOption {
        cdn: true,
        id: CDN,
        ..main.clone()
    };
    let mut found: Vec<types::DcOption> = Vec::new();
    for main in centres.iter().map(main) {
        let others = others(&main);
        found.push(main);
        found.extend(others.into_iter().filter(|_| many));
    }
    let cdn = found.first().filter(|_| many).map(cdn);
    found.extend(cdn);
    found.into_iter().map(Into::into).collect()
}

/// `help.getAppConfig`
pub fn get_app_config(_: &mut Ctx<'_>, _: f::help::GetAppConfig) -> Answer<enums::help::AppConfig> {
    let entry = |key: &str, value: f64| -> enums::JsonobjectValue {
        types::JsonObjectValue {
            key: key.to_owned(),
            value: types::JsonNumber { value }.into(),
        }
        .into()
    };
    let value = vec![
        entry("caption_length_limit_default", 1024.0),
        entry("caption_length_limit_premium", 4096.0),
        entry("upload_max_fileparts_default", 4000.0),
        entry("upload_max_fileparts_premium", 8000.0),
        entry("channels_limit_default", 500.0),
        entry("channels_limit_premium", 1000.0),
    ];
    Ok(types::help::AppConfig {
        hash: 1,
        config: types::JsonObject { value }.into(),
    }
    .into())
}

/// `help.getNearestDc`
pub fn get_nearest_dc(ctx: &mut Ctx<'_>, _: f::help::GetNearestDc) -> Answer<enums::NearestDc> {
    Ok(types::NearestDc {
        country: "DE".to_owned(),
        this_dc: ctx.dc,
        nearest_dc: DC,
    }
    .into())
}

/// `help.getCdnConfig`
pub fn get_cdn_config(_: &mut Ctx<'_>, _: f::help::GetCdnConfig) -> Answer<enums::CdnConfig> {
    Ok(types::CdnConfig {
        public_keys: Vec::new(),
    }
    .into())
}

/// `help.getTermsOfServiceUpdate`
pub fn get_terms_of_service_update(
    ctx: &mut Ctx<'_>,
    _: f::help::GetTermsOfServiceUpdate,
) -> Answer<enums::help::TermsOfServiceUpdate> {
    Ok(types::help::TermsOfServiceUpdateEmpty {
        expires: ctx.state.date() + 86_400,
    }
    .into())
}

/// `help.getPromoData`
pub fn get_promo_data(ctx: &mut Ctx<'_>, _: f::help::GetPromoData) -> Answer<enums::help::PromoData> {
    Ok(types::help::PromoDataEmpty {
        expires: ctx.state.date() + 86_400,
    }
    .into())
}

/// `langpack.getLanguages`
pub fn get_languages(_: &mut Ctx<'_>, _: f::langpack::GetLanguages) -> Answer<Vec<enums::LangPackLanguage>> {
    Ok(Vec::new())
}

/// `langpack.getLangPack`
pub fn get_lang_pack(_: &mut Ctx<'_>, r: f::langpack::GetLangPack) -> Answer<enums::LangPackDifference> {
    Ok(no_strings(r.lang_code))
}

/// `langpack.getDifference`
pub fn get_lang_difference(
    _: &mut Ctx<'_>,
    r: f::langpack::GetDifference,
) -> Answer<enums::LangPackDifference> {
    Ok(no_strings(r.lang_code))
}

fn no_strings(lang_code: String) -> enums::LangPackDifference {
    types::LangPackDifference {
        lang_code,
        from_version: 0,
        version: 1,
        strings: Vec::new(),
    }
    .into()
}

/// `langpack.getStrings`
pub fn get_strings(_: &mut Ctx<'_>, _: f::langpack::GetStrings) -> Answer<Vec<enums::LangPackString>> {
    Ok(Vec::new())
}
