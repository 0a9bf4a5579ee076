//! The table of contents: every address of the gateway, grouped by who calls it. Handlers lie below.
//! Invariant: this is the only table of addresses. Logs and metrics name a request by its pattern here, never by its path.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, delete, get, head, post};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::http::head::check_head;
use crate::http::{security_headers, trusted_proxy};
use crate::openapi;
use crate::partner::{
    cancel, create, escalate, form, note, options, page, protocol, put as put_file, renew, resume, show,
    tickets,
};
use crate::problem::{self, Problem};
use crate::staff;
use crate::state::AppState;
use crate::telemetry::{health, requests, scrape};
use crate::{home, hooks};

/// Routes of partners and whatever they send with: browsers, curl, tus, IETF resumable uploads. Paths are taken as they
/// came, not decoded: a name that is not UTF-8 has an answer of its own.
fn partners() -> Router<AppState> {
    let link = get(page::page).post(form::post).put(put_file::put).options(options::options);
    // Nothing lies deeper, but browsers on other sites and clients of a protocol must be able to read why.
    let deeper = any(nothing_here).options(options::options);
    let uploads = get(show::list).post(create::post).put(put_file::reserved).options(options::options);
    Router::new()
        .route("/u/{link}", link.clone())
        .route("/u/{link}/", link)
        .route("/u/{link}/uploads", uploads.clone())
        .route("/u/{link}/uploads/", uploads)
        .route(
            "/u/{link}/uploads/{id}",
            get(show::show)
                .head(show::head)
                .put(resume::append)
                .patch(resume::append)
                .delete(cancel::delete)
                .options(options::options),
        )
        .route("/u/{link}/send.sh", get(page::send_sh).put(put_file::reserved).options(options::options))
        .route("/u/{link}/send.ps1", get(page::send_ps1).put(put_file::reserved).options(options::options))
        // A file may have this name, too.
        .route(
            "/u/{link}/tickets",
            post(tickets::post)
                .put(put_file::put)
                .head(show::head_named)
                .get(tickets::page)
                .options(options::options),
        )
        .route("/u/{link}/tickets/{ticket}/link", post(tickets::make_link).options(options::options))
        .route(
            "/u/{link}/escalate",
            get(escalate::page).post(escalate::post).put(put_file::reserved).options(options::options),
        )
        // A file may have this name, too.
        .route(
            "/u/{link}/renew",
            post(renew::post)
                .put(put_file::put)
                .head(show::head_named)
                .get(nothing_here)
                .options(options::options),
        )
        // A file may have this name, too.
        .route(
            "/u/{link}/note",
            post(note::post)
                .put(put_file::put)
                .head(show::head_named)
                .get(nothing_here)
                .options(options::options),
        )
        .route("/u/{link}/escalations/{id}", get(escalate::show).options(options::options))
        .route(
            "/u/{link}/{name}",
            head(show::head_named).put(put_file::put).get(nothing_here).options(options::options),
        )
        .route("/u/{link}/{name}/", deeper.clone())
        .route("/u/{link}/{name}/{*below}", deeper)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(check_head))
        .layer(from_fn(protocol::sign))
}

/// Routes of support: `wb`, and scripts with a staff token. Answers are JSON, whatever the client accepts.
fn support() -> Router<AppState> {
    use staff::{asks, audit, contacts, content, escalations, holds, links, objects, partners, uploads};
    Router::new()
        .route("/uploads", get(uploads::list))
        .route("/uploads/{id}", get(uploads::show).delete(uploads::remove))
        .route("/uploads/{id}/content", get(content::content))
        .route("/partners", get(partners::list))
        .route("/partners/{id}", get(partners::show))
        .route("/partners/{id}/objects", get(objects::list))
        .route("/partners/{id}/object", get(objects::show).post(objects::read))
        .route("/partners/{id}/contacts", get(contacts::list).post(contacts::create))
        .route("/partners/{id}/contacts/{contact}", delete(contacts::disable))
        .route("/escalations", get(escalations::list).post(escalations::create))
        .route("/escalations/{id}", get(escalations::show).patch(escalations::change))
        .route("/tickets/{ticket}/asks", get(asks::list).post(asks::ask))
        .route("/tickets/{ticket}/asks/{ask}", delete(asks::withdraw))
        .route("/tickets/{ticket}/hold", get(holds::show).post(holds::set).delete(holds::lift))
        .route("/audit", get(audit::list))
        .route("/links", get(links::list).post(links::create))
        .route("/links/{id}", get(links::show).delete(links::revoke))
        .route("/links/{id}/renew", post(links::renew))
        .fallback(|| async { problem::not_found() })
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(problem::render::as_json))
}

