//! Writes problems: as problem details, or as a page in the reader's language.

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::accept::ResponseFormat;
use crate::http::html;
use crate::http::request_id::RequestId;

impl Problem {
    /// Writes the problem as the body of `response`, which carries its status and headers.
    fn write(self, mut response: Response, format: Format, id: Option<&str>) -> Response {
        metrics::counter!("weighbridge_problems_total", "type" => self.kind).increment(1);
        let (kind, body) = if let Format::Page(language) = format {
            let page = page::html(&page::ProblemPage {
                language,
                kind: self.kind,
                status: self.status.as_u16(),
                title: self.title,
                detail: &self.detail,
                request_id: id,
                renew_at: self.renew_at.as_deref(),
            });
            for (name, value) in html::headers(language) {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            ("text/html; charset=utf-8", page)
        } else {
            ("application/problem+json", self.text(id))
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        *response.body_mut() = Body::from(body);
        response
    }
}

impl IntoResponse for Problem {
    /// Without a body: only the request tells its format and id.
    fn into_response(mut self) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in self.headers.drain(..) {
            response.headers_mut().append(name, value);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes problems in the format that the client wants.
pub(crate) async fn as_wanted(request: Request, next: Next) -> Response {
    let format = match ResponseFormat::wanted(request.headers()) {
        ResponseFormat::Html => Format::Page(html::language(request.headers())),
        ResponseFormat::Json | ResponseFormat::Text => Format::Json,
    };
    render_as(format, request, next).await
}

/// Writes problems as JSON, for programs.
pub(crate) async fn as_json(request: Request, next: Next) -> Response {
    render_as(Format::Json, request, next).await
}

/// How a problem is written.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Page(page::Language),
}

async fn render_as(format: Format, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.write(response, format, id.as_ref().map(RequestId::as_str)),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Types that only programs get: from a protocol, the API of support or a hook.
    const FOR_PROGRAMS: [&str; 8] = [
        "ambiguous-name",
        "bad-signature",
        "length-required",
        "link-revoked",
        "superseded",
        "unsupported-media-type",
        "unsupported-version",
        "about:blank",
    ];

    #[test]
    fn every_problem_that_people_see_is_explained_in_their_language() {
        let sources = [include_str!("../problem.rs"), include_str!("from_errors.rs")];
        let types: BTreeSet<_> = sources
            .iter()
            .flat_map(|source| source.split("\"/problems/").skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(types.len() > 25, "{types:?}");
        let german: serde_json::Value =
            serde_json::from_str(include_str!("../../../page/web/locales/de.json")).unwrap();
        for kind in types {
            let has_text = german.get(format!("problem.{kind}")).is_some();
            assert_ne!(has_text, FOR_PROGRAMS.contains(&kind), "{kind}");
        }
    }
}
