//! The client of the desk (crate `desk`) against the embedded desk, over real sockets, with faults at the wire.

#![expect(clippy::unwrap_used, reason = "in a test's helpers, too, a failure is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use desk::{
    BoxError, ChangesFrom, Config, Credentials, Desk, Error, NewComment, NewTicket, Requester, Status, escape,
};
use futures_util::{StreamExt, future, stream};
use sandbox::desk::{DeskOptions, Seed, SeedOrganization, SeedTicket, SeedUser};
use sandbox::{Listen, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct DeskClient {
    sandbox: Sandbox,
    desk: Desk,
    dir: TempDir,
}

fn seed(options: DeskOptions) -> Seed {
    let ticket = |id, subject: &str, status| SeedTicket {
        id,
        subject: subject.to_owned(),
        status,
        requester_id: 71,
        organization_id: Some(7),
        ticket_form_id: Some(360_001_172_559),
        ..SeedTicket::default()
    };
    Seed {
        organizations: vec![SeedOrganization {
            id: 7,
            name: "Acme".to_owned(),
            notes: "handle with care".to_owned(),
            organization_fields: [("account_type".to_owned(), json!("alliance_partner"))].into(),
            ..SeedOrganization::default()
        }],
        users: vec![
            SeedUser {
                id: 71,
                email: "Ann@acme.example".to_owned(),
                organization_ids: vec![7],
                ..SeedUser::default()
            },
            SeedUser { id: 72, email: "joann@acme.example".to_owned(), ..SeedUser::default() },
        ],
        tickets: vec![
            ticket(1001, "[Initech] - T123456789 - disk full", sandbox::desk::Status::Open),
            ticket(1002, "closed", sandbox::desk::Status::Closed),
        ],
        options,
    }
}

impl DeskClient {
    async fn new(options: DeskOptions) -> Self {
        Self::seeded(seed(options)).await
    }

    async fn seeded(seed: Seed) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let seed = sandbox::Seed { buckets: Vec::new(), desk: seed };
        let sandbox = Sandbox::start(dir.path(), Listen::any_port(), &seed).await.unwrap();
        let access = sandbox.desk.clone();
        let credentials =
            Credentials::Oauth { client_id: access.client_id, client_secret: access.client_secret };
        let desk = Desk::new(Config::new(access.url, credentials)).unwrap();
        Self { sandbox, desk, dir }
    }

    fn fault(&self, rule: Value) {
        self.sandbox.faults().add(serde_json::from_value(rule).unwrap()).unwrap();
    }

    /// How often the desk was asked for this.
    async fn calls(&self, operation: &str) -> u64 {
        let report: Value = reqwest::get(&self.sandbox.faults_url).await.unwrap().json().await.unwrap();
        report["calls"]["desk"][operation].as_u64().unwrap_or(0)
    }

    async fn note(&self, body: &str, uploads: Vec<String>) -> Result<(), Error> {
        let stamp = self.desk.ticket("1001").await?.updated_stamp;
        let note = NewComment { body: body.to_owned(), public: false, uploads, stamp: &stamp };
        self.desk.comment("1001", note).await
    }

    /// Uploads eight bytes in two frames.
    async fn upload(&self, name: &str) -> Result<desk::UploadToken, Error> {
        let frames = [Ok::<_, BoxError>(Bytes::from_static(b"1234")), Ok(Bytes::from_static(b"5678"))];
        self.desk.upload(name, "text/plain", 8, stream::iter(frames)).await
    }

    async fn get(&self, url: &str) -> Bytes {
        let request =
            reqwest::Client::new().get(url).header("authorization", &self.sandbox.desk.authorization);
        request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap()
    }
}

async fn bench() -> DeskClient {
    DeskClient::new(DeskOptions::default()).await
}

