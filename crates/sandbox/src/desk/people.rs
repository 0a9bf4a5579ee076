//! Users and organizations: who somebody is, where they belong, and what agents wrote down about them.

use std::sync::Arc;

use axum::extract::{Path, Query, State as Shared};
use axum::response::Json;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::model::{Organization, User};
use super::paging::cut;
use super::render::Base;
use super::{Desk, Params};

fn id(text: &str) -> Result<u64, Refusal> {
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

/// By `query` (part of a name or an address; `email:"…"` for the address alone) or by `external_id`.
pub(super) async fn search_users(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let query = params.get("query").map(|query| query.trim().to_lowercase()).unwrap_or_default();
    let external_id = params.get("external_id");
    let wanted = |user: &&User| match (external_id, query.strip_prefix("email:")) {
        (Some(_), _) => user.external_id.as_ref() == external_id,
        // Zendesk's match is not exact, and callers must not rely on it being so.
        (None, Some(email)) => user.email.to_lowercase().contains(email.trim_matches('"')),
        (None, None) => {
            !query.is_empty() && format!("{} {}", user.name, user.email).to_lowercase().contains(&query)
        }
    };
    let users: Vec<&User> = state.users.values().filter(wanted).collect();
    let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
    let page = cut(&ids, &params, &format!("{}/api/v2/users/search.json", base.0))?;
    let items = users[page.range.clone()].iter().map(|user| base.user(user)).collect();
    Ok(Json(page.answer("users", items)))
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
        user.organization_ids.iter().filter_map(|id| state.organizations.get(id)).collect();
    let url = format!("{}/api/v2/users/{user_id}/organizations.json", base.0);
    organizations_page(&organizations, &base, &params, &url)
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

/// By exact `name` or `external_id`.
pub(super) async fn search_organizations(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let state = desk.read();
    let (name, external_id) = (params.get("name"), params.get("external_id"));
    if name.is_none() && external_id.is_none() {
        return Err(Refusal::bad_request("InvalidValue", "name or external_id is required"));
    }
    let wanted = |organization: &&Organization| match name {
        Some(name) => organization.name.to_lowercase() == name.to_lowercase(),
        None => organization.external_id.as_ref() == external_id,
    };
    let organizations: Vec<&Organization> = state.organizations.values().filter(wanted).collect();
    organizations_page(
        &organizations,
        &base,
        &params,
        &format!("{}/api/v2/organizations/search.json", base.0),
    )
}

fn organizations_page(
    organizations: &[&Organization],
    base: &Base,
    params: &Params,
    url: &str,
) -> Result<Json<Value>, Refusal> {
    let ids: Vec<u64> = organizations.iter().map(|organization| organization.id).collect();
    let page = cut(&ids, params, url)?;
    let items = organizations[page.range.clone()]
        .iter()
        .map(|organization| base.organization(organization))
        .collect();
    Ok(Json(page.answer("organizations", items)))
}
