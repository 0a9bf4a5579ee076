//! Every route of the desk, with the name that faults are injected by. Only what the gateway, its tests and the demo call.
//! Invariant: the router and the names of operations come from one table, so they cannot disagree.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use tower::ServiceExt;

use super::answer::Refusal;
use super::instance::Desk;
use super::{auth, changes, content, people, rate_limit, search, tickets, uploads};

/// The largest JSON body; uploads are not JSON.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

type Route = (&'static str, Method, &'static str, MethodRouter<Arc<Desk>>);

/// All but `/oauth/tokens` need a token.
fn routes() -> Vec<Route> {
    vec![
        ("CreateUpload", Method::POST, "/api/v2/uploads", post(uploads::create)),
        ("Content", Method::GET, "/attachments/token/{token}", get(content::serve)),
        ("CreateTicket", Method::POST, "/api/v2/tickets", post(tickets::create)),
        ("ListTickets", Method::GET, "/api/v2/tickets", get(tickets::list)),
        ("ChangedTickets", Method::GET, "/api/v2/incremental/tickets/cursor", get(changes::list)),
        ("ShowTicket", Method::GET, "/api/v2/tickets/{id}", get(tickets::show)),
        ("UpdateTicket", Method::PUT, "/api/v2/tickets/{id}", put(tickets::update)),
        ("DeleteTicket", Method::DELETE, "/api/v2/tickets/{id}", delete(tickets::remove)),
        ("ListComments", Method::GET, "/api/v2/tickets/{id}/comments", get(tickets::comments)),
        ("AddTags", Method::PUT, "/api/v2/tickets/{id}/tags", put(tickets::add_tags)),
        ("Search", Method::GET, "/api/v2/search", get(search::search)),
        ("Me", Method::GET, "/api/v2/users/me", get(people::me)),
        ("SearchUsers", Method::GET, "/api/v2/users/search", get(people::search_users)),
        ("ShowUser", Method::GET, "/api/v2/users/{id}", get(people::show_user)),
        (
            "ListUserOrganizations",
            Method::GET,
            "/api/v2/users/{id}/organizations",
            get(people::user_organizations),
        ),
        ("ShowOrganization", Method::GET, "/api/v2/organizations/{id}", get(people::show_organization)),
    ]
}

pub fn router(desk: Arc<Desk>) -> Router {
    let mut router = Router::new();
    for (_, _, path, handler) in routes() {
        router = router.route(path, handler);
    }
    let router = router
        .fallback(async || Refusal::no_endpoint())
        .method_not_allowed_fallback(async || Refusal::no_endpoint())
        .layer(from_fn_with_state(Arc::clone(&desk), auth::authenticate))
        .route("/oauth/tokens", post(auth::token))
        .layer(from_fn_with_state(Arc::clone(&desk), rate_limit::account))
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .with_state(desk);
    // A layer of the router itself would run after the route is chosen.
    Router::new().fallback_service(router.map_request(|mut request: Request| {
        if let Some(uri) = plain(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

/// The address without the optional `.json` or a last slash; `None` if it has neither.
fn plain(uri: &Uri) -> Option<Uri> {
    let short = trim(uri.path());
    if short.len() == uri.path().len() {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{short}{query}").parse().ok()
}

fn trim(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.strip_suffix(".json").unwrap_or(path)
}

/// The name of the operation a request asks for: `CreateUpload`, `UpdateTicket`, … or `Other`. Faults are injected by it.
pub fn operation(method: &Method, path: &str) -> &'static str {
    static NAMES: LazyLock<Vec<(&str, Method, &str)>> = LazyLock::new(|| {
        let token = ("Token", Method::POST, "/oauth/tokens");
        let routes = routes().into_iter().map(|(name, method, path, _)| (name, method, path));
        std::iter::once(token).chain(routes).collect()
    });
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let found = NAMES.iter().find(|(_, known, pattern)| known == method && fits(pattern, trim(path)));
    found.map_or("Other", |(name, ..)| name)
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(want), Some(got)) if want == got || (want.starts_with('{') && !got.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_names() {
        let cases = [
            ("POST", "/oauth/tokens", "Token"),
            ("POST", "/api/v2/uploads", "CreateUpload"),
            ("POST", "/api/v2/uploads.json", "CreateUpload"),
            ("PUT", "/api/v2/tickets/1001", "UpdateTicket"),
            ("GET", "/api/v2/tickets/1001.json", "ShowTicket"),
            ("DELETE", "/api/v2/tickets/1001", "DeleteTicket"),
            ("PUT", "/api/v2/tickets/1001/tags.json", "AddTags"),
            ("GET", "/api/v2/tickets/1001/comments.json", "ListComments"),
            ("POST", "/api/v2/tickets", "CreateTicket"),
            ("GET", "/api/v2/tickets.json", "ListTickets"),
            ("GET", "/api/v2/incremental/tickets/cursor.json", "ChangedTickets"),
            ("GET", "/api/v2/users/me.json", "Me"),
            ("GET", "/api/v2/users/search", "SearchUsers"),
            ("GET", "/api/v2/search.json", "Search"),
            ("GET", "/api/v2/organizations/7", "ShowOrganization"),
            ("GET", "/attachments/token/abc/", "Content"),
            ("HEAD", "/attachments/token/abc/", "Content"),
            ("GET", "/api/v2/uploads", "Other"),
            ("GET", "/", "Other"),
        ];
        for (method, path, name) in cases {
            assert_eq!(operation(&method.parse().unwrap(), path), name, "{method} {path}");
        }
    }
}
