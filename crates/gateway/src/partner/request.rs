//! A request by someone who holds a link: who asks, and for what. Handlers take it as an argument, so none runs for a stranger.
//! Invariant: an unknown link is the same answer at every address below `/u/`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, Version};
use ledger::{Link, Partner};
use page::Language;

use super::protocol::tus;
use crate::accept::ResponseFormat;
use crate::headers;
use crate::http::{html, places};
use crate::problem::{self, Problem};
use crate::state::AppState;

/// Refused if the link has expired.
pub(crate) struct PartnerRequest {
    pub(super) state: AppState,
    pub(super) link: Link,
    pub(super) partner: Partner,
    /// The link's secret. Never shown and never logged.
    pub(super) token: String,
    /// The link's address as this client uses it, with a slash at its end.
    pub(super) address: String,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) format: ResponseFormat,
    pub(super) language: Language,
}

/// About one upload. What was admitted before its link expired may still be finished, and asked about.
pub(crate) struct UploadRequest(pub(super) PartnerRequest);

impl FromRequestParts<AppState> for PartnerRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let request = authenticate(parts, state).await?;
        match request.link.expires_at {
            Some(at) if at <= ledger::now_ms() => Err(expired(&request)),
            _ => admit(request, parts),
        }
    }
}

impl FromRequestParts<AppState> for UploadRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        admit(authenticate(parts, state).await?, parts).map(Self)
    }
}

/// A link to a ticket can be renewed by its holder.
fn expired(request: &PartnerRequest) -> Problem {
    let problem = problem::link_expired(false);
    match &request.link.ticket {
        Some(ticket) => {
            let relative = format!("{}renew", request.here());
            problem.with_renewal(
                ticket,
                request.user_option(),
                &format!("{}renew", request.address),
                relative,
            )
        }
        None => problem,
    }
}

/// Counts the request against its link's rate.
fn admit(request: PartnerRequest, parts: &Parts) -> Result<PartnerRequest, Problem> {
    places::authenticated(&parts.extensions);
    let per_minute = request.state.requests_per_minute(&request.link);
    let taken = request.state.requests.take(&request.link.id, per_minute);
    taken.map_err(|wait| problem::too_many_requests(per_minute, wait))?;
    if request.method != Method::OPTIONS {
        tus::check_version(&request.headers)?;
    }
    Ok(request)
}

/// Finds the link by the token in the path, or in `Authorization` if the path has `-`.
async fn authenticate(parts: &Parts, state: &AppState) -> Result<PartnerRequest, Problem> {
    let hint = "Send it as `Authorization: Bearer TOKEN`, or as the password of basic authentication (`curl -u any:TOKEN`).";
    let (segment, _) = split(parts.uri.path());
    if segment.is_empty() {
        return Err(problem::not_found_at(parts.uri.path()));
    }
    let in_header = segment == "-";
    if in_header && is_foreign_form(parts) {
        return Err(problem::not_allowed("send a form from another site"));
    }
    let token = if in_header {
        headers::token(&parts.headers).ok_or_else(|| problem::unauthorized(hint))?
    } else {
        segment.to_owned()
    };
    let link = match state.ledger.link_by_token(&token).await {
        Err(ledger::Error::NotFound) if in_header => return Err(problem::unauthorized(hint)),
        Err(ledger::Error::NotFound) => return Err(problem::unknown_link()),
        other => other?,
    };
    let partner = state.ledger.partner(&link.partner_id).await?;
    if link.revoked_at.is_some() || partner.disabled_at.is_some() {
        return Err(problem::link_expired(true));
    }
    Ok(PartnerRequest {
        state: state.clone(),
        link,
        partner,
        token,
        address: format!("{}/u/{segment}/", state.public_url),
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        version: parts.version,
        headers: parts.headers.clone(),
        format: ResponseFormat::wanted(&parts.headers),
        language: html::language(&parts.headers),
    })
}

/// A form on another site, with a password that the browser remembers: its person did not mean to send it. A script must name
/// the token itself.
fn is_foreign_form(parts: &Parts) -> bool {
    let says = |name: &str, value: &str| parts.headers.get(name).is_some_and(|found| found == value);
    parts.method == Method::POST
        && says("sec-fetch-site", "cross-site")
        && (says("sec-fetch-mode", "navigate") || says("sec-fetch-mode", "no-cors"))
}

/// The token of a path below `/u/`, and what follows it. Nothing is decoded.
pub(super) fn split(path: &str) -> (&str, &str) {
    let rest = path.strip_prefix("/u/").unwrap_or_default();
    rest.split_once('/').unwrap_or((rest, ""))
}

impl PartnerRequest {
    /// The file name in the address, not decoded; none at the link itself.
    pub(super) fn segment(&self) -> Option<&str> {
        Some(split(self.uri.path()).1).filter(|below| !below.is_empty())
    }

    /// The id in the address of an upload.
    pub(super) fn upload_id(&self) -> &str {
        split(self.uri.path()).1.strip_prefix("uploads/").unwrap_or_default()
    }

    /// The link's address, relative to this request's. It works under whatever name the page was opened.
    pub(super) fn here(&self) -> String {
        relative(self.uri.path())
    }

    /// The option that curl needs if the token is not in the address.
    pub(super) fn user_option(&self) -> &'static str {
        if self.address.ends_with("/u/-/") { "-u any:TOKEN " } else { "" }
    }

    /// The client's name in the audit.
    pub(super) fn actor(&self) -> String {
        format!("link:{}", self.link.id)
    }

    /// The address of an upload of this link.
    pub(super) fn location(&self, id: &str) -> String {
        format!("{}uploads/{id}", self.address)
    }

    /// A value of the query string, percent-decoded.
    pub(super) fn query(&self, key: &str) -> Option<String> {
        let query = self.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.state.uploads.max_bytes(&self.link)
    }
}

fn relative(path: &str) -> String {
    let rest = path.strip_prefix("/u/").unwrap_or_default();
    match rest.split_once('/') {
        None => format!("{rest}/"),
        Some((_, below)) if !below.contains('/') => "./".into(),
        Some((_, below)) => "../".repeat(below.matches('/').count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_the_token() {
        for (path, expected) in [
            ("/u/tok", ("tok", "")),
            ("/u/tok/", ("tok", "")),
            ("/u/-/a.log", ("-", "a.log")),
            ("/u/tok/a%2Fb", ("tok", "a%2Fb")),
            ("/u/tok/uploads/01J", ("tok", "uploads/01J")),
        ] {
            assert_eq!(split(path), expected, "{path}");
        }
    }

    #[test]
    fn relative_addresses_lead_to_the_link() {
        for (path, expected) in [
            ("/u/tok", "tok/"),
            ("/u/-", "-/"),
            ("/u/tok/", "./"),
            ("/u/tok/a.log", "./"),
            ("/u/tok/tok", "./"),
            ("/u/tok/uploads/01J", "../"),
            ("/u/tok/a/b/", "../../"),
        ] {
            assert_eq!(relative(path), expected, "{path}");
        }
    }
}
