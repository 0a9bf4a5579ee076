//! Pages about files: what became of those that a form sent, and how to resume one.

use askama::Template;

use crate::language::Language;

/// The page after a form was sent.
#[derive(Debug, Clone, Template)]
#[template(path = "outcomes.html")]
pub struct OutcomesPage<'a> {
    pub language: Language,
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
        ticket: &'a str,
        place: Option<Place>,
        differs: Option<Differs<'a>>,
        /// The receipt's address, relative to the page's.
        location: &'a str,
    },
    /// Not stored.
    Refused {
        /// File name, as far as it is known.
        name: &'a str,
        /// The type of the problem, as programs get it.
        kind: &'a str,
        /// What to do next, in English.
        detail: &'a str,
    },
}

/// Where a file rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    TicketAttachment,
    SupportUploader,
    PartnerBucket,
}

/// A side file that a file does not match.
#[derive(Debug, Clone)]
pub struct Differs<'a> {
    /// Such as `SHA-256`.
    pub algorithm: &'a str,
    /// Hex.
    pub announced: &'a str,
    /// Hex.
    pub actual: &'a str,
}

impl Differs<'_> {
    pub(crate) fn in_words(&self, language: Language) -> String {
        let values = [("algorithm", self.algorithm), ("announced", self.announced), ("actual", self.actual)];
        language.with("page.sent.differs", &values)
    }
}

/// Size, ticket and place of a stored file, in a sentence.
pub(crate) fn place_of(language: Language, file: &SentFile<'_>) -> String {
    let SentFile::Stored { size, ticket, place, .. } = file else { return String::new() };
    let size = size.to_string();
    let place = place.map(|place| match place {
        Place::TicketAttachment => "place.ticket-attachment",
        Place::SupportUploader => "place.support-uploader",
        Place::PartnerBucket => "place.partner-bucket",
    });
    match place {
        Some(key) => language
            .with("page.sent.place", &[("size", &size), ("ticket", ticket), ("place", language.text(key))]),
        None => language.with("page.sent.unplaced", &[("size", &size), ("ticket", ticket)]),
    }
}

impl OutcomesPage<'_> {
    fn heading(&self) -> String {
        let stored =
            self.outcomes.iter().filter(|outcome| matches!(outcome, SentFile::Stored { .. })).count();
        let all = self.outcomes.len();
        let (stored_in_words, count) = (stored.to_string(), all.to_string());
        match (stored, all) {
            (1, 1) => self.language.text("page.sent.single").to_owned(),
            (0, _) => self.language.text("page.sent.none").to_owned(),
            _ if stored == all => self.language.with("page.sent.all", &[("count", &count)]),
            _ => self.language.with("page.sent.some", &[("stored", &stored_in_words), ("count", &count)]),
        }
    }

    fn place_of(&self, file: &SentFile<'_>) -> String {
        place_of(self.language, file)
    }
}

/// The page of an unfinished upload: its progress, and how to resume it.
#[derive(Debug, Clone, Template)]
#[template(path = "unfinished.html")]
pub struct UnfinishedPage<'a> {
    pub language: Language,
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

impl UnfinishedPage<'_> {
    fn progress(&self) -> String {
        let offset = self.offset.to_string();
        match self.length {
            Some(length) => self
                .language
                .with("page.unfinished.of", &[("offset", &offset), ("length", &length.to_string())]),
            None => self.language.with("page.unfinished.unknown", &[("offset", &offset)]),
        }
    }
}
