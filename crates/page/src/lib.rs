//! What partners see: the upload page, receipts and problems, as templates in `templates/`; what a browser runs on the upload
//! page, in `web/`; and the small uploaders for a shell. The pages work without JavaScript and load nothing from elsewhere.
//! Invariant: every text that is not ours is escaped, by the templates or in [`send_sh`] and [`send_ps1`].

mod assets;
mod commands;
mod escape;
mod language;
mod send;
pub mod support;
mod upload_page;

use askama::Template;

pub use assets::Asset;
pub use commands::{curl_file, curl_open_ticket, curl_pipe, curl_windows, send_file, send_powershell};
pub use language::Language;
pub use send::{send_ps1, send_sh};
pub use upload_page::{LinkPage, WantedFile};

/// Lets a page only use our own files and send our own forms. Nothing inline runs.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page at the gateway's own address: what this host is, and whom to ask.
#[derive(Debug, Clone, Template)]
#[template(path = "home.html")]
pub struct HomePage<'a> {
    /// Whom to ask for a link.
    pub ask: Option<&'a str>,
    /// Where partners open tickets.
    pub form_page: Option<&'a str>,
}

/// The form that opens a ticket.
#[derive(Debug, Clone, Template)]
#[template(path = "open_ticket.html")]
pub struct OpenTicketPage<'a> {
    /// The partner's name.
    pub partner: &'a str,
    /// The link's address in the command to copy, with a slash at its end.
    pub link: &'a str,
    /// The link's address, relative to the page's.
    pub here: &'a str,
    /// What the ticket must not be about: subscriptions that are not for resale.
    pub nfr_only: Option<&'a str>,
}

/// The page after a ticket was opened, or a link was made for one.
#[derive(Debug, Clone, Template)]
#[template(path = "ticket.html")]
pub struct TicketPage<'a> {
    pub ticket: &'a str,
    /// None if only a link was made.
    pub subject: Option<&'a str>,
    /// The upload link.
    pub link: &'a str,
    pub outcomes: &'a [SentFile<'a>],
}

/// The form that escalates a ticket.
#[derive(Debug, Clone, Template)]
#[template(path = "escalate.html")]
pub struct EscalatePage<'a> {
    /// The partner's name.
    pub partner: &'a str,
    /// The ticket that the link is bound to. Without one the form asks for it.
    pub ticket: Option<&'a str>,
    /// The link's address, relative to the page's.
    pub here: &'a str,
    /// Support hours, in words.
    pub hours: Option<&'a str>,
}

/// The state of an escalation.
#[derive(Debug, Clone, Template)]
#[template(path = "escalation.html")]
pub struct EscalationPage<'a> {
    pub reference: &'a str,
    pub ticket: &'a str,
    pub state: &'a str,
    /// Why it was declined.
    pub reason: Option<&'a str>,
    /// It joined one that was open.
    pub joined: bool,
    pub hints: &'a [String],
    /// Its address, relative to the page's.
    pub location: &'a str,
}

/// The page of an unfinished upload: its progress, and how to resume it.
#[derive(Debug, Clone, Template)]
#[template(path = "unfinished.html")]
pub struct UnfinishedPage<'a> {
    /// File name.
    pub name: &'a str,
    /// Bytes that are stored.
    pub offset: u64,
    /// Bytes of the whole file, if they are known.
    pub length: Option<u64>,
    /// How it can be resumed, if it can.
    pub ways: Option<Ways<'a>>,
    /// The link's address, relative to the page's.
    pub here: &'a str,
}

/// How to resume an upload.
#[derive(Debug, Clone)]
pub struct Ways<'a> {
    /// Until when, RFC 3339.
    pub until: &'a str,
    /// The command for a POSIX shell.
    pub curl: &'a str,
    /// The command for Windows.
    pub windows: &'a str,
}

/// The page after a form was sent.
#[derive(Debug, Clone, Template)]
#[template(path = "outcomes.html")]
pub struct OutcomesPage<'a> {
    /// The link's address, relative to the page's.
    pub here: &'a str,
    pub outcomes: &'a [SentFile<'a>],
}

