//! Pages behind links as records of the schema.

use grammers_tl_types::{enums, types};

use super::Viewer;
use crate::sandbox::world::pages::host;

impl Viewer<'_> {
    /// The preview of a page.
    pub fn page_media(&self, url: &str) -> enums::MessageMedia {
        types::MessageMediaWebPage {
            force_large_media: false,
            force_small_media: false,
            manual: false,
            safe: false,
            webpage: self.page(url),
        }
        .into()
    }

    /// A page as far as it is known.
    pub fn page(&self, url: &str) -> enums::WebPage {
        let page = self.state.pages.get(url);
        let id = page.map_or(0, |page| page.id);
        let address = Some(url.to_owned());
        match page.map(|page| (page.found, page.asked_at)) {
            Some((None, date)) => types::WebPagePending {
                id,
                url: address,
                date,
            }
            .into(),
            Some((Some(true), _)) => types::WebPage {
                has_large_media: false,
                video_cover_photo: false,
                id,
                url: url.to_owned(),
                display_url: url.split_once("://").map_or(url, |(_, rest)| rest).to_owned(),
                hash: 0,
                r#type: Some("article".to_owned()),
                site_name: Some(host(url).to_owned()),
                title: Some(format!("What stands at {}", host(url))),
                description: None,
                photo: None,
                embed_url: None,
                embed_type: None,
                embed_width: None,
                embed_height: None,
                duration: None,
                author: None,
                document: None,
                cached_page: None,
                attributes: None,
            }
            .into(),
            Some((Some(false), _)) | None => types::WebPageEmpty { id, url: address }.into(),
        }
    }

    /// Whether it is known that there is no page: then a message shows nothing.
    pub(super) fn has_no_page(&self, url: &str) -> bool {
        let page = self.state.pages.get(url);
        page.is_some_and(|page| page.found == Some(false))
    }
}
