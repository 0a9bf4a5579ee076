//! How the desk is watched: every call is counted and timed by what it is about.
//!
//! Invariant: nothing of an address but its kind is in a metric; ids and names of files stand in addresses.

use std::time::Instant;

use reqwest::RequestBuilder;

use crate::Error;
use crate::client::Answer;

/// Sends a request and reads its answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, Error> {
    let (http, request) = request.build_split();
    let request = request?;
    let method = request.method().as_str().to_owned();
    let about = about(request.url().path());
    let began = Instant::now();
    let answer = match http.execute(request).await {
        Ok(response) => Answer::read(response).await,
        Err(error) => Err(error.into()),
    };
    let result = match &answer {
        Ok(answer) if answer.status.is_success() => "ok".to_owned(),
        Ok(answer) => answer.status.as_u16().to_string(),
        Err(_) => "no-answer".to_owned(),
    };
    metrics::counter!(
        "weighbridge_desk_calls_total",
        "about" => about,
        "method" => method,
        "result" => result,
    )
    .increment(1);
    metrics::histogram!("weighbridge_desk_call_seconds", "about" => about).record(began.elapsed());
    answer
}

/// The last word of the path that is one of the desk's own.
fn about(path: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["oauth", "uploads", "tickets", "comments", "users", "organizations", "search"];
    let known = |segment: &str| KNOWN.into_iter().find(|known| *known == segment);
    path.split('/').filter_map(known).next_back().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_by_what_they_are_about() {
        for (path, expected) in [
            ("/api/v2/tickets/1001", "tickets"),
            ("/api/v2/tickets/1001/comments", "comments"),
            ("/desk/api/v2/uploads", "uploads"),
            ("/oauth/tokens", "oauth"),
            ("/api/v2/users/me", "users"),
            ("/api/v2/1001", "other"),
        ] {
            assert_eq!(about(path), expected, "{path}");
        }
    }
}
