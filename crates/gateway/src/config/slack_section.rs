//! `[slack]`: the app that reads partners' channels and writes to them.

use super::reader::{Section, url};

/// None without the section.
pub(super) fn read(mut section: Section<'_>) -> Option<desk::slack::Config> {
    if !section.is_there() {
        return None;
    }
    for (key, example) in [("bot_token", "xoxb-…"), ("signing_secret", "{ file = \"PATH\" }")] {
        if !section.has(key) {
            section.wrong(
                key,
                "is missing",
                &format!("add `{key} = {example}`, as Slack shows it for your app"),
            );
        }
    }
    let bot_token = section.secret("bot_token").unwrap_or_default();
    let signing_secret = section.secret("signing_secret").unwrap_or_default();
    let api_url = url(&mut section, "api_url");
    if let Some(url) = api_url.as_deref().and_then(|url| url::Url::parse(url).ok())
        && url.scheme() == "http"
        && !desk::is_loopback(&url)
    {
        let what = "plain http gives the app's token to everybody on the way";
        section.wrong("api_url", what, "write `https://`, or remove it");
    }
    section.finish();
    let mut config = desk::slack::Config::new(bot_token, signing_secret);
    if let Some(api_url) = api_url {
        config.api_url = api_url;
    }
    Some(config)
}
