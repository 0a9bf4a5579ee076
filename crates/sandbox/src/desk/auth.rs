//! Who may call: API token (Basic) or OAuth access token (Bearer), both acting as the desk's one agent.
//! Invariant: access tokens are kept hashed.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::answer::Refusal;
use super::credentials::{Credentials, random_hex, same, sha256_hex};
use super::instance::Desk;

/// What Zendesk gives new clients: 30 minutes.
const ACCESS_TOKEN_SECONDS: i64 = 30 * 60;

/// Lets a request pass if it carries a valid token.
pub(super) async fn authenticate(
    Shared(desk): Shared<Arc<Desk>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let allowed = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !allowed.is_some_and(|value| knows(&desk, value)) {
        return Err(Refusal::unauthenticated());
    }
    Ok(next.run(request).await)
}

fn knows(desk: &Desk, authorization: &str) -> bool {
    let Some((scheme, value)) = authorization.split_once(' ') else { return false };
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => {
            let Credentials { email, api_token, .. } = &desk.credentials;
            let given = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            given.is_some_and(|given| same(&given, &format!("{email}/token:{api_token}")))
        }
        "bearer" => {
            let expires_at = desk.read().access_tokens.get(&sha256_hex(value.trim().as_bytes())).copied();
            expires_at.is_some_and(|expires_at| expires_at > desk.now())
        }
        _ => false,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Grant {
    grant_type: String,
    client_id: String,
    client_secret: String,
    scope: Option<String>,
    expires_in: Option<i64>,
}

/// `POST /oauth/tokens`: the client credentials grant (RFC 6749, section 4.4), JSON or form-encoded.
pub(super) async fn token(
    Shared(desk): Shared<Arc<Desk>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let grant = grant(&headers, &body)?;
    let Credentials { client_id, client_secret, .. } = &desk.credentials;
    if !(same(&grant.client_id, client_id) & same(&grant.client_secret, client_secret)) {
        return Err(Refusal::oauth(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Client authentication failed due to unknown client or wrong secret.",
        ));
    }
    if grant.grant_type != "client_credentials" {
        let description = "Only the client credentials grant is offered.";
        return Err(Refusal::oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type", description));
    }
    let expires_in = grant.expires_in.unwrap_or(ACCESS_TOKEN_SECONDS).clamp(60, ACCESS_TOKEN_SECONDS);
    let access_token = format!("{}{}", random_hex(), random_hex());
    let (key, now) = (sha256_hex(access_token.as_bytes()), desk.now());
    desk.change(move |state| {
        state.access_tokens.retain(|_, expires_at| *expires_at > now);
        state.access_tokens.insert(key, now + expires_in);
        Ok(())
    })
    .await?;
    let scope = grant.scope.unwrap_or_else(|| "read write".to_owned());
    let answer = json!({"access_token": access_token, "token_type": "bearer", "scope": scope, "expires_in": expires_in});
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn grant(headers: &HeaderMap, body: &[u8]) -> Result<Grant, Refusal> {
    let form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !form {
        return serde_json::from_slice(body).map_err(|_| {
            Refusal::oauth(StatusCode::BAD_REQUEST, "invalid_request", "The body is not JSON.")
        });
    }
    let mut grant = Grant::default();
    for (key, value) in url::form_urlencoded::parse(body) {
        match &*key {
            "grant_type" => grant.grant_type = value.into_owned(),
            "client_id" => grant.client_id = value.into_owned(),
            "client_secret" => grant.client_secret = value.into_owned(),
            "scope" => grant.scope = Some(value.into_owned()),
            "expires_in" => grant.expires_in = value.parse().ok(),
            _ => {}
        }
    }
    Ok(grant)
}
