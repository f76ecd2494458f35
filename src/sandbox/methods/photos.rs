//! `photos.*`: profile pictures.

use grammers_tl_types::{enums, functions::photos as f, types};

use super::{Answer, Ctx};
use crate::sandbox::world::{Passing, Peer, Refusal};

/// `photos.getUserPhotos`: the present one, if there is one.
pub fn get_user_photos(ctx: &mut Ctx<'_>, r: f::GetUserPhotos) -> Answer<enums::photos::Photos> {
    let me = ctx.me()?;
    let user = ctx.user(me, &r.user_id)?;
    let viewer = ctx.viewer(me);
    viewer.name(Peer::User(user));
    let photo = ctx
        .state
        .account(user)?
        .photo
        .and_then(|photo| ctx.state.files.stored.get(&photo));
    let photos = photo
        .filter(|_| r.offset <= 0)
        .map(|photo| viewer.photo(photo, None))
        .into_iter()
        .collect();
    let (users, _) = viewer.named();
    Ok(types::photos::Photos { photos, users }.into())
}

/// `photos.uploadProfilePhoto`
pub fn upload_profile_photo(ctx: &mut Ctx<'_>, r: f::UploadProfilePhoto) -> Answer<enums::photos::Photo> {
    let me = ctx.me()?;
    let file = r.file.ok_or(Refusal::bad("PHOTO_FILE_MISSING"))?;
    let photo = super::upload::picture(ctx, me, &file)?;
    let dc = ctx.state.home(me);
    if let Some(stored) = ctx.state.files.stored.get_mut(&photo) {
        stored.dc = Some(dc);
    }
    ctx.state.account_mut(me)?.photo = Some(photo);
    ctx.state.tell_acquaintances(me, &Passing::User { user: me });
    let viewer = ctx.viewer(me);
    viewer.name(Peer::User(me));
    let stored = ctx
        .state
        .files
        .stored
        .get(&photo)
        .ok_or(Refusal::bad("PHOTO_INVALID"))?;
    let photo = viewer.photo(stored, None);
    let (users, _) = viewer.named();
    Ok(types::photos::Photo { photo, users }.into())
}
