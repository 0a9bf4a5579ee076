//! What partners see: the upload page, receipts and problems, as templates in `templates/`; what a browser runs on the upload
//! page, in `web/`; and the small uploaders for a shell. The pages work without JavaScript and load nothing from elsewhere.
//! Invariant: every text that is not ours is escaped, by the templates or in [`send_sh`] and [`send_ps1`].

mod assets;
mod commands;
mod escape;
mod language;
mod people;
mod problem;
mod send;
mod sent;
pub mod support;
mod upload_page;

use askama::Template;

pub use assets::Asset;
pub use commands::{curl_file, curl_open_ticket, curl_pipe, curl_windows, send_file, send_powershell};
pub use language::Language;
pub use people::{
    EscalatePage, EscalationPage, HomePage, NoteSentPage, OpenTicketPage, RenewedPage, TicketPage,
};
pub use problem::ProblemPage;
pub use send::{send_ps1, send_sh};
pub use sent::{Differs, OutcomesPage, Place, SentFile, UnfinishedPage, Ways};
pub use upload_page::{LinkPage, WantedFile};

/// Lets a page only use our own files and send our own forms. Nothing inline runs.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

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

    const EVIL: &str = "<script>\"'&";

    fn is_escaped(pages: &[String]) {
        for page in pages {
            assert!(!page.contains("<script>"), "{page}");
            assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;"));
        }
    }

    #[test]
    fn foreign_text_about_files_is_escaped() {
        let evil = EVIL;
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
            nfr_only: Some(evil),
            hours: Some(evil),
            asks: &[WantedFile { id: evil, wanted: evil, has_arrived: false }],
        });
        let outcome = SentFile::Stored {
            name: evil,
            size: 1,
            sha256: evil,
            ticket: evil,
            place: None,
            differs: Some(Differs { algorithm: evil, announced: evil, actual: evil }),
            location: evil,
        };
        is_escaped(&[
            page,
            html(&OutcomesPage {
                language: Language::German,
                here: "l",
                outcomes: &[outcome, SentFile::Refused { name: evil, kind: evil, detail: evil }],
            }),
            html(&UnfinishedPage {
                language: Language::German,
                name: evil,
                offset: 1,
                length: None,
                ways: Some(Ways { until: evil, curl: evil, windows: evil }),
                here: evil,
            }),
        ]);
    }

    #[test]
    fn foreign_text_about_people_is_escaped() {
        let evil = EVIL;
        let refused = [SentFile::Refused { name: evil, kind: evil, detail: evil }];
        let hints = [evil.to_owned()];
        is_escaped(&[
            html(&HomePage { language: Language::German, ask: Some(evil), form_page: Some(evil) }),
            html(&OpenTicketPage {
                language: Language::German,
                partner: evil,
                link: "https://h/u/t/",
                here: evil,
                nfr_only: Some(evil),
            }),
            html(&TicketPage {
                language: Language::German,
                ticket: evil,
                subject: Some(evil),
                link: evil,
                outcomes: &refused,
            }),
            html(&EscalatePage {
                language: Language::German,
                partner: evil,
                ticket: Some(evil),
                here: evil,
                hours: Some(evil),
            }),
            html(&EscalationPage {
                language: Language::German,
                reference: evil,
                ticket: evil,
                state: evil,
                reason: Some(evil),
                joined: true,
                hints: &hints,
                location: evil,
                here: evil,
            }),
            html(&ProblemPage {
                language: Language::German,
                kind: evil,
                status: 400,
                title: evil,
                detail: evil,
                request_id: Some(evil),
                renew_at: Some(evil),
            }),
            html(&NoteSentPage { language: Language::German, ticket: evil, repeated: true, here: evil }),
            html(&RenewedPage { language: Language::German, ticket: evil, repeated: true }),
        ]);
    }
}
