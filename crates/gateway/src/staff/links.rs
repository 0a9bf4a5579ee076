//! Upload links made, shown and revoked by support. A link is bound only to a ticket that the desk says is the partner's
//! own; a desk that does not answer keeps nobody from making one, and whoever does is told.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use desk::Desk;
use ledger::{Ledger, Link, NewLink, Partner, Right, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Params, Refusal, Staff, known, malformed, partner};
use crate::app::App;
use crate::json::Json;
use crate::problem::{self, Problem};

/// Longest life of a link.
const LIFE_MAX: Duration = crate::config::DURATION_MAX;
/// How long whoever makes a link waits for the desk.
const DESK_WAIT: Duration = Duration::from_secs(10);

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
    max_unfinished_bytes: Option<i64>,
    max_requests_per_minute: Option<i64>,
}

pub(crate) async fn create(
    staff: Staff,
    State(app): State<App>,
    wanted: Result<axum::Json<Wanted>, JsonRejection>,
) -> Result<Response, Refusal> {
    let axum::Json(wanted) = wanted.map_err(|rejection| malformed(&rejection))?;
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
        max_unfinished_bytes: wanted.max_unfinished_bytes,
        max_requests_per_minute: wanted.max_requests_per_minute,
    };
    let made = make((&app.ledger, &app.desk), &asked, app.limits.link_expiry, &staff.actor()).await?;
    let mut body = describe(&made.link);
    body["url"] = format!("{}/u/{}", app.public_url, made.token.reveal()).into();
    if let Some(warning) = made.warning {
        body["warning"] = warning.into();
    }
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    partner: Option<String>,
}

pub(crate) async fn list(
    _: Staff,
    State(app): State<App>,
    Params(from): Params<From>,
) -> Result<Json<Value>, Refusal> {
    let of = match &from.partner {
        Some(id) => Some(partner(&app, id).await?.id),
        None => None,
    };
    let links: Vec<_> = app.ledger.links(of.as_deref()).await?.iter().map(describe).collect();
    Ok(Json(json!({ "links": links })))
}

pub(crate) async fn show(
    _: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(describe(&app.ledger.link(known(&id)?).await?)))
}

pub(crate) async fn revoke(
    staff: Staff,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    app.ledger.revoke_link(known(&id)?, &staff.actor()).await?;
    app.uploads.cancel_revoked().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A link as it is shown: without its token. A limit that is null is the configuration's.
pub(crate) fn describe(link: &Link) -> Value {
    json!({
        "id": link.id,
        "partner": link.partner_id,
        "ticket": link.ticket,
        "rights": link.rights.iter().map(|right| right.name()).collect::<Vec<_>>(),
        "max_bytes": link.max_bytes,
        "max_open": link.max_open,
        "max_unfinished_bytes": link.max_unfinished_bytes,
        "max_requests_per_minute": link.max_requests_per_minute,
        "created_by": link.created_by,
        "created_at": ledger::rfc3339(link.created_at),
        "expires_at": link.expires_at.map(ledger::rfc3339),
        "revoked_at": link.revoked_at.map(ledger::rfc3339),
    })
}

/// What somebody asks a link to be.
pub(crate) struct Asked<'a> {
    pub(crate) partner: &'a str,
    pub(crate) ticket: Option<&'a str>,
    pub(crate) rights: &'a [String],
    pub(crate) expires_in: Option<Duration>,
    pub(crate) max_bytes: Option<i64>,
    pub(crate) max_open: Option<i64>,
    pub(crate) max_unfinished_bytes: Option<i64>,
    pub(crate) max_requests_per_minute: Option<i64>,
}

/// A link that was just made.
pub(crate) struct Made {
    pub(crate) link: Link,
    /// Shown this once.
    pub(crate) token: Token,
    /// What could not be checked.
    pub(crate) warning: Option<String>,
}

