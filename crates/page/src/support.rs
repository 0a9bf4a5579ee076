//! The pages of support.

use askama::Template;

/// Asks for a staff token.
#[derive(Debug, Clone, Template)]
#[template(path = "support/login.html")]
pub struct LoginPage<'a> {
    /// The path to open afterwards.
    pub next: &'a str,
    /// The token that was tried is not valid.
    pub is_wrong: bool,
}

/// The newest files that fit, and what to know about their partner.
#[derive(Debug, Clone, Template)]
#[template(path = "support/files.html")]
pub struct FilesPage<'a> {
    /// The name of the staff token.
    pub staff: &'a str,
    pub csrf: &'a str,
    pub ticket: &'a str,
    pub partner: &'a str,
    pub name: &'a str,
    /// The partner that the notes are about.
    pub about: &'a str,
    pub notes: &'a [String],
    /// What support asked for on the ticket and is missing, in a line.
    pub missing: &'a str,
    pub files: &'a [FileRow<'a>],
    /// The address of the next page.
    pub next: Option<&'a str>,
}

#[derive(Debug, Clone)]
pub struct FileRow<'a> {
    pub id: &'a str,
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    pub ticket: &'a str,
    pub partner: &'a str,
    pub received_at: String,
    pub delivery: &'a str,
}

/// One file.
#[derive(Debug, Clone, Template)]
#[template(path = "support/file.html")]
pub struct FilePage<'a> {
    pub staff: &'a str,
    pub csrf: &'a str,
    pub id: &'a str,
    pub name: &'a str,
    pub ticket: &'a str,
    pub is_complete: bool,
    pub facts: &'a [(&'a str, String)],
}

/// Upload links, without their addresses.
#[derive(Debug, Clone, Template)]
#[template(path = "support/links.html")]
pub struct LinksPage<'a> {
    pub staff: &'a str,
    pub csrf: &'a str,
    /// The address of a link that was just made.
    pub made: Option<&'a str>,
    pub warning: Option<&'a str>,
    pub links: &'a [LinkRow<'a>],
}

#[derive(Debug, Clone)]
pub struct LinkRow<'a> {
    pub id: &'a str,
    pub partner: &'a str,
    pub ticket: Option<&'a str>,
    pub rights: String,
    /// In words.
    pub state: String,
    pub works: bool,
}

/// Open escalations.
#[derive(Debug, Clone, Template)]
#[template(path = "support/escalations.html")]
pub struct EscalationsPage<'a> {
    pub staff: &'a str,
    pub csrf: &'a str,
    pub escalations: &'a [EscalationRow<'a>],
}

#[derive(Debug, Clone)]
pub struct EscalationRow<'a> {
    pub id: &'a str,
    pub reference: &'a str,
    pub ticket: &'a str,
    pub partner: &'a str,
    pub urgency: &'a str,
    pub emergency: bool,
    pub state: &'a str,
    pub created_at: String,
    pub reason: &'a str,
    pub actions: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html;

    #[test]
    fn foreign_text_is_escaped() {
        let evil = "<script>\"'&";
        let text = evil.to_owned();
        let file = FileRow {
            id: evil,
            name: evil,
            size: 1,
            ticket: evil,
            partner: evil,
            received_at: text.clone(),
            delivery: evil,
        };
        let link = LinkRow {
            id: evil,
            partner: evil,
            ticket: Some(evil),
            rights: text.clone(),
            state: text.clone(),
            works: true,
        };
        let escalation = EscalationRow {
            id: evil,
            reference: evil,
            ticket: evil,
            partner: evil,
            urgency: evil,
            emergency: true,
            state: evil,
            created_at: text.clone(),
            reason: evil,
            actions: evil,
        };
        let notes = [text.clone()];
        for page in [
            html(&LoginPage { next: evil, is_wrong: true }),
            html(&FilesPage {
                staff: evil,
                csrf: evil,
                ticket: evil,
                partner: evil,
                name: evil,
                about: evil,
                notes: &notes,
                missing: evil,
                files: &[file],
                next: Some(evil),
            }),
            html(&FilePage {
                staff: evil,
                csrf: evil,
                id: evil,
                name: evil,
                ticket: evil,
                is_complete: true,
                facts: &[(evil, text.clone())],
            }),
            html(&LinksPage {
                staff: evil,
                csrf: evil,
                made: Some(evil),
                warning: Some(evil),
                links: &[link],
            }),
            html(&EscalationsPage { staff: evil, csrf: evil, escalations: &[escalation] }),
        ] {
            assert!(!page.contains("<script>") && page.contains("&lt;script&gt;&quot;&#39;&amp;"), "{page}");
        }
    }
}