fn name(result: &Result<(), Error>) -> String {
    let Err(error) = result else { return "Ok".to_owned() };
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[tokio::test]
async fn reads_tickets() {
    let bench = bench().await;
    let ticket = bench.desk.ticket("1001").await.unwrap();
    assert_eq!((ticket.id, ticket.status), (1001, Status::Open));
    assert_eq!((ticket.organization_id, ticket.requester_id), (Some(7), 71));
    assert_eq!(ticket.ticket_form_id, Some(360_001_172_559));
    assert_eq!(bench.desk.ticket("1002").await.unwrap().status, Status::Closed);
    assert!(matches!(bench.desk.ticket("999").await, Err(Error::NotFound)));
    let calls = bench.calls("ShowTicket").await;
    for id in ["", "x", "1001/../1002", "1001?x", "123456789012345678901"] {
        assert!(matches!(bench.desk.ticket(id).await, Err(Error::NotFound)), "{id}");
    }
    assert_eq!(bench.calls("ShowTicket").await, calls, "without a call");
}

#[tokio::test]
async fn attaches_an_upload_to_a_private_comment() {
    let bench = bench().await;
    let me = bench.desk.me().await.unwrap();
    let uploaded = bench.upload("über & \"x\"?.log").await.unwrap();
    let life_ms = uploaded.expires_at_ms - jiff::Timestamp::now().as_millisecond();
    assert!((58 * 60_000..=60 * 60_000).contains(&life_ms), "{life_ms}");
    let before_ms = jiff::Timestamp::now().as_millisecond();
    let body = format!("{} arrived", escape("<b>`x`</b>"));
    bench.note(&body, vec![uploaded.token.clone()]).await.unwrap();

    let comments = bench.desk.comments_since("1001", before_ms).await.unwrap();
    assert_eq!((&comments[0].body, comments[0].author_id, comments[0].public), (&body, me, false));
    let attachment = &comments[0].attachments[0];
    assert_eq!((attachment.file_name.as_str(), attachment.size), ("über & \"x\"?.log", 8));
    assert_eq!(bench.get(&attachment.content_url).await, "12345678");
    assert_eq!(name(&bench.note("again", vec![uploaded.token]).await), "Refused", "a token is good once");
    bench.desk.me().await.unwrap();
    assert_eq!(bench.calls("Me").await, 1, "asked for once");
}

#[tokio::test]
async fn stale_stamp_is_a_conflict_and_closed_is_final() {
    let bench = bench().await;
    let stamp = bench.desk.ticket("1001").await.unwrap().updated_stamp;
    let note = || NewComment { body: "x".to_owned(), public: false, uploads: vec![], stamp: &stamp };
    bench.desk.comment("1001", note()).await.unwrap();
    assert_eq!(name(&bench.desk.comment("1001", note()).await), "Conflict");
    assert_eq!(name(&bench.desk.comment("1002", note()).await), "Closed");
    assert_eq!(name(&bench.desk.comment("999", note()).await), "NotFound");
    assert_eq!(name(&bench.desk.comment("../1001", note()).await), "NotFound");
}

#[tokio::test]
async fn comments_are_paged_until_old_enough() {
    let bench = DeskClient::new(DeskOptions { updates_per_ticket: 1000, ..DeskOptions::default() }).await;
    for n in 0..65 {
        bench.note(&n.to_string(), vec![]).await.unwrap();
    }
    let comments = bench.desk.comments_since("1001", 0).await.unwrap();
    assert_eq!((comments.len(), comments[0].body.as_str()), (66, "64"), "newest first");
    assert!(comments.is_sorted_by(|a, b| a.id > b.id));
    assert_eq!(bench.calls("ListComments").await, 3);

    bench.sandbox.desk_state().advance(Duration::from_secs(3600));
    bench.note("late", vec![]).await.unwrap();
    let since = jiff::Timestamp::now().as_millisecond() + 1_800_000;
    let comments = bench.desk.comments_since("1001", since).await.unwrap();
    assert_eq!((comments.len(), comments[0].body.as_str()), (1, "late"));
    assert_eq!(bench.calls("ListComments").await, 4, "one page was enough");
    let own_second = comments[0].created_at_ms + 999;
    assert_eq!(bench.desk.comments_since("1001", own_second).await.unwrap().len(), 1, "whole seconds only");
}

#[tokio::test]
async fn refused_uploads() {
    let options = DeskOptions {
        max_attachment_bytes: 7,
        refused_extensions: vec!["exe".to_owned()],
        ..DeskOptions::default()
    };
    let bench = DeskClient::new(options).await;
    assert_eq!(name(&bench.upload("a.log").await.map(drop)), "TooLarge");
    assert_eq!(name(&bench.upload("a.exe").await.map(drop)), "Refused");
    let body = "[\"AttachmentTooBig\"]";
    bench.fault(json!({"service": "desk", "operation": "CreateUpload", "fault": "status", "status": 422, "body": body}));
    assert_eq!(name(&bench.upload("a.log").await.map(drop)), "TooLarge", "the other way to say it");
}

#[tokio::test]
async fn large_refused_upload_gets_its_answer() {
    let bench = DeskClient::new(DeskOptions { max_attachment_bytes: 1000, ..DeskOptions::default() }).await;
    let frame = Bytes::from(vec![7u8; 1 << 20]);
    let body = stream::repeat(frame).take(20).map(Ok::<_, BoxError>);
    let refused = bench.desk.upload("a", "application/octet-stream", 20 << 20, body).await;
    assert_eq!(name(&refused.map(drop)), "TooLarge");
}

#[tokio::test]
async fn body_of_the_wrong_length_is_refused() {
    let bench = bench().await;
    let frame = || Ok::<_, BoxError>(Bytes::from_static(b"1234"));
    for frames in [vec![frame()], vec![frame(), Err("gone".into())], vec![frame(), frame(), frame()]] {
        let result = bench.desk.upload("a", "text/plain", 8, stream::iter(frames)).await;
        assert_eq!(name(&result.map(drop)), "Unavailable");
    }
    let kept = std::fs::read_dir(bench.dir.path().join("desk/files")).unwrap().count();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn access_token_is_shared_and_renewed_once() {
    let bench = bench().await;
    let ask = || future::join_all((0..10).map(|_| bench.desk.ticket("1001")));
    assert!(ask().await.iter().all(Result::is_ok));
    assert_eq!(bench.calls("Token").await, 1);
    bench.sandbox.desk_state().advance(Duration::from_secs(1801));
    assert!(ask().await.iter().all(Result::is_ok));
    assert_eq!(bench.calls("Token").await, 2, "ten refusals, one renewal");
}

#[tokio::test]
async fn upload_with_an_expired_token_can_be_retried() {
    let bench = bench().await;
    bench.desk.ticket("1001").await.unwrap();
    bench.sandbox.desk_state().advance(Duration::from_secs(1801));
    let first = bench.upload("a").await.map(drop);
    assert_eq!(name(&first), "Unavailable");
    assert!(first.unwrap_err().is_transient());
    bench.upload("a").await.unwrap();
}

#[tokio::test]
async fn wrong_credentials_need_an_operator() {
    let bench = bench().await;
    let access = &bench.sandbox.desk;
    let wrong = || "wrong-secret".to_owned();
    let oauth = Credentials::Oauth { client_id: access.client_id.clone(), client_secret: wrong() };
    let token = Credentials::ApiToken { email: access.email.clone(), api_token: wrong() };
    for credentials in [oauth, token] {
        let desk = Desk::new(Config::new(&access.url, credentials.clone())).unwrap();
        assert_eq!(name(&desk.ticket("1001").await.map(drop)), "Unauthorized");
        assert_eq!(name(&desk.upload("a", "a/b", 0, stream::empty()).await.map(drop)), "Unauthorized");
        assert!(!format!("{credentials:?} {desk:?}").contains("wrong-secret"));
    }
    let right = Credentials::ApiToken { email: access.email.clone(), api_token: access.api_token.clone() };
    Desk::new(Config::new(&access.url, right)).unwrap().ticket("1001").await.unwrap();
    // A right that is taken away for one call: renewed once, asked once more, and that is all.
    bench.fault(
        json!({"service": "desk", "operation": "ShowTicket", "times": 0, "fault": "status", "status": 401}),
    );
    let before = bench.calls("ShowTicket").await;
    assert_eq!(name(&bench.desk.ticket("1001").await.map(drop)), "Unauthorized");
    assert_eq!(bench.calls("ShowTicket").await, before + 2);
}

#[tokio::test]
async fn faults_are_transient_or_not() {
    let bench = bench().await;
    let cases = [
        (json!({"fault": "status", "status": 503, "retry_after": 7}), "Unavailable", Some(7)),
        (json!({"fault": "status", "status": 502}), "Unavailable", None),
        (json!({"fault": "status", "status": 429, "retry_after": 9}), "RateLimited", Some(9)),
        (json!({"fault": "status", "status": 429}), "RateLimited", Some(60)),
        (json!({"fault": "reset"}), "Unavailable", None),
        (json!({"fault": "corrupt"}), "Unavailable", None),
        (json!({"fault": "lost-answer"}), "Unavailable", None),
        (json!({"fault": "status", "status": 404}), "NotFound", None),
        (json!({"fault": "status", "status": 400}), "Refused", None),
    ];
    for (mut rule, wanted, wait_s) in cases {
        rule["service"] = json!("desk");
        rule["operation"] = json!("ShowTicket");
        bench.fault(rule.clone());
        let result = bench.desk.ticket("1001").await.map(drop);
        assert_eq!(name(&result), wanted, "{rule}");
        let error = result.unwrap_err();
        assert_eq!(error.retry_after(), wait_s.map(Duration::from_secs), "{rule}");
        assert_eq!(error.is_transient(), matches!(wanted, "Unavailable" | "RateLimited"), "{rule}");
    }
    bench.desk.ticket("1001").await.unwrap();
}

#[tokio::test]
async fn comment_with_a_lost_answer_is_found() {
    let bench = bench().await;
    for fault in ["lost-answer", "corrupt"] {
        bench.fault(json!({"service": "desk", "operation": "UpdateTicket", "fault": fault}));
        assert_eq!(name(&bench.note(&format!("ref:{fault}"), vec![]).await), "Unavailable");
        let comments = bench.desk.comments_since("1001", 0).await.unwrap();
        assert_eq!(comments.iter().filter(|comment| comment.body == format!("ref:{fault}")).count(), 1);
    }
}

#[tokio::test]
async fn token_endpoint_outage_is_transient() {
    let bench = bench().await;
    bench.fault(json!({"service": "desk", "operation": "Token", "fault": "status", "status": 503}));
    let results = future::join_all((0..10).map(|_| bench.desk.ticket("1001"))).await;
    assert!(results.into_iter().all(|result| name(&result.map(drop)) == "Unavailable"));
    assert_eq!(bench.calls("Token").await, 1, "ten callers, one attempt");
    bench.desk.ticket("1001").await.unwrap();
}

#[tokio::test]
async fn silent_or_endless_desk_is_unavailable() {
    let bench = bench().await;
    let access = bench.sandbox.desk.clone();
    let credentials = Credentials::ApiToken { email: access.email, api_token: access.api_token };
    let mut config = Config::new(access.url, credentials.clone());
    config.request_timeout = Duration::from_millis(200);
    bench.fault(json!({"service": "desk", "operation": "ShowTicket", "fault": "delay", "delay_ms": 600_000}));
    let slow = Desk::new(config).unwrap().ticket("1001").await.map(drop);
    assert_eq!(name(&slow), "Unavailable");
    bench.sandbox.faults().clear();
    let body = "x".repeat(11 * 1024 * 1024);
    bench.fault(
        json!({"service": "desk", "operation": "ShowTicket", "fault": "status", "status": 200, "body": body}),
    );
    assert_eq!(name(&bench.desk.ticket("1001").await.map(drop)), "Unavailable");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Desk::new(Config::new(format!("http://{closed}"), credentials)).unwrap();
    assert_eq!(name(&nobody.ticket("1001").await.map(drop)), "Unavailable");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let bench = bench().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = bench.sandbox.desk.url.clone();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = socket.read(&mut request).await.unwrap();
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: {target}/api/v2/tickets/1001\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let access = bench.sandbox.desk.clone();
    let credentials = Credentials::ApiToken { email: access.email, api_token: access.api_token };
    let desk = Desk::new(Config::new(format!("http://{address}"), credentials)).unwrap();
    assert_eq!(name(&desk.ticket("1001").await.map(drop)), "Unavailable");
    assert!(server.await.unwrap().starts_with("GET /api/v2/tickets/1001 HTTP/1.1"));
    assert_eq!(bench.calls("ShowTicket").await, 0);
}

#[tokio::test]
async fn people_and_organizations() {
    let bench = bench().await;
    let organization = bench.desk.organization(7).await.unwrap();
    assert_eq!((organization.name.as_str(), organization.notes.as_str()), ("Acme", "handle with care"));
    assert_eq!(organization.fields["account_type"], "alliance_partner");
    assert!(matches!(bench.desk.organization(99).await, Err(Error::NotFound)));
    let found = bench.desk.users_by_email("ann@ACME.example").await.unwrap();
    assert_eq!(found.iter().map(|user| user.id).collect::<Vec<_>>(), [71], "and not joann");
    assert_eq!(found[0].organization_id, Some(7));
    for email in ["nobody@acme.example", "", "a\" role:admin @x", "no address"] {
        assert!(bench.desk.users_by_email(email).await.unwrap().is_empty(), "{email}");
    }
    assert_eq!(bench.calls("SearchUsers").await, 2);
    assert_eq!(bench.desk.user_organizations(71).await.unwrap(), [7]);
    assert_eq!(bench.desk.user_organizations(72).await.unwrap(), [0_u64; 0]);
    assert!(matches!(bench.desk.user_organizations(99).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn tags_are_added_against_a_stamp() {
    let bench = bench().await;
    let stamp = bench.desk.ticket("1001").await.unwrap().updated_stamp;
    bench.desk.add_tag("1001", "star_submitted", &stamp).await.unwrap();
    assert_eq!(name(&bench.desk.add_tag("1001", "other", &stamp).await), "Conflict");
    let ticket = bench.desk.ticket("1001").await.unwrap();
    assert_eq!(ticket.tags, ["star_submitted"]);
    bench.desk.add_tag("1001", "Second", &ticket.updated_stamp).await.unwrap();
    assert_eq!(bench.desk.ticket("1001").await.unwrap().tags, ["second", "star_submitted"]);
    assert_eq!(name(&bench.desk.add_tag("1002", "x", &stamp).await), "Closed");
    assert_eq!(name(&bench.desk.add_tag("999", "x", &stamp).await), "NotFound");
    assert_eq!(name(&bench.desk.add_tag("1001/../1002", "x", &stamp).await), "NotFound");
}

#[tokio::test]
async fn changes_are_followed_from_a_second_and_then_by_cursor() {
    let bench = bench().await;
    let recent = ChangesFrom::Second(jiff::Timestamp::now().as_second() + 3600);
    let page = bench.desk.changed_tickets(&recent).await.unwrap();
    let seen: Vec<_> = page.tickets.iter().map(|ticket| (ticket.id, ticket.status)).collect();
    assert_eq!(
        (seen, page.is_end),
        (vec![(1001, Status::Open), (1002, Status::Closed)], true),
        "cut to the past"
    );
    bench.note("x", vec![]).await.unwrap();
    let delete = reqwest::Client::new()
        .delete(format!("{}/api/v2/tickets/1002", bench.sandbox.desk.url))
        .header("authorization", &bench.sandbox.desk.authorization);
    assert_eq!(delete.send().await.unwrap().status().as_u16(), 204);
    let page = bench.desk.changed_tickets(&ChangesFrom::Cursor(page.next)).await.unwrap();
    let seen: Vec<_> = page.tickets.iter().map(|ticket| (ticket.id, ticket.status)).collect();
    assert_eq!(seen, [(1001, Status::Open), (1002, Status::Deleted)]);
    let end = bench.desk.changed_tickets(&ChangesFrom::Cursor(page.next.clone())).await.unwrap();
    assert_eq!((end.tickets.len(), end.next, end.is_end), (0, page.next, true));
}

#[tokio::test]
async fn a_stream_without_changes_can_be_asked_again() {
    let bench = DeskClient::seeded(Seed::default()).await;
    let mut from = ChangesFrom::Second(1_767_225_600);
    for _ in 0..2 {
        let page = bench.desk.changed_tickets(&from).await.unwrap();
        assert_eq!((page.tickets.len(), page.next.as_str(), page.is_end), (0, "second:1767225600", true));
        from = ChangesFrom::Cursor(page.next);
    }
}

#[tokio::test]
async fn opens_a_ticket_once_and_finds_it() {
    let bench = bench().await;
    let token = bench.upload("a.log").await.unwrap().token;
    let ticket = NewTicket {
        subject: "[Initech] - T42 - broken".to_owned(),
        body: "please look".to_owned(),
        uploads: vec![token],
        requester: Requester::Id(71),
        organization_id: Some(7),
        ticket_form_id: Some(360_001_172_559),
        tags: vec!["weighbridge".to_owned()],
        external_id: Some("lnk_1".to_owned()),
    };
    bench.fault(json!({"service": "desk", "operation": "CreateTicket", "fault": "lost-answer"}));
    assert!(bench.desk.create_ticket(&ticket, "key-1").await.unwrap_err().is_transient());
    let opened = bench.desk.create_ticket(&ticket, "key-1").await.unwrap();
    assert_eq!((opened.id, opened.status, opened.organization_id), (1003, Status::New, Some(7)));
    let comments = bench.desk.comments_since("1003", 0).await.unwrap();
    assert_eq!((comments.len(), comments[0].author_id, comments[0].attachments.len()), (1, 71, 1));
    assert_eq!(opened.tags, ["weighbridge"]);
    let age_ms = jiff::Timestamp::now().as_millisecond() - opened.created_at_ms;
    assert!((0..60_000).contains(&age_ms), "{age_ms}");
    let found = bench.desk.search_tickets(7, "T42").await.unwrap();
    assert_eq!(found, std::slice::from_ref(&opened));
    assert_eq!(bench.desk.tickets_by_external_id("lnk_1").await.unwrap(), [opened]);
    for unknown in ["lnk_2", ""] {
        assert_eq!(bench.desk.tickets_by_external_id(unknown).await.unwrap(), []);
    }
    assert_eq!(bench.calls("ListTickets").await, 2, "an empty ID would list every ticket");
    assert_eq!(bench.desk.search_tickets(7, "T4\" status:open \"").await.unwrap(), []);
    assert_eq!(bench.desk.search_tickets(8, "T42").await.unwrap(), []);
    let other = NewTicket { subject: "other".to_owned(), ..ticket };
    assert_eq!(name(&bench.desk.create_ticket(&other, "key-1").await.map(drop)), "Refused");
}
