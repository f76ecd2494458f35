//! The floor of webhooks: a loop that posts bodies of the same size with as many in flight, and keeps nothing.

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::scene::Failed;

/// As many as the daemon has by default.
const IN_FLIGHT: usize = 32;

/// Posts so many bodies to a URL.
pub async fn play(arguments: &[String]) -> Result<(), Failed> {
    let [url, count] = arguments else {
        return Err("a URL and a number".into());
    };
    let client = reqwest::Client::new();
    let posts = (0..count.parse::<usize>()?).map(|number| {
        let request = client.post(url).header("webhook-id", number).json(&json!({
            "id": "evt_01m7yxtkb9vgd6k5k6trgepgan", "type": "message.new", "timestamp": "2026-11-21T11:28:21.353Z",
            "session": "ses_01m7yxrpp67k71pyjnff1bg41t", "metadata": null,
            "data": {"chat": -1_001_500_000_001_i64, "id": number, "date": "2026-11-21T11:28:21.000Z", "out": false,
                     "post": true, "silent": false, "service": false, "protected": false,
                     "text": format!("bare №{number}"), "entities": []},
        }));
        async move { request.send().await?.error_for_status()?.bytes().await.map(|_| ()) }
    });
    let mut posts = stream::iter(posts).buffer_unordered(IN_FLIGHT);
    while let Some(posted) = posts.next().await {
        posted?;
    }
    Ok(())
}
