//! Pages about tickets, escalations and links, and the page of the host itself.

use askama::Template;

use crate::language::Language;
use crate::sent::{SentFile, place_of};

/// The page at the gateway's own address: what this host is, and whom to ask.
#[derive(Debug, Clone, Template)]
#[template(path = "home.html")]
pub struct HomePage<'a> {
    pub language: Language,
    /// Whom to ask for a link.
    pub ask: Option<&'a str>,
    /// Where partners open tickets.
    pub form_page: Option<&'a str>,
}

/// The form that opens a ticket.
#[derive(Debug, Clone, Template)]
#[template(path = "open_ticket.html")]
pub struct OpenTicketPage<'a> {
    pub language: Language,
    /// The partner's name.
    pub partner: &'a str,
    /// The link's address in the command to copy, with a slash at its end.
    pub link: &'a str,
    /// The link's address, relative to the page's.
    pub here: &'a str,
    /// What the ticket must not be about: subscriptions that are not for resale.
    pub nfr_only: Option<&'a str>,
}

impl OpenTicketPage<'_> {
    fn nfr_question(&self) -> String {
        nfr_question(self.language, self.nfr_only)
    }
}

/// Asks whether a ticket is about software that is not for resale.
pub(crate) fn nfr_question(language: Language, about: Option<&str>) -> String {
    match about {
        Some(about) => language.with("page.open.nfr-about", &[("about", about)]),
        None => language.text("page.open.nfr").to_owned(),
    }
}

/// The page after a ticket was opened, or a link was made for one.
#[derive(Debug, Clone, Template)]
#[template(path = "ticket.html")]
pub struct TicketPage<'a> {
    pub language: Language,
    pub ticket: &'a str,
    /// None if only a link was made.
    pub subject: Option<&'a str>,
    /// The upload link.
    pub link: &'a str,
    pub outcomes: &'a [SentFile<'a>],
}

impl TicketPage<'_> {
    fn heading(&self) -> String {
        self.language.with("page.ticket.title", &[("ticket", self.ticket)])
    }

    fn place_of(&self, file: &SentFile<'_>) -> String {
        place_of(self.language, file)
    }
}

/// The form that escalates a ticket.
#[derive(Debug, Clone, Template)]
#[template(path = "escalate.html")]
pub struct EscalatePage<'a> {
    pub language: Language,
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
    pub language: Language,
    pub reference: &'a str,
    pub ticket: &'a str,
    /// As the API names it.
    pub state: &'a str,
    /// Why it was declined.
    pub reason: Option<&'a str>,
    /// It joined one that was open.
    pub joined: bool,
    /// In English.
    pub hints: &'a [String],
    /// Its address, relative to the page's.
    pub location: &'a str,
    /// The link's address, relative to the page's.
    pub here: &'a str,
}

impl EscalationPage<'_> {
    fn heading(&self) -> String {
        self.language.with("page.escalation.title", &[("reference", self.reference)])
    }

    fn state_in_words(&self) -> &'static str {
        self.language.text(&format!("page.escalation.{}", self.state))
    }
}

/// The page after a new link was asked for.
#[derive(Debug, Clone, Template)]
#[template(path = "renewed.html")]
pub struct RenewedPage<'a> {
    pub language: Language,
    pub ticket: &'a str,
    /// It was asked for before.
    pub repeated: bool,
}

impl RenewedPage<'_> {
    fn heading(&self) -> String {
        self.language.with("page.ticket.title", &[("ticket", self.ticket)])
    }

    fn text(&self) -> &'static str {
        self.language.text(if self.repeated { "page.renewed.before" } else { "page.renewed" })
    }
}

/// The page after a note for support was sent.
#[derive(Debug, Clone, Template)]
#[template(path = "noted.html")]
pub struct NoteSentPage<'a> {
    pub language: Language,
    pub ticket: &'a str,
    /// It was sent before.
    pub repeated: bool,
    /// The link's address, relative to the page's.
    pub here: &'a str,
}

impl NoteSentPage<'_> {
    fn text(&self) -> String {
        let key = if self.repeated { "note.before" } else { "note.sent" };
        self.language.fill(key, "ticket", self.ticket)
    }
}
