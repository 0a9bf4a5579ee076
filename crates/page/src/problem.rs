//! The page of a refusal. Its detail is in English; in other languages a text for its type stands before it.

use askama::Template;

use crate::language::Language;

/// The page of a refusal.
#[derive(Debug, Clone, Template)]
#[template(path = "problem.html")]
pub struct ProblemPage<'a> {
    pub language: Language,
    /// The type of the problem, as programs get it.
    pub kind: &'a str,
    pub status: u16,
    /// In English.
    pub title: &'a str,
    /// In English.
    pub detail: &'a str,
    /// Support asks for it.
    pub request_id: Option<&'a str>,
    /// Where to ask for a new link, relative to the page, if the link has expired.
    pub renew_at: Option<&'a str>,
}

impl ProblemPage<'_> {
    fn heading(&self) -> &str {
        self.language.title_of_problem(self.explained()).unwrap_or(self.title)
    }

    fn explanation(&self) -> Option<&'static str> {
        self.language.of_problem(self.explained())
    }

    /// HTTP's own refusals have one type.
    fn explained(&self) -> &str {
        match (self.kind, self.status) {
            ("about:blank", 404) => "not-found",
            (kind, _) => kind,
        }
    }

    fn status_line(&self) -> String {
        self.language.with("page.problem.status", &[("status", &self.status.to_string())])
    }
}
