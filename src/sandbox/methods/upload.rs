//! `upload.*`: parts up, blocks down.

use grammers_tl_types::{enums, functions::upload as f, types};

use super::{Answer, Ctx};
use crate::sandbox::render::media::read_attribute;
use crate::sandbox::world::files::{Attribute, FileKind, Stored};
use crate::sandbox::world::probing::{Wish, probe};
use crate::sandbox::world::uploading::Part;
use crate::sandbox::world::{Peer, Refusal, pictures};

/// No answer crosses a border of this size.
const BLOCK: i64 = 1_048_576;

/// `upload.saveFilePart`
pub fn save_file_part(ctx: &mut Ctx<'_>, r: f::SaveFilePart) -> Answer<bool> {
    let me = ctx.me()?;
    let part = Part {
        file: r.file_id,
        number: r.file_part,
        total: None,
        bytes: r.bytes,
    };
    ctx.state.save_part(me, part)?;
    Ok(true)
}

/// `upload.saveBigFilePart`
pub fn save_big_file_part(ctx: &mut Ctx<'_>, r: f::SaveBigFilePart) -> Answer<bool> {
    let me = ctx.me()?;
    if r.file_total_parts != -1 && r.file_part >= r.file_total_parts {
        return Err(Refusal::bad("FILE_PART_INVALID"));
    }
    let part = Part {
        file: r.file_id,
        number: r.file_part,
        total: Some(r.file_total_parts),
        bytes: r.bytes,
    };
    ctx.state.save_part(me, part)?;
    Ok(true)
}

/// The bytes of an uploaded file.
pub fn whole(ctx: &mut Ctx<'_>, me: i64, file: &enums::InputFile) -> Answer<Vec<u8>> {
    match file {
        enums::InputFile::File(file) => ctx
            .state
            .assemble(me, file.id, file.parts, Some(&file.md5_checksum)),
        enums::InputFile::Big(file) => ctx.state.assemble(me, file.id, file.parts, None),
        enums::InputFile::StoryDocument(_) => Err(Refusal::bad("MEDIA_INVALID")),
    }
}

/// A picture of an uploaded file; answers the world's number of it.
pub fn picture(ctx: &mut Ctx<'_>, me: i64, file: &enums::InputFile) -> Answer<i64> {
    if ctx.state.switches.pictures_anew.decides() {
        pictures::check_name(match file {
            enums::InputFile::File(file) => &file.name,
            enums::InputFile::Big(file) => &file.name,
            enums::InputFile::StoryDocument(_) => "",
        })?;
    }
    let bytes = whole(ctx, me, file)?;
    ctx.state.keep_photo(bytes)
}

/// A document of an uploaded file, as the server takes it; answers the world's number of it.
pub fn document(ctx: &mut Ctx<'_>, me: i64, new: types::InputMediaUploadedDocument) -> Answer<i64> {
    let bytes = whole(ctx, me, &new.file)?;
    let told = new.attributes.into_iter().filter_map(read_attribute).collect();
    let probed = ctx.state.switches.kinds_probed.decides();
    let wish = Wish {
        force_file: new.force_file,
        nosound_video: new.nosound_video,
    };
    let attributes = match probed {
        true => probe(&new.mime_type, told, &bytes, wish),
        false => told,
    };
    let seen = |attribute: &Attribute| matches!(attribute, Attribute::Image { .. } | Attribute::Video { .. });
    let shown = attributes.iter().any(seen);
    let kind = FileKind::Document {
        mime: new.mime_type,
        attributes,
    };
    let file = ctx.state.keep_file(bytes, kind);
    if probed {
        let thumb = match &new.thumb {
            Some(thumb) => Some(whole(ctx, me, thumb)?),
            None if shown => Some(crate::sandbox::acts::picture(32, 24, file.unsigned_abs())?),
            None => None,
        };
        thumb
            .into_iter()
            .for_each(|bytes| ctx.state.keep_thumb(file, bytes));
    }
    Ok(file)
}

/// `upload.getFile`
pub fn get_file(ctx: &mut Ctx<'_>, r: f::GetFile) -> Answer<enums::upload::File> {
    let me = ctx.me()?;
    let (offset, limit) = (r.offset, i64::from(r.limit));
    let step = if r.precise { 1024 } else { 4096 };
    if offset < 0 || offset % step != 0 {
        return Err(Refusal::bad("OFFSET_INVALID"));
    }
    let fits = if r.precise {
        limit <= BLOCK
    } else {
        limit > 0 && BLOCK % limit == 0
    };
    if limit <= 0 || limit % step != 0 || !fits || offset / BLOCK != (offset + limit - 1) / BLOCK {
        return Err(Refusal::bad("LIMIT_INVALID"));
    }
    let (id, letter) = locate(ctx, me, &r.location)?;
    let file = ctx
        .state
        .files
        .stored
        .get(&id)
        .ok_or(Refusal::bad("LOCATION_INVALID"))?;
    let centre = ctx.state.centre_of(file, me);
    if centre != ctx.dc {
        return Err(Refusal::other(303, format!("FILE_MIGRATE_{centre}")));
    }
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let to = from.saturating_add(usize::try_from(limit).unwrap_or(0));
    let bytes = ctx.state.part_of(file, letter, from..to);
    let bytes = bytes.ok_or(Refusal::bad("LOCATION_INVALID"))?;
    Ok(types::upload::File {
        r#type: file_type(file),
        mtime: file.date,
        bytes,
    }
    .into())
}

/// The file behind a location, and the size of a picture that it names.
fn locate<'a>(
    ctx: &mut Ctx<'_>,
    me: i64,
    location: &'a enums::InputFileLocation,
) -> Answer<(i64, Option<&'a str>)> {
    use enums::InputFileLocation as L;
    let letter = match location {
        L::InputPhotoFileLocation(l) => Some(l.thumb_size.as_str()),
        L::InputDocumentFileLocation(l) => Some(l.thumb_size.as_str()),
        _ => None,
    };
    let letter = letter.filter(|letter| !letter.is_empty());
    let id = match location {
        L::InputDocumentFileLocation(l) => super::send::open(ctx, me, l.id, l.access_hash, &l.file_reference),
        L::InputPhotoFileLocation(l) => super::send::open(ctx, me, l.id, l.access_hash, &l.file_reference),
        L::InputPeerPhotoFileLocation(l) => {
            let photo = match ctx.peer(me, &l.peer)? {
                Peer::User(user) => ctx.state.account(user)?.photo,
                _ => None,
            };
            photo
                .filter(|photo| *photo == l.photo_id)
                .ok_or(Refusal::bad("LOCATION_INVALID"))
        }
        _ => Err(Refusal::bad("LOCATION_INVALID")),
    }?;
    Ok((id, letter))
}

fn file_type(file: &Stored) -> enums::storage::FileType {
    use enums::storage::FileType as T;
    match &file.kind {
        FileKind::Photo { .. } => T::FileJpeg,
        FileKind::Document { mime, .. } => match mime.as_str() {
            "image/jpeg" => T::FileJpeg,
            "image/png" => T::FilePng,
            "image/gif" => T::FileGif,
            "image/webp" => T::FileWebp,
            "video/mp4" => T::FileMp4,
            "audio/mpeg" => T::FileMp3,
            "application/pdf" => T::FilePdf,
            _ => T::FileUnknown,
        },
    }
}
