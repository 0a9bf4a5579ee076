//! Signing in with a staff token, and out.
//! Invariant: the cookie goes to these pages alone, and no script reads it.

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use ledger::{StaffToken, Token, hash_token, now_ms};

use crate::fields::Fields;
use crate::http::places;
use crate::problem::Problem;
use crate::state::AppState;

const NAME: &str = "weighbridge-support";
/// A working day, seconds.
const LIFE_S: i64 = 12 * 60 * 60;
/// Where the pages are.
const HOME: &str = "/support";

/// Somebody of support who has signed in.
pub(crate) struct Session {
    pub(super) staff: StaffToken,
    /// In every form that changes something.
    pub(super) csrf: String,
}

impl FromRequestParts<AppState> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let next = parts.uri.path_and_query().map_or(HOME, |path| path.as_str());
        let Some(cookie) = cookie(&parts.headers) else { return Err(login_page(next, false)) };
        match state.ledger.session(cookie).await {
            Ok(staff) => {
                places::authenticated(&parts.extensions);
                Ok(Self { staff, csrf: csrf(cookie) })
            }
            Err(ledger::Error::NotFound) => Err(login_page(next, false)),
            Err(error) => Err(Problem::from(error).into_response()),
        }
    }
}

impl Session {
    /// Their name in the audit.
    pub(super) fn actor(&self) -> String {
        format!("staff:{}", self.staff.id)
    }

    /// The fields of a form of ours.
    pub(super) async fn fields(&self, headers: &HeaderMap, body: Body) -> Result<Fields, Problem> {
        let mut fields = Fields::read(headers, body).await?;
        let sent = fields.optional_line("csrf").unwrap_or_default();
        // Of hashes, so that the time says nothing.
        if hash_token(&sent) != hash_token(&self.csrf) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "/problems/not-allowed",
                "This form is too old",
                "You have signed in again since this page was opened. Reload it, and try again.",
            ));
        }
        Ok(fields)
    }
}

/// `POST`: signs in.
pub(crate) async fn login(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut fields = Fields::read(&headers, body).await?;
    let next = fields.optional_line("next").filter(|next| is_ours(next));
    let next = next.as_deref().unwrap_or(HOME);
    let token = fields.optional_line("token").unwrap_or_default();
    let staff = match state.ledger.staff_token(&token).await {
        Err(ledger::Error::NotFound) => return Ok(login_page(next, true)),
        found => found?,
    };
    let session = state.ledger.open_session(&staff, now_ms().saturating_add(LIFE_S * 1000)).await?;
    let secure = if state.public_url.starts_with("https:") { "; Secure" } else { "" };
    let cookie =
        format!("{NAME}={}; Path={HOME}; Max-Age={LIFE_S}; HttpOnly; SameSite=Lax{secure}", session.reveal());
    Ok(see(next, &cookie))
}

/// `POST`: signs out.
pub(crate) async fn logout(
    session: Session,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    session.fields(&headers, body).await?.finish()?;
    if let Some(cookie) = cookie(&headers) {
        state.ledger.end_session(cookie).await?;
    }
    Ok(see(HOME, &format!("{NAME}=; Path={HOME}; Max-Age=0; HttpOnly; SameSite=Lax")))
}

fn see(next: &str, cookie: &str) -> Response {
    let headers = [(LOCATION, next), (SET_COOKIE, cookie), (CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Asks for a staff token.
pub(super) fn login_page(next: &str, is_wrong: bool) -> Response {
    let next = if is_ours(next) { next } else { HOME };
    let html = page::html(&page::support::LoginPage { next, is_wrong });
    let headers = [(WWW_AUTHENTICATE, "Bearer"), (CACHE_CONTROL, "no-store")];
    (StatusCode::UNAUTHORIZED, headers, Html(html)).into_response()
}

/// A page of support to come back to, and no other address.
fn is_ours(next: &str) -> bool {
    let rest = next.strip_prefix(HOME).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    rest.is_some() && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, _)| *name == NAME).map(|(_, value)| value)
}

fn csrf(session: &str) -> String {
    Token::derived(session, "csrf").reveal().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_support_follow_a_login() {
        for (next, expected) in [
            ("/support", true),
            ("/support?ticket=1001", true),
            ("/support/uploads/01X", true),
            ("/supporters", false),
            ("//support.example", false),
            ("https://x/support", false),
            ("/support/\\evil", false),
            ("/support/\r\nX: y", false),
            ("", false),
        ] {
            assert_eq!(is_ours(next), expected, "{next}");
        }
    }
}
