//! Links without staff: posted on a new ticket, renewed on request, dead with the ticket.

use serde_json::{Value, json};
use tests::{Answer, Sandbox, World, curl, eventually, eventually_async};

use super::hooks::{event, zendesk};
use super::{opened, partner_link};

const BROWSER: [&str; 2] = ["-H", "Accept: text/html"];

/// Opens a ticket of acme in the desk, with the form for partners.
pub(super) async fn opened_in_desk(sandbox: &Sandbox) -> String {
    let new = json!({"ticket": {"subject": "[Initech] - [T77] - [Slow]", "requester_id": 1010, "organization_id": 101,
        "ticket_form_id": 360_001_172_559_u64, "comment": {"body": "b"}}});
    sandbox.desk("POST", "/tickets", Some(new)).await["ticket"]["id"].to_string()
}

pub(super) fn told(sandbox: &Sandbox, ticket: &str, id: &str) {
    let answer = zendesk(sandbox, &sandbox.text("/hooks/zendesk_secret"), &event(ticket, id), 0);
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The links in our comments on a ticket, oldest first.
async fn posted(sandbox: &Sandbox, ticket: &str) -> Vec<String> {
    let mut found = Vec::new();
    for comment in sandbox.comments(ticket).await {
        let body = comment["body"].as_str().unwrap();
        if body.contains("upload-link: ") {
            assert_eq!(comment["public"], true);
            let address = body.split_whitespace().find(|word| word.contains("/u/")).unwrap();
            assert!(body.contains(&format!("-o receipt.txt {address}")), "the command is for it: {body}");
            found.push(address.trim_end_matches('/').to_owned());
        }
    }
    found
}

pub(super) async fn after(sandbox: &Sandbox, ticket: &str, count: usize) -> Vec<String> {
    eventually_async(&format!("{count} links on {ticket}"), async || {
        Some(posted(sandbox, ticket).await).filter(|links| links.len() >= count)
    })
    .await
}

/// A link that has just expired, and its ID.
fn expired(sandbox: &Sandbox, ticket: &str) -> (String, String) {
    let body =
        json!({"partner": "acme", "ticket": ticket, "rights": ["list", "escalate"], "expires_in_s": 1})
            .to_string();
    let made = sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &body]);
    let (link, id) =
        (made.json()["url"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    eventually("the link expires", || (curl(&[&link]).status == 410).then_some(()));
    (link, id)
}

fn renew(link: &str, more: &[&str]) -> Answer {
    curl(&[&["-X", "POST", &format!("{link}/renew")], more].concat())
}

#[tokio::test]
async fn a_new_ticket_gets_a_link_that_works_until_it_is_closed() {
    let World { mut gateway, sandbox } = World::start();
    let ticket = opened_in_desk(&sandbox).await;
    for id in ["e1", "e2", "e1"] {
        told(&sandbox, &ticket, id);
    }
    let links = after(&sandbox, &ticket, 1).await;
    gateway.kill();
    gateway.restart();
    told(&sandbox, &ticket, "e3");
    // The command in the comment, as a person pastes it.
    let comments = sandbox.comments(&ticket).await;
    let text =
        comments.iter().find_map(|c| c["body"].as_str().filter(|b| b.contains("upload-link: "))).unwrap();
    let command =
        text.lines().find(|line| line.starts_with("    curl ")).unwrap().trim().replace("FILE", "core.log");
    let file = sandbox.file("pasted", "core.log", b"core");
    let status =
        std::process::Command::new("sh").args(["-c", &command]).current_dir(file.parent().unwrap()).status();
    assert!(status.unwrap().success(), "{command}");
    let uploads = sandbox.listed(&ticket);
    assert_eq!(
        (uploads.len(), &uploads[0]["name"], &uploads[0]["partner"]),
        (1, &json!("core.log"), &json!("acme"))
    );
    assert_eq!(posted(&sandbox, &ticket).await, links, "one link, whatever was repeated");

    sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(json!({"ticket": {"status": "closed"}}))).await;
    told(&sandbox, &ticket, "e4");
    eventually("the link ends with the ticket", || {
        (sandbox.send(&links[0], "late.log", b"late").problem() == "/problems/ticket-closed").then_some(())
    });
    let answer = renew(&links[0], &[]);
    assert_eq!((answer.status, answer.problem().as_str()), (409, "/problems/ticket-closed"), "{answer:?}");
}

/// Who may read the ticket changes with its organisation: a link in its comments must not bring their files to the old partner.
#[tokio::test]
async fn a_ticket_that_moves_gets_a_link_of_its_new_partner() {
    let World { gateway: _gateway, sandbox } = World::start();
    let ticket = opened_in_desk(&sandbox).await;
    told(&sandbox, &ticket, "e1");
    let old = after(&sandbox, &ticket, 1).await.remove(0);
    assert_eq!(sandbox.sent(&old, "a.log", b"a")["partner"], "acme");
    let moved = json!({"ticket": {"organization_id": 102, "requester_id": 1020}});
    sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(moved)).await;
    told(&sandbox, &ticket, "e2");
    let links = after(&sandbox, &ticket, 2).await;
    let new = links.iter().find(|link| **link != old).unwrap();
    assert_eq!(sandbox.sent(new, "b.log", b"b")["partner"], "globex");
    let refused = sandbox.send(&old, "c.log", b"c");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (404, "/problems/unknown-ticket"),
        "{refused:?}"
    );
}

