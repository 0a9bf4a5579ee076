//! `[desk]`: its address and credentials.

use std::time::Duration;

use super::reader::{Section, url};

/// The section.
pub(super) struct DeskSection {
    pub(super) config: desk::Config,
    pub(super) attachments_public: bool,
    pub(super) ticket_form_id: Option<u64>,
    /// Signs the desk's webhooks.
    pub(super) webhook_secret: Option<String>,
    /// How often the desk is asked which tickets have changed.
    pub(super) poll_every: Duration,
}

/// Webhooks get lost. The desk allows ten such calls a minute.
const POLL_EVERY: Duration = Duration::from_secs(60);
const POLL_EVERY_MIN: Duration = Duration::from_secs(1);

pub(super) fn read(mut section: Section<'_>) -> DeskSection {
    let kind = section.string("kind").unwrap_or_else(|| "zendesk".into());
    if kind != "zendesk" {
        section.wrong("kind", &format!("`{kind}` is not a known desk"), "write `\"zendesk\"`");
    }
    if !section.has("url") {
        section.wrong("url", "is missing", "add `url = \"https://YOURS.zendesk.com\"`");
    }
    let url = url(&mut section, "url").unwrap_or_default();
    if url::Url::parse(&url).is_ok_and(|url| url.scheme() == "http" && !desk::is_loopback(&url)) {
        let what = "plain http gives the desk's credentials to everybody on the way";
        section.wrong("url", what, "write `https://`, as the desk has it");
    }
    // Given keys count: a secret that cannot be read is a mistake of its own.
    let given = ["client_id", "client_secret", "email", "api_token"].map(|key| section.has(key));
    let mut secret = |key| section.secret(key).unwrap_or_default();
    let oauth = (secret("client_id"), secret("client_secret"));
    let token = (secret("email"), secret("api_token"));
    let credentials = match given {
        [true, true, false, false] => desk::Credentials::Oauth { client_id: oauth.0, client_secret: oauth.1 },
        [false, false, true, true] => desk::Credentials::ApiToken { email: token.0, api_token: token.1 },
        _ => {
            let what = "the desk's credentials are not complete, or given twice";
            let fix = "give client_id and client_secret, or else email and api_token";
            section.wrong("client_id", what, fix);
            desk::Credentials::ApiToken { email: String::new(), api_token: String::new() }
        }
    };
    let ticket_form_id = section.number("ticket_form_id", "360001172559");
    let webhook_secret = section.secret("webhook_secret");
    if webhook_secret.as_deref().is_some_and(desk::is_test_secret) {
        let what = "is the desk's public test secret, which anybody can sign with";
        section.wrong("webhook_secret", what, "write the secret that the desk shows for this webhook");
    }
    let attachments_public = match section.string("attachment_visibility").as_deref() {
        None | Some("private") => false,
        Some("public") => true,
        Some(_) => {
            let fix = "write `\"private\"` or `\"public\"`";
            section.wrong("attachment_visibility", "is unknown", fix);
            false
        }
    };
    let poll_every = section.duration("poll_every", "60s", POLL_EVERY);
    if poll_every < POLL_EVERY_MIN {
        section.wrong("poll_every", "is less than a second", "write for example `\"60s\"`");
    }
    section.finish();
    DeskSection {
        poll_every: poll_every.max(POLL_EVERY_MIN),
        config: desk::Config::new(url, credentials),
        attachments_public,
        ticket_form_id,
        webhook_secret,
    }
}
