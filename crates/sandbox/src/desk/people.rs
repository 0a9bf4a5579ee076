//! Users and organizations: who a user is, which organizations they belong to, and the agents' notes about these.

use std::sync::Arc;

use axum::extract::{Path, Query, State as Shared};
use axum::response::Json;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::instance::{Desk, Params};
use super::model::{Organization, User};
use super::paging::answer;
use super::render::Base;

/// An id in a path; anything that is none names nothing.
pub(super) fn id(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::not_found())
}

pub(super) async fn me(Shared(desk): Shared<Arc<Desk>>, base: Base) -> Result<Json<Value>, Refusal> {
    user(&desk, &base, desk.agent_id)
}

pub(super) async fn show_user(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Path(user_id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    user(&desk, &base, id(&user_id)?)
}

fn user(desk: &Desk, base: &Base, id: u64) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let user = state.users.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(Json(json!({"user": base.user(user)})))
}

/// By `query`: part of a name or an address, or `email:"…"` for the address alone.
pub(super) async fn search_users(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let query = params.get("query").map(|query| query.trim().to_lowercase()).unwrap_or_default();
    let wanted = |User { seed: user, .. }: &&User| match query.strip_prefix("email:") {
        // Zendesk's match is not exact, and callers must not rely on it being so.
        Some(email) => user.email.to_lowercase().contains(email.trim_matches('"')),
        None => !query.is_empty() && format!("{} {}", user.name, user.email).to_lowercase().contains(&query),
    };
    let users: Vec<&User> = state.users.values().filter(wanted).collect();
    answer("users", &users, |user| user.seed.id, |user| base.user(user), (&params, &base, "users/search"))
}

pub(super) async fn user_organizations(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Path(user_id): Path<String>,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let user = state.users.get(&id(&user_id)?).ok_or_else(Refusal::not_found)?;
    let organizations: Vec<&Organization> =
        user.seed.organization_ids.iter().filter_map(|id| state.organizations.get(id)).collect();
    let query = (&params, &base, &*format!("users/{user_id}/organizations"));
    let show = |found: &Organization| base.organization(found);
    answer("organizations", &organizations, |found| found.seed.id, show, query)
}

pub(super) async fn show_organization(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Path(organization_id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let organization = state.organizations.get(&id(&organization_id)?).ok_or_else(Refusal::not_found)?;
    Ok(Json(json!({"organization": base.organization(organization)})))
}