/// One that was opened through a partner link has a link already, which only its sender knows.
#[tokio::test]
async fn a_ticket_that_was_opened_here_gets_a_link_too() {
    let World { gateway: _gateway, sandbox } = World::start();
    let answer = opened(&sandbox, &json!({}));
    let ticket = answer["ticket"].as_str().unwrap();
    told(&sandbox, ticket, "e1");
    let link = after(&sandbox, ticket, 1).await.remove(0);
    assert_ne!(Value::from(link.as_str()), answer["link"]["url"]);
    assert_eq!(sandbox.sent(&link, "a.log", b"a")["ticket"], ticket);
}

#[tokio::test]
async fn an_expired_link_says_how_to_renew_it() {
    let World { gateway: _gateway, sandbox } = World::start();
    let (link, id) = expired(&sandbox, "1002");
    let refused = sandbox.send(&link, "a.log", b"a");
    assert_eq!((refused.status, refused.problem().as_str()), (410, "/problems/link-expired"), "{refused:?}");
    assert_eq!(refused.json()["renew"], format!("{link}/renew"));
    assert!(refused.json()["detail"].as_str().unwrap().contains(&format!("{link}/renew")), "{refused:?}");
    let page = curl(&[&BROWSER[..], &[&format!("{link}/")]].concat());
    assert!(page.body.contains("<form method=\"post\" action=\"./renew\">"), "{}", page.body);

    let first = renew(&link, &[]);
    assert_eq!(
        (first.status, first.json()),
        (202, json!({"ticket": "1002", "repeated": false})),
        "{first:?}"
    );
    assert!(!first.body.contains("/u/"), "the answer has no link: {first:?}");
    let again = renew(&link, &BROWSER);
    assert_eq!(again.status, 200);
    assert!(again.body.contains("id=\"renewed\"") && again.body.contains("before"), "{}", again.body);
    let renewed = after(&sandbox, "1002", 1).await;
    assert_eq!(sandbox.sent(&renewed[0], "a.log", b"a")["ticket"], "1002");
    // More people read the ticket than had the old link.
    assert_eq!(curl(&[&format!("{}/uploads", renewed[0])]).status, 403);
    let audit = sandbox.staff("/audit?ticket=1002", &[]).json();
    let asked =
        audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "link.renew").count();
    assert_eq!(asked, 1, "{audit}");

    // Revoked is revoked, and a partner link has no ticket to post on.
    assert_eq!(sandbox.staff(&format!("/links/{id}"), &["-X", "DELETE"]).status, 204);
    let revoked = renew(&link, &[]);
    assert_eq!((revoked.status, revoked.json()["renew"].is_null()), (410, true), "{revoked:?}");
    let standing = renew(&partner_link(&sandbox, "acme"), &[]);
    assert_eq!(
        (standing.status, standing.problem().as_str()),
        (403, "/problems/not-allowed"),
        "{standing:?}"
    );
    assert_eq!(renew(&format!("{}/u/unknown", sandbox.text("/url")), &[]).status, 404);
    // A file may have that name.
    assert_eq!(sandbox.sent(&renewed[0], "renew", b"a file")["name"], "renew");
}

#[tokio::test]
async fn support_renews_a_link_at_its_address() {
    let World { gateway, sandbox } = World::start();
    let (link, id) = expired(&sandbox, "1002");
    let path = format!("/links/{id}/renew");
    let staff = |body: &str| sandbox.staff(&path, &["-H", "Content-Type: application/json", "-d", body]);
    for (body, status) in [(r#"{"expires_in_s":0}"#, 422), (r#"{"life":1}"#, 422), ("", 400)] {
        let answer = staff(body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    assert_eq!(curl(&[&link]).status, 410);
    let answer = staff(r#"{"expires_in_s":3600}"#);
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)), "{answer:?}");
    assert_eq!(sandbox.sent(&link, "a.log", b"a")["ticket"], "1002");
    let listed = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();
    let shown = listed(sandbox.wb(&["link", "list", "--ticket", "#1002"]));
    assert!(shown.lines().count() == 2 && shown.contains(&id), "{shown}");
    let until =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["expires_at"].as_str().unwrap().to_owned();
    let by_wb = until(&listed(sandbox.wb(&["link", "renew", &id, "--expires", "7d", "--json"])));
    let by_operator = until(&gateway.admin_ok(&["link", "renew", &id, "--expires", "9d"]));
    assert!(answer.json()["expires_at"].as_str().unwrap() < by_wb.as_str() && by_wb < by_operator);
    assert_eq!(sandbox.staff(&format!("/links/{id}"), &["-X", "DELETE"]).status, 204);
    assert_eq!(staff("{}").status, 409);
    assert_eq!(sandbox.wb(&["link", "renew", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).status.code(), Some(3));
    assert_eq!(sandbox.wb(&["link", "renew", &id]).status.code(), Some(1));
}