/// A stored file, or why it was not stored.
#[derive(Debug, Clone)]
pub enum SentFile<'a> {
    /// Stored: the receipt.
    Stored {
        name: &'a str,
        /// Bytes.
        size: u64,
        /// Hex.
        sha256: &'a str,
        /// Where the file goes, in words.
        place: &'a str,
        /// The receipt's address, relative to the page's.
        location: &'a str,
    },
    /// Not stored.
    Refused {
        /// File name, as far as it is known.
        name: &'a str,
        /// What to do next.
        detail: &'a str,
    },
}

impl OutcomesPage<'_> {
    fn heading(&self) -> String {
        let stored =
            self.outcomes.iter().filter(|outcome| matches!(outcome, SentFile::Stored { .. })).count();
        match (stored, self.outcomes.len()) {
            (1, 1) => "Your file has arrived".to_owned(),
            (stored, all) if stored == all => format!("Your {all} files have arrived"),
            (0, _) => "Nothing was stored".to_owned(),
            (stored, all) => format!("{stored} of {all} files have arrived"),
        }
    }
}

/// The page of a refusal.
#[derive(Debug, Clone, Template)]
#[template(path = "problem.html")]
pub struct ProblemPage<'a> {
    pub status: u16,
    pub title: &'a str,
    pub detail: &'a str,
    /// Support asks for it.
    pub request_id: Option<&'a str>,
    /// Where to ask for a new link, relative to the page, if the link has expired.
    pub renew_at: Option<&'a str>,
}

/// The page after a new link was asked for.
#[derive(Debug, Clone, Template)]
#[template(path = "renewed.html")]
pub struct RenewedPage<'a> {
    pub ticket: &'a str,
    /// It was asked for before.
    pub repeated: bool,
}

/// The page as HTML, with a newline at its end.
pub fn html(page: &impl Template) -> String {
    // Writing into a string does not fail.
    let mut html = page.render().unwrap_or_default();
    html.push('\n');
    html
}

/// A size for people: `20 MB`, decimal units, exact up to three digits.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut divisor, mut unit) = (1_u64, 0);
    while unit < UNITS.len() && bytes / divisor >= 1000 {
        divisor *= 1000;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(divisor) / 2) / u128::from(divisor);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let name = UNITS[unit - 1];
    if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1 kB"),
            (20_000_000, "20 MB"),
            (1_550_000_000, "1.6 GB"),
            (500_000_000_000, "500 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn foreign_text_is_escaped() {
        let evil = "<script>\"'&";
        let page = html(&LinkPage {
            language: Language::English,
            partner: evil,
            ticket: Some(evil),
            link: "https://h/u/t/",
            here: "./",
            link_id: evil,
            path: evil,
            rights: &["escalate"],
            max_bytes: 1,
            ticket_attachment_bytes: 1,
            resume_window_s: 1,
            has_own_bucket: true,
            has_retention: true,
            expires_at: Some(evil),
            asks: &[WantedFile { id: evil, wanted: evil, has_arrived: false }],
        });
        let outcome = SentFile::Stored { name: evil, size: 1, sha256: evil, place: evil, location: evil };
        let refused = [SentFile::Refused { name: evil, detail: evil }];
        let hints = [evil.to_owned()];
        let pages = [
            page,
            html(&HomePage { ask: Some(evil), form_page: Some(evil) }),
            html(&OpenTicketPage { partner: evil, link: "https://h/u/t/", here: evil, nfr_only: Some(evil) }),
            html(&TicketPage { ticket: evil, subject: Some(evil), link: evil, outcomes: &refused }),
            html(&EscalatePage { partner: evil, ticket: Some(evil), here: evil, hours: Some(evil) }),
            html(&EscalationPage {
                reference: evil,
                ticket: evil,
                state: evil,
                reason: Some(evil),
                joined: true,
                hints: &hints,
                location: evil,
            }),
            html(&ProblemPage {
                status: 400,
                title: evil,
                detail: evil,
                request_id: Some(evil),
                renew_at: Some(evil),
            }),
            html(&RenewedPage { ticket: evil, repeated: true }),
            html(&OutcomesPage {
                here: "l",
                outcomes: &[outcome, SentFile::Refused { name: evil, detail: evil }],
            }),
            html(&UnfinishedPage {
                name: evil,
                offset: 1,
                length: None,
                ways: Some(Ways { until: evil, curl: evil, windows: evil }),
                here: evil,
            }),
        ];
        for page in pages {
            assert!(!page.contains("<script>"), "{page}");
            assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;"));
        }
    }
}
