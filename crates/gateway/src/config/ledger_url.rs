//! The ledger's URL. Invariant: a password in it is never shown.

use super::reader::Section;

/// The ledger's URL, shown without its password.
pub(crate) struct LedgerUrl(String);

impl LedgerUrl {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&ledger::shown(&self.0))
    }
}

impl std::fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

pub(super) fn read(section: &mut Section<'_>) -> LedgerUrl {
    if !section.has("url") {
        section.wrong("url", "is missing", "add `url = \"sqlite:/var/lib/weighbridge/ledger.db\"`");
    }
    let Some(url) = section.secret("url") else { return LedgerUrl(String::new()) };
    if let Err(text) = ledger::check_url(&url) {
        let (what, fix) = text.split_once("; ").unwrap_or((&text, ""));
        section.wrong("url", what, fix);
    }
    if let Some((what, fix)) = ledger::file(&url).and_then(super::file::mistake) {
        section.wrong("url", &what, fix);
    }
    LedgerUrl(url)
}
