//! Which request below `/u/` means what. A pure function with a table of tests.

use axum::http::Method;

use crate::problem::{self, Problem};

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'p> {
    /// The upload page.
    Page,
    /// Limits and ways to send.
    Options,
    /// A file as the body; without a name the headers may give one.
    Put { name: Option<&'p str> },
    /// Files as a form.
    Form,
    /// The receipt or the state so far.
    Show { id: &'p str },
    /// The offset.
    Head { id: &'p str },
    /// The offset, by name.
    HeadNamed { name: &'p str },
    /// More bytes.
    Append { id: &'p str },
    /// A new upload by the rules of a protocol for resuming.
    Create,
    /// Cancel or remove.
    Delete { id: &'p str },
    /// What was sent through this link.
    List,
    /// An uploader for a shell.
    Script(Script),
}

/// For which shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// POSIX, with curl.
    Sh,
    /// Windows.
    PowerShell,
}

/// Token and meaning of a request for `path`, which begins with `/u/` and is not decoded.
pub(crate) fn of<'p>(method: &Method, path: &'p str) -> Result<(&'p str, Route<'p>), Problem> {
    let rest = path.strip_prefix("/u/").unwrap_or_default();
    let (token, below) = rest.split_once('/').unwrap_or((rest, ""));
    if token.is_empty() {
        return Err(problem::not_found_at(path));
    }
    Ok((token, below_link(method, below)?))
}

/// The link's address, relative to a page of this path: it leads there under whatever name the page was opened.
pub(crate) fn here(path: &str) -> String {
    let rest = path.strip_prefix("/u/").unwrap_or_default();
    match rest.split_once('/') {
        None => format!("{rest}/"),
        Some((_, below)) if !below.contains('/') => "./".into(),
        Some((_, below)) => "../".repeat(below.matches('/').count()),
    }
}

fn below_link<'p>(method: &Method, below: &'p str) -> Result<Route<'p>, Problem> {
    if *method == Method::OPTIONS {
        return Ok(Route::Options);
    }
    let resource = below.strip_prefix("uploads/").filter(|id| !id.is_empty() && !id.contains('/'));
    match (method.as_str(), below, resource) {
        ("GET" | "HEAD", "", _) => Ok(Route::Page),
        ("POST", "", _) => Ok(Route::Form),
        ("PUT", "", _) => Ok(Route::Put { name: None }),
        (_, "", _) => Err(problem::method_not_allowed("GET, HEAD, PUT, POST, OPTIONS")),
        ("GET", _, Some(id)) => Ok(Route::Show { id }),
        ("HEAD", _, Some(id)) => Ok(Route::Head { id }),
        ("DELETE", _, Some(id)) => Ok(Route::Delete { id }),
        ("PATCH" | "PUT", _, Some(id)) => Ok(Route::Append { id }),
        (_, _, Some(_)) => Err(problem::method_not_allowed("GET, HEAD, PUT, PATCH, DELETE, OPTIONS")),
        ("GET", "uploads" | "uploads/", _) => Ok(Route::List),
        ("POST", "uploads" | "uploads/", _) => Ok(Route::Create),
        ("GET" | "HEAD", "send.sh", _) => Ok(Route::Script(Script::Sh)),
        ("GET" | "HEAD", "send.ps1", _) => Ok(Route::Script(Script::PowerShell)),
        ("HEAD", name, _) if !name.contains('/') => Ok(Route::HeadNamed { name }),
        // As `curl -T FILE` makes it of an address with a slash too many at its end.
        ("PUT", name, _) if name.split('/').rev().skip(1).any(str::is_empty) => Err(empty_segment()),
        ("PUT", name, _) if name.contains('/') => Err(problem::bad_name("contains a slash")),
        ("PUT", name, _) => Ok(Route::Put { name: Some(name) }),
        _ => Err(problem::not_found()),
    }
}

fn empty_segment() -> Problem {
    problem::bad_name("").saying(
        "The address has two slashes in a row, and so an empty name before the file's. Take one of them out: \
         https://HOST/u/TOKEN/NAME."
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_from_a_page_to_its_link() {
        for (path, expected) in [
            ("/u/tok", "tok/"),
            ("/u/-", "-/"),
            ("/u/tok/", "./"),
            ("/u/tok/a.log", "./"),
            ("/u/tok/uploads/01J", "../"),
            ("/u/tok/a/b/", "../../"),
        ] {
            assert_eq!(here(path), expected, "{path}");
        }
    }

    #[test]
    fn requests() {
        for (method, path, expected) in [
            ("GET", "/u/tok", Ok(("tok", Route::Page))),
            ("GET", "/u/tok/", Ok(("tok", Route::Page))),
            ("PUT", "/u/tok", Ok(("tok", Route::Put { name: None }))),
            ("PUT", "/u/tok/", Ok(("tok", Route::Put { name: None }))),
            ("PUT", "/u/tok/a%2Fb", Ok(("tok", Route::Put { name: Some("a%2Fb") }))),
            ("PUT", "/u/-/a.log", Ok(("-", Route::Put { name: Some("a.log") }))),
            ("PUT", "/u/tok/uploads", Ok(("tok", Route::Put { name: Some("uploads") }))),
            ("PUT", "/u/tok/a/b", Err(400)),
            ("PUT", "/u/tok//a", Err(400)),
            ("PUT", "/u/tok//", Err(400)),
            ("POST", "/u/tok", Ok(("tok", Route::Form))),
            ("POST", "/u/tok/", Ok(("tok", Route::Form))),
            ("POST", "/u/tok/a.log", Err(404)),
            ("PATCH", "/u/tok/", Err(405)),
            ("OPTIONS", "/u/tok/a.log", Ok(("tok", Route::Options))),
            ("GET", "/u/tok/uploads/01J", Ok(("tok", Route::Show { id: "01J" }))),
            ("HEAD", "/u/tok/uploads/01J", Ok(("tok", Route::Head { id: "01J" }))),
            ("DELETE", "/u/tok/uploads/01J", Ok(("tok", Route::Delete { id: "01J" }))),
            ("PUT", "/u/tok/uploads/01J", Ok(("tok", Route::Append { id: "01J" }))),
            ("PATCH", "/u/tok/uploads/01J", Ok(("tok", Route::Append { id: "01J" }))),
            ("POST", "/u/tok/uploads/01J", Err(405)),
            ("POST", "/u/tok/uploads", Ok(("tok", Route::Create))),
            ("POST", "/u/tok/uploads/", Ok(("tok", Route::Create))),
            ("HEAD", "/u/tok/a.log", Ok(("tok", Route::HeadNamed { name: "a.log" }))),
            ("HEAD", "/u/tok/a/b", Err(404)),
            ("GET", "/u/tok/send.sh", Ok(("tok", Route::Script(Script::Sh)))),
            ("HEAD", "/u/-/send.ps1", Ok(("-", Route::Script(Script::PowerShell)))),
            ("PUT", "/u/tok/send.sh", Ok(("tok", Route::Put { name: Some("send.sh") }))),
            ("GET", "/u/tok/a.log", Err(404)),
            ("GET", "/u/tok/uploads", Ok(("tok", Route::List))),
            ("GET", "/u/", Err(404)),
            ("GET", "/u//x", Err(404)),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = of(&method, path).map_err(|problem| problem.status.as_u16());
            assert_eq!(found, expected, "{method} {path}");
        }
    }
}
