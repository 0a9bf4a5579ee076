//! The page of a link: a form that works without JavaScript, and what the script in `web/` needs to make more of it.

use askama::Template;
use serde_json::json;

use crate::language::Language;
use crate::people::nfr_question;
use crate::{assets, human_bytes};

/// The page of a link.
#[derive(Debug, Clone, Template)]
#[template(path = "upload.html")]
pub struct LinkPage<'a> {
    pub language: Language,
    /// The partner's name.
    pub partner: &'a str,
    /// The ticket that the link is bound to. Without one the form asks for it.
    pub ticket: Option<&'a str>,
    /// The link's address in the commands to copy, with a slash at its end.
    pub link: &'a str,
    /// The link's address, relative to the page's, so that the form goes to where the page came from.
    pub here: &'a str,
    /// The link's ID, which is no secret: a browser remembers its uploads under it.
    pub link_id: &'a str,
    /// The link's path as the page was opened, with a slash at its end.
    pub path: &'a str,
    /// What the link allows, as the API names it.
    pub rights: &'a [&'a str],
    /// Largest file, bytes.
    pub max_bytes: u64,
    /// Largest file that is attached to the ticket, bytes.
    pub ticket_attachment_bytes: u64,
    /// How long an interrupted upload is kept, seconds.
    pub resume_window_s: u64,
    /// Whether larger files go to the partner's own bucket.
    pub has_own_bucket: bool,
    /// Whether files are ever deleted for their age.
    pub has_retention: bool,
    /// When the link expires, RFC 3339.
    pub expires_at: Option<&'a str>,
    /// What a ticket must not be about: subscriptions that are not for resale.
    pub nfr_only: Option<&'a str>,
    /// Support hours, in words.
    pub hours: Option<&'a str>,
    /// What support asks for on the ticket.
    pub asks: &'a [WantedFile<'a>],
}

/// A file that support asks for.
#[derive(Debug, Clone)]
pub struct WantedFile<'a> {
    pub id: &'a str,
    /// In support's words.
    pub wanted: &'a str,
    pub has_arrived: bool,
}

impl LinkPage<'_> {
    fn may(&self, right: &str) -> bool {
        self.rights.contains(&right)
    }

    fn nfr_question(&self) -> String {
        nfr_question(self.language, self.nfr_only)
    }

    fn missing(&self) -> impl Iterator<Item = &WantedFile<'_>> {
        self.asks.iter().filter(|ask| !ask.has_arrived)
    }

    fn state(&self, ask: &WantedFile<'_>) -> &'static str {
        self.language.text(if ask.has_arrived { "asks.arrived" } else { "asks.missing" })
    }

    fn who(&self) -> String {
        match self.ticket {
            Some(ticket) => {
                self.language.with("page.for-ticket", &[("ticket", ticket), ("partner", self.partner)])
            }
            None => self.language.with("page.for", &[("partner", self.partner)]),
        }
    }

    fn place(&self) -> String {
        let place =
            if self.has_own_bucket { "page.place.partner-bucket" } else { "page.place.support-uploader" };
        let size = human_bytes(self.ticket_attachment_bytes);
        self.language.with("page.place.text", &[("size", &size), ("place", self.language.text(place))])
    }

    fn kept(&self) -> &'static str {
        self.language.text(if self.has_retention { "page.until.ticket" } else { "page.until.never" })
    }

    fn resume_hours(&self) -> u64 {
        self.resume_window_s.div_ceil(3600)
    }

    /// For the script, as JSON that cannot end its element.
    fn data(&self) -> String {
        let asks: Vec<_> = self
            .asks
            .iter()
            .map(|ask| json!({"id": ask.id, "text": ask.wanted, "arrived": ask.has_arrived}))
            .collect();
        let data = json!({
            "lang": self.language.tag(),
            "partner": self.partner,
            "ticket": self.ticket,
            "link": {"id": self.link_id, "path": self.path, "rights": self.rights, "expires_at": self.expires_at},
            "limits": {
                "max_size": self.max_bytes, "ticket_attachment_size": self.ticket_attachment_bytes,
                "resume_window_seconds": self.resume_window_s,
            },
            "asks": asks,
            "assets": {
                "locale": assets::address(&format!("{}.json", self.language.tag())),
                "worker": assets::address("worker.js"),
            },
        });
        data.to_string().replace('<', "\\u003c")
    }
}
