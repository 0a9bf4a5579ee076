//! `GET /openapi.json`: the description of the interface for programs, generated from the handlers. It lies above them.
//! Invariant: every refusal that it names is a problem, and every operation names those that any request may get.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, SecurityRequirement};
use utoipa::{Modify, OpenApi as _};

use crate::hooks;
use crate::partner::{escalate, note, renew, tickets};
use crate::staff::{asks, audit, contacts, content, escalations, holds, links, objects, partners, uploads};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Weighbridge",
        description = "The staff API, tickets and escalations of partners, and hooks. Files are sent with `PUT` or resumable protocols, \
            which no description of this kind can tell: see the README. A field that this description does not name may be added at \
            any time."
    ),
    paths(
        uploads::list, uploads::show, uploads::remove, content::content,
        partners::list, partners::show, objects::list, objects::show, objects::read,
        contacts::list, contacts::create, contacts::disable,
        escalations::list, escalations::create, escalations::show, escalations::change,
        holds::show, holds::set, holds::lift,
        asks::list, asks::ask, asks::withdraw,
        audit::list,
        links::list, links::create, links::show, links::revoke, links::renew,
        tickets::post, tickets::make_link, escalate::post, escalate::show, renew::post, note::post,
        hooks::zendesk::post, hooks::slack::post, hooks::workflow::post,
    ),
    components(schemas(api::Problem, api::described::FieldsProblem)),
    modifiers(&SecuritySchemes, &Groups),
)]
struct Described;

/// The description, written once.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string(&Described::openapi()).unwrap_or_default());

pub(crate) async fn get() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, DOCUMENT.as_str())
}

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let http = |scheme: HttpAuthScheme, description: &str| {
            SecurityScheme::Http(Http::builder().scheme(scheme).description(Some(description)).build())
        };
        let header = |name: &str, description: &str| {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
        };
        for (name, scheme) in [
            ("staff_token", http(HttpAuthScheme::Bearer, "`weighbridge token create` makes one.")),
            ("link_token", http(HttpAuthScheme::Bearer, "The token of a link, with `-` in the address.")),
            (
                "link_password",
                http(HttpAuthScheme::Basic, "The token of a link as the password of any user."),
            ),
            ("workflow_secret", http(HttpAuthScheme::Bearer, "The partner's `workflow_secret`.")),
            (
                "zendesk_signature",
                header(
                    "X-Zendesk-Webhook-Signature",
                    "Base64 of the HMAC-SHA256 of the timestamp and the body, with `webhook_secret`.",
                ),
            ),
            (
                "zendesk_timestamp",
                header("X-Zendesk-Webhook-Signature-Timestamp", "RFC 3339, at most 5 minutes old."),
            ),
            (
                "slack_signature",
                header(
                    "X-Slack-Signature",
                    "`v0=` and the hexadecimal HMAC-SHA256 of `v0:TIMESTAMP:BODY`, with `signing_secret`.",
                ),
            ),
            (
                "slack_timestamp",
                header("X-Slack-Request-Timestamp", "Seconds since 1970, at most 5 minutes old."),
            ),
        ] {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// What the operations of a group have in common.
struct Groups;

impl Modify for Groups {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                if path.starts_with("/api/v1/") {
                    of_staff(operation);
                } else if path.starts_with("/u/") {
                    of_partners(operation);
                } else {
                    of_hooks(operation);
                }
                refusals(operation);
                if path.starts_with("/u/") {
                    pages(operation);
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn of_staff(operation: &mut Operation) {
    operation.tags = Some(vec!["staff".to_owned()]);
    operation.security = Some(vec![requirement("staff_token")]);
    add(operation, "401", "The staff token is missing or wrong.");
}

fn of_partners(operation: &mut Operation) {
    operation.tags = Some(vec!["partners".to_owned()]);
    // The token may be in the address.
    let schemes = ["link_token", "link_password"].map(requirement);
    operation.security = Some([vec![SecurityRequirement::default()], schemes.to_vec()].concat());
    for (status, description) in [
        ("401", "The address has `-` in place of a token, and `Authorization` has none that is valid."),
        ("404", "The link is unknown, or what the request names is not there for it."),
        ("410", "The link has expired or was revoked."),
        ("429", "Too many requests. `Retry-After` says when to try again."),
    ] {
        add(operation, status, description);
    }
}

fn of_hooks(operation: &mut Operation) {
    operation.tags = Some(vec!["hooks".to_owned()]);
    add(operation, "401", "The signature or the secret is missing, wrong or too old.");
    add(operation, "404", "This hook is not configured.");
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>(scheme, [])
}

/// Refusals that any request may get; all of them are problems.
fn refusals(operation: &mut Operation) {
    add(operation, "400", "The request is not what this address expects.");
    if operation.request_body.is_some() {
        add(operation, "408", "The body did not arrive in time.");
        add(operation, "413", "The body is too large.");
        add(operation, "415", "The body has a `Content-Encoding`.");
    }
    add(operation, "500", "Something went wrong. Nothing from this request was kept.");
    add(
        operation,
        "503",
        "Busy, restarting, or something behind the gateway is down. `Retry-After` says when to try again.",
    );
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.as_str() >= "400" {
            let schema = if status == "422" { "FieldsProblem" } else { "Problem" };
            let content = Content::new(Some(Ref::from_schema_name(schema)));
            response.content.insert("application/problem+json".to_owned(), content.into());
        }
    }
}

/// For a browser, each answer is a page.
fn pages(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.insert("text/html".to_owned(), Content::default().into());
        }
    }
}