/// Routes that the desk and Slack call, signed with a secret that both sides have.
fn callers() -> Router<AppState> {
    Router::new()
        .route("/zendesk", post(hooks::zendesk::post))
        .route("/slack", post(hooks::slack::post))
        .route("/slack/workflow/{partner}", post(hooks::workflow::post))
        .fallback(|| async { problem::not_found() })
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(problem::render::as_json))
}

/// Routes of load balancers.
fn balancers() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(problem::method_not_allowed)
}

/// What describes the routes of support, of hooks, and of partners' tickets and escalations.
fn description() -> Router<AppState> {
    Router::new()
        .route("/openapi.json", get(openapi::get))
        .method_not_allowed_fallback(problem::method_not_allowed)
}

/// What this host is, and what pages load.
fn pages() -> Router<AppState> {
    Router::new()
        .route("/", get(home::get))
        .route("/assets/{name}", get(crate::assets::get))
        .method_not_allowed_fallback(problem::method_not_allowed)
}

/// Pages for support in a browser.
fn support_pages() -> Router<AppState> {
    use crate::support::{escalations, files, links, session};
    Router::new()
        .route("/support", get(files::list))
        .route("/support/login", post(session::login))
        .route("/support/logout", post(session::logout))
        .route("/support/uploads/{id}", get(files::show))
        .route("/support/uploads/{id}/content", get(files::read))
        .route("/support/links", get(links::list).post(links::create))
        .route("/support/links/{id}/revoke", post(links::revoke))
        .route("/support/escalations", get(escalations::list))
        .route("/support/escalations/{id}", post(escalations::change))
        .method_not_allowed_fallback(problem::method_not_allowed)
}

/// Every route of the public address.
pub(crate) fn public(state: &AppState) -> Router {
    let others = balancers()
        .nest("/api/v1", support())
        .nest("/hooks", callers())
        .merge(description())
        .merge(pages())
        .merge(support_pages())
        .fallback(nothing_here)
        .layer(from_fn(check_head));
    let all = partners()
        .merge(others)
        .layer(from_fn(problem::render::as_wanted))
        .layer(from_fn(security_headers::add))
        // Bodies of partners are counted where they are read; no extractor collects one.
        .layer(DefaultBodyLimit::max(staff::links::BODY_BYTES_MAX))
        .layer(from_fn(requests::observe))
        .layer(from_fn_with_state(state.clone(), trusted_proxy::identify))
        .with_state(state.clone());
    // Before the routing, which goes by the method that the client means.
    Router::new().fallback_service(all).layer(from_fn(protocol::override_method))
}

/// Every route of the operators' address, where no stranger gets in the way.
pub(crate) fn operators(state: &AppState, handle: PrometheusHandle) -> Router {
    let metrics = get(scrape::metrics).with_state((state.clone(), handle));
    Router::new().route("/metrics", metrics).merge(balancers().with_state(state.clone()))
}

/// The response at an unknown address. A `PUT` is told what is wrong with its file's name.
async fn nothing_here(method: Method, uri: Uri) -> Problem {
    let below_link = uri.path().strip_prefix("/u/").and_then(|rest| rest.split_once('/'));
    match below_link {
        Some((token, name)) if method == Method::PUT && !token.is_empty() => put_file::refuse_path(name),
        _ => problem::not_found_at(uri.path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every route has a pattern that no other one hides.
    #[test]
    fn routes_do_not_contradict_each_other() {
        let _ = partners().merge(balancers().nest("/api/v1", support()).nest("/hooks", callers()));
    }
}
