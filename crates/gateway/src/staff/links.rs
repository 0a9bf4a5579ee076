//! Upload links made and revoked by support.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{NewLink, Right, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Staff, malformed};
use crate::app::App;
use crate::problem::{self, Problem};

/// Longest life of a link.
const LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    partner: String,
    ticket: Option<Value>,
    #[serde(default)]
    rights: Vec<String>,
    expires_in_s: Option<u64>,
    max_bytes: Option<i64>,
    max_open: Option<i64>,
}

pub(crate) async fn create(
    staff: Staff,
    State(app): State<App>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(wanted) = wanted.map_err(|rejection| malformed(&rejection))?;
    let ticket = match &wanted.ticket {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let expires_in = wanted.expires_in_s.map(Duration::from_secs);
    let asked = Asked {
        partner: &wanted.partner,
        ticket: ticket.as_deref(),
        rights: &wanted.rights,
        expires_in,
        max_bytes: wanted.max_bytes,
        max_open: wanted.max_open,
    };
    let (link, token) = make(&app.ledger, &asked, app.limits.link_expiry, &staff.actor()).await?;
    let body = json!({
        "id": link.id,
        "url": format!("{}/u/{}", app.public_url, token.reveal()),
        "partner": link.partner_id,
        "ticket": link.ticket,
        "rights": link.rights.iter().map(|right| right.name()).collect::<Vec<_>>(),
        "max_bytes": link.max_bytes,
        "expires_at": link.expires_at.map(ledger::rfc3339),
    });
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], Json(body)).into_response())
}

pub(crate) async fn revoke(
    staff: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    app.ledger.revoke_link(&id, &staff.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody asks a link to be.
pub(crate) struct Asked<'a> {
    pub(crate) partner: &'a str,
    pub(crate) ticket: Option<&'a str>,
    pub(crate) rights: &'a [String],
    pub(crate) expires_in: Option<Duration>,
    pub(crate) max_bytes: Option<i64>,
    pub(crate) max_open: Option<i64>,
}

/// Makes a link; the token is shown this once.
pub(crate) async fn make(
    ledger: &ledger::Ledger,
    asked: &Asked<'_>,
    default_expiry: Duration,
    created_by: &str,
) -> Result<(ledger::Link, Token), Problem> {
    let partner = match ledger.partner(asked.partner).await {
        Err(ledger::Error::NotFound) => {
            return Err(problem::bad_request(&format!(
                "There is no partner `{}`.",
                asked.partner.escape_debug()
            )));
        }
        other => other?,
    };
    let ticket = match asked.ticket {
        Some(text) => Some(
            desk::ticket_number(text)
                .ok_or_else(|| problem::bad_request("`ticket` is the number of a ticket, digits only."))?,
        ),
        None if partner.organization_id.is_none() => {
            let why = "This partner has no organisation in the desk, so its tickets cannot be checked: name a ticket, or give \
                       the partner its organization_id.";
            return Err(problem::bad_request(why));
        }
        None => None,
    };
    let mut rights = Vec::with_capacity(asked.rights.len());
    for name in asked.rights {
        let right = Right::parse(name).ok_or_else(|| {
            let known: Vec<_> = Right::ALL.iter().map(|right| right.name()).collect();
            problem::bad_request(&format!("A right is one of {}.", known.join(", ")))
        })?;
        rights.push(right);
    }
    for (name, limit) in [("max_bytes", asked.max_bytes), ("max_open", asked.max_open)] {
        if limit.is_some_and(|limit| limit < 1) {
            return Err(problem::bad_request(&format!("`{name}` is at least 1.")));
        }
    }
    let lasts = asked.expires_in.unwrap_or(default_expiry);
    if lasts.is_zero() || lasts > LIFE_MAX {
        return Err(problem::bad_request("A link works for at least a second and at most ten years."));
    }
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    let new = NewLink {
        partner_id: partner.id,
        contact_id: None,
        ticket,
        rights,
        max_bytes: asked.max_bytes,
        max_open: asked.max_open,
        created_by: created_by.to_owned(),
        expires_at: Some(ledger::now_ms().saturating_add(lasts)),
    };
    let token = Token::random();
    Ok((ledger.create_link(&token, &new).await?, token))
}