/// Makes a link, after asking the desk whether its ticket is the partner's.
pub(crate) async fn make(
    (ledger, desk): (&Ledger, &Desk),
    asked: &Asked<'_>,
    default_expiry: Duration,
    created_by: &str,
) -> Result<Made, Problem> {
    let found = match crate::partners::is_partner_id(asked.partner) {
        true => ledger.partner(asked.partner).await,
        false => Err(ledger::Error::NotFound),
    };
    let partner = match found {
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
    let rights = rights(asked.rights)?;
    for (name, limit) in [
        ("max_bytes", asked.max_bytes),
        ("max_open", asked.max_open),
        ("max_unfinished_bytes", asked.max_unfinished_bytes),
        ("max_requests_per_minute", asked.max_requests_per_minute),
    ] {
        if limit.is_some_and(|limit| limit < 1) {
            return Err(problem::bad_request(&format!("`{name}` is at least 1.")));
        }
    }
    let lasts = asked.expires_in.unwrap_or(default_expiry);
    if lasts.is_zero() || lasts > LIFE_MAX {
        return Err(problem::bad_request("A link works for at least a second and at most ten years."));
    }
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    let warning = match &ticket {
        Some(ticket) => check_ticket((ledger, desk), &partner, ticket).await?,
        None => None,
    };
    let new = NewLink {
        partner_id: partner.id,
        contact_id: None,
        ticket,
        rights,
        max_bytes: asked.max_bytes,
        max_open: asked.max_open,
        max_unfinished_bytes: asked.max_unfinished_bytes,
        max_requests_per_minute: asked.max_requests_per_minute,
        created_by: created_by.to_owned(),
        expires_at: Some(ledger::now_ms().saturating_add(lasts)),
    };
    let token = Token::random();
    Ok(Made { link: ledger.create_link(&token, &new).await?, token, warning })
}

fn rights(names: &[String]) -> Result<Vec<Right>, Problem> {
    let known = || Right::ALL.map(Right::name).join(", ");
    let parse = |name: &String| {
        Right::parse(name).ok_or_else(|| {
            let why = format!("`{}` is not a right; one of {}.", name.escape_debug(), known());
            problem::bad_request(&why)
        })
    };
    names.iter().map(parse).collect()
}

/// Refuses a ticket that is closed, is not there, or is not the partner's. Answers what could not be checked.
async fn check_ticket(
    (ledger, desk): (&Ledger, &Desk),
    partner: &Partner,
    ticket: &str,
) -> Result<Option<String>, Problem> {
    let unchecked =
        |why: &str| Ok(Some(format!("Ticket {ticket} was not checked: {why}. The link is made.")));
    let found = match tokio::time::timeout(DESK_WAIT, desk.ticket(ticket)).await {
        Ok(Ok(found)) => found,
        Ok(Err(desk::Error::NotFound)) => {
            let why = format!("The desk knows no ticket {ticket}. Check the number.");
            return Err(problem::unknown_ticket().saying(why));
        }
        Ok(Err(error)) => return unchecked(&error.to_string()),
        Err(_) => return unchecked("the desk does not answer"),
    };
    let owner = found.organization_id.and_then(|id| i64::try_from(id).ok());
    let closed = found.status == desk::Status::Closed;
    ledger.saw_ticket(ticket, owner, closed).await?;
    let whose = format!("partner `{}`", partner.id);
    if partner.organization_id.is_some() && owner != partner.organization_id {
        let why = format!(
            "Ticket {ticket} does not belong to the organisation of {whose}. Check the number, or the partner."
        );
        return Err(problem::unknown_ticket().saying(why));
    }
    if closed {
        let why = format!("Ticket {ticket} is closed. Open a follow-up ticket, and make the link for that.");
        return Err(problem::ticket_closed(ticket).saying(why));
    }
    if partner.organization_id.is_none() {
        return Ok(Some(format!(
            "{whose} has no organization_id: nothing says that ticket {ticket} is its own."
        )));
    }
    Ok(None)
}