/// Adds a refusal that the handler does not describe itself.
fn add(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| Response::new(description).into());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ROUTER: &str = include_str!("router.rs");

    /// Methods, paths and handlers of a function in the router, such as `get /uploads uploads::list`.
    fn routes(function: &str, prefix: &str) -> BTreeSet<(String, String, String)> {
        let body = ROUTER.split_once(&format!("fn {function}(")).unwrap().1;
        let body = body.split("\n}\n").next().unwrap();
        let mut found = BTreeSet::new();
        for route in body.split(".route(").skip(1) {
            let mut texts = route.split('"');
            let (path, methods) = (texts.nth(1).unwrap(), texts.next().unwrap());
            for method in ["get", "post", "put", "patch", "delete", "head", "options", "any"] {
                // `get(` and `.get(`, but not `target(`.
                for (at, _) in methods.match_indices(&format!("{method}(")) {
                    let before = methods[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                        continue;
                    }
                    let handler = methods[at + method.len() + 1..].split(')').next().unwrap();
                    found.insert((method.to_owned(), format!("{prefix}{path}"), handler.to_owned()));
                }
            }
        }
        assert!(!found.is_empty(), "no routes in {function}");
        found
    }

    fn described() -> BTreeSet<(String, String)> {
        let mut document = Described::openapi();
        let mut found = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            let value = serde_json::to_value(&*item).unwrap();
            let methods = value.as_object().unwrap().keys().cloned();
            found.extend(methods.map(|method| (method, path.clone())));
        }
        found
    }

    #[test]
    fn every_route_is_described_and_no_other() {
        let mut expected = routes("support", "/api/v1");
        expected.extend(routes("callers", "/hooks"));
        let of_tickets = routes("partners", "").into_iter().filter(|(_, _, handler)| {
            let (file, function) = handler.split_once("::").unwrap_or_default();
            // Pages are for people.
            ["tickets", "escalate", "renew", "note"].contains(&file) && function != "page"
        });
        expected.extend(of_tickets);
        let expected: BTreeSet<_> = expected.into_iter().map(|(method, path, _)| (method, path)).collect();
        assert!(expected.len() >= 25, "{expected:?}");
        assert_eq!(described(), expected);
    }

    #[test]
    fn operations_have_names_of_their_own_and_say_what_they_do() {
        let mut document = Described::openapi();
        let mut names = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                assert!(operation.summary.is_some(), "{path}");
                let name = operation.operation_id.clone().unwrap();
                assert!(names.insert(name.clone()), "{name} appears twice");
            }
        }
    }

    /// What the ledger can say, and what is described.
    #[test]
    fn names_of_states_are_those_of_the_ledger() {
        use api::described::{EscalationStateName, UploadStateName, UrgencyName};
        use ledger::{Delivery, EscalationState, State, Urgency};
        use utoipa::PartialSchema;

        fn described<T: PartialSchema>() -> BTreeSet<String> {
            let schema = serde_json::to_value(T::schema()).unwrap();
            serde_json::from_value(schema["enum"].clone()).unwrap()
        }
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();

        let uploads = [&State::ALL.map(State::name)[..], &Delivery::ALL.map(Delivery::name)].concat();
        assert_eq!(described::<UploadStateName>(), names(&uploads));
        assert_eq!(
            described::<EscalationStateName>(),
            names(&EscalationState::ALL.map(EscalationState::name))
        );
        assert_eq!(described::<UrgencyName>(), names(&Urgency::ALL.map(Urgency::name)));
    }
}
