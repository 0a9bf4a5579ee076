//! Who is let in, how often, and what survives a restart.

use std::time::Duration;

use super::*;

async fn token(bench: &TestDesk, secret: &str) -> Answer {
    let body = json!({"grant_type": "client_credentials", "client_id": bench.desk.credentials().client_id,
        "client_secret": secret, "scope": "read write"});
    bench.send("POST", "/oauth/tokens", &[("authorization", "")], body.to_string()).await
}

#[tokio::test]
async fn unknown_callers_are_401() {
    let bench = bench();
    for authorization in ["", "Basic bm9ib2R5OnBhc3M=", "Bearer nothing", "Digest x", "Basic"] {
        for path in ["/api/v2/tickets/1001", "/attachments/token/x/", "/api/v2/nothing"] {
            let answer = bench.send("GET", path, &[("authorization", authorization)], "").await;
            assert_eq!(answer.status, 401, "{authorization:?} {path}");
            assert_eq!(answer.json(), json!({"error": "Couldn't authenticate you"}));
        }
    }
    assert_eq!(bench.send("GET", "/api/v2/nothing", &[], "").await.status, 404);
}

#[tokio::test]
async fn access_tokens_expire_after_half_an_hour() {
    let bench = bench();
    let secret = bench.desk.credentials().client_secret.clone();
    assert_eq!(token(&bench, "wrong").await.json()["error"], "invalid_client");
    let answer = token(&bench, &secret).await.json();
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("bearer"), &json!(1800)));
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let me =
        async || bench.send("GET", "/api/v2/users/me.json", &[("authorization", &bearer)], "").await.status;
    assert_eq!(me().await, 200);
    bench.desk.advance(Duration::from_secs(1790));
    assert_eq!(me().await, 200);
    bench.desk.advance(Duration::from_secs(11));
    assert_eq!(me().await, 401);
}

#[tokio::test]
async fn only_client_credentials_are_granted() {
    let bench = bench();
    let Credentials { client_id, client_secret, .. } = bench.desk.credentials().clone();
    let form = [("authorization", ""), ("content-type", "application/x-www-form-urlencoded")];
    for (grant, status) in [("client_credentials", 200), ("password", 400)] {
        let body = format!("grant_type={grant}&client_id={client_id}&client_secret={client_secret}");
        assert_eq!(bench.send("POST", "/oauth/tokens", &form, body).await.status, status, "{grant}");
    }
    assert_eq!(bench.send("POST", "/oauth/tokens", &[("authorization", "")], "{").await.status, 400);
}

#[tokio::test]
async fn rate_limit_per_minute() {
    let bench = TestDesk::new(DeskOptions { requests_per_minute: 2, ..DeskOptions::default() });
    // Whichever minute the first call falls into, three more than fill it and the next.
    let mut refused = None;
    for _ in 0..6 {
        let answer = bench.send("GET", "/api/v2/users/me", &[], "").await;
        assert_eq!(answer.header("x-rate-limit"), "2");
        assert!(!answer.header("ratelimit-reset").is_empty());
        if answer.status == 429 {
            refused = Some(answer);
        }
    }
    let refused = refused.unwrap();
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(refused.header("x-rate-limit-remaining"), "0");
}

#[tokio::test]
async fn confirmed_state_survives_a_restart() {
    let bench = bench();
    let secret = bench.desk.credentials().client_secret.clone();
    let bearer = format!("Bearer {}", token(&bench, &secret).await.json()["access_token"].as_str().unwrap());
    let used = bench.upload("used.txt", "used").await;
    let unused = bench.upload("unused.txt", "unused").await;
    bench
        .update(1001, json!({"comment": {"body": "kept", "public": false, "uploads": [used["token"]]}}), 200)
        .await;
    bench.update(1002, json!({"status": "closed"}), 200).await;
    // A killed process leaves these behind.
    std::fs::write(bench.dir.path().join(".unfinished-snapshot"), "{").unwrap();
    std::fs::write(bench.dir.path().join("files/orphan"), "x").unwrap();

    let TestDesk { dir, .. } = bench;
    let bench = TestDesk::reopen(dir, DeskOptions::default());
    assert_eq!(bench.send("GET", "/api/v2/users/me", &[("authorization", &bearer)], "").await.status, 200);
    let comments = bench.get("/api/v2/tickets/1001/comments").await["comments"].clone();
    assert_eq!(comments[1]["body"], "kept");
    let url = comments[1]["attachments"][0]["content_url"].as_str().unwrap().to_owned();
    assert_eq!(bench.send("GET", &url, &[], "").await.bytes, "used");
    assert_eq!(
        bench.get("/api/v2/tickets/1002").await["ticket"]["status"],
        "closed",
        "the seed changes nothing"
    );
    bench.update(1001, json!({"comment": {"body": "later", "uploads": [unused["token"]]}}), 200).await;
    assert!(!bench.dir.path().join("files/orphan").exists());
    assert!(!bench.dir.path().join(".unfinished-snapshot").exists());
}

#[test]
fn secrets_are_private_and_never_shown() {
    let bench = bench();
    let shown = format!("{:?}", bench.desk.credentials());
    assert!(!shown.contains(&bench.desk.credentials().api_token));
    assert!(!shown.contains(&bench.desk.credentials().client_secret));
    #[cfg(unix)]
    for name in ["credentials.json", "desk.json"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(bench.dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn seed_with_an_unknown_requester_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tickets = vec![SeedTicket { id: 1, requester_id: 5, ..SeedTicket::default() }];
    assert!(Desk::open(dir.path(), &Seed { tickets, ..Seed::default() }).is_err());
}
