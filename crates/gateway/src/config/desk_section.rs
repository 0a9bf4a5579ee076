//! `[desk]`: its address and credentials.

use super::reader::{Section, url};

/// Reads the section. Also returns whether attachments are public.
pub(super) fn desk_config(mut section: Section<'_>) -> (desk::Config, bool) {
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
    // Tickets are opened with this form by a later version; the key is accepted so that one file serves both.
    section.number("ticket_form_id", "360001172559");
    let public = match section.string("attachment_visibility").as_deref() {
        None | Some("private") => false,
        Some("public") => true,
        Some(_) => {
            let fix = "write `\"private\"` or `\"public\"`";
            section.wrong("attachment_visibility", "is unknown", fix);
            false
        }
    };
    section.finish();
    (desk::Config::new(url, credentials), public)
}
