//! Escalations through a link and by support: what they find, how they join, what delays them, and their states.

use serde_json::json;
use tests::{Sandbox, World, curl};

use super::{escalation, opened, partner_link, post, slack_said, wrong_fields};

#[tokio::test]
async fn a_second_escalation_joins_and_the_sender_sees_the_state() {
    let World { gateway: _gateway, sandbox } = World::start();
    let link = sandbox.link("acme");
    let url = format!("{link}/escalate");
    // The link's own ticket need not be named.
    let first = post(&url, &json!({"reason": "down", "actions": "call"}));
    assert_eq!((first.status, &first.json()["ticket"]), (202, &json!("1001")), "{first:?}");
    let location = first.headers["location"].clone();
    let second = post(&url, &escalation("1001"));
    assert_eq!((second.status, &second.json()["joined"]), (200, &json!(true)), "{second:?}");
    assert_eq!(second.json()["id"], first.json()["id"]);
    assert_eq!(curl(&[&location]).json()["state"], "submitted");

    let id = first.json()["id"].as_str().unwrap().to_owned();
    let change = |body: &serde_json::Value| {
        let body = body.to_string();
        sandbox.staff(
            &format!("/escalations/{id}"),
            &["-X", "PATCH", "-H", "Content-Type: application/json", "-d", &body],
        )
    };
    assert_eq!(change(&json!({"state": "acknowledged"})).status, 200);
    assert_eq!(wrong_fields(&change(&json!({"state": "declined"}))), ["reason"]);
    assert_eq!(wrong_fields(&change(&json!({"state": "lost"}))), ["state"]);
    assert_eq!(change(&json!({"state": "declined", "reason": "It waits for your logs."})).status, 200);
    assert_eq!(change(&json!({"state": "resolved"})).status, 409);
    let seen = curl(&[&location]).json();
    assert_eq!((&seen["state"], &seen["reason"]), (&json!("declined"), &json!("It waits for your logs.")));
    slack_said(&sandbox, "C0ACME", "declined").await;
    let listed = sandbox.staff("/escalations?ticket=%231001&state=declined&partner=acme", &[]).json();
    assert_eq!(listed["escalations"][0]["id"], id);
    assert_eq!(listed["escalations"][0]["joined_requests"], 1);
    assert_eq!(post(&url, &escalation("1001")).status, 202, "the next one is new");
    let page = curl(&["-H", "Accept: text/html", &location]);
    assert!(page.body.contains("declined") && page.body.contains("waits for your logs"), "{page:?}");
}

#[tokio::test]
async fn numbers_find_tickets_of_the_partner_alone() {
    let World { gateway: _gateway, sandbox } = World::start();
    let url = format!("{}/escalate", partner_link(&sandbox, "acme"));
    let ticket = opened(&sandbox, &json!({"case_number": "CASE-42"}))["ticket"].clone();
    let new = json!({"ticket": {"subject": "Initech - 815 - Error 4711", "requester_id": 1010, "organization_id": 101,
        "comment": {"body": "b"}}});
    let digits = sandbox.desk("POST", "/tickets", Some(new)).await["ticket"]["id"].to_string();
    for (request, status, found) in [
        ("1002", 202, json!("1002")),
        // In the subject of a ticket that was opened elsewhere.
        ("T1001", 202, json!("1001")),
        ("case-42", 202, ticket.clone()),
        ("2001", 404, json!(null)),
        ("T2001", 404, json!(null)),
        ("T100", 404, json!(null)),
        // Digits stand in many subjects: only in the place of a case number are they one.
        ("4711", 404, json!(null)),
        ("815", 202, json!(digits)),
        ("987654", 404, json!(null)),
    ] {
        let answer = post(&url, &escalation(request));
        assert_eq!((answer.status, &answer.json()["ticket"]), (status, &found), "{request}: {answer:?}");
    }
    // A link with a ticket escalates that alone, also by its case number.
    let bound = format!("{}/escalate", sandbox.link("acme"));
    for (request, status) in [("1001", 200), ("T1001", 200), ("1002", 404), ("CASE-42", 404)] {
        let answer = post(&bound, &escalation(request));
        assert_eq!(answer.status, status, "{request}: {answer:?}");
    }
}

#[tokio::test]
async fn hints_are_shown_and_block_nothing() {
    let sandbox = Sandbox::start();
    let closed_hours = {
        // A day that is not today, whatever the clock says.
        let today = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let days =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
        format!("{} 08:00-09:00 UTC", today[usize::try_from((days + 4 + 3) % 7).unwrap()])
    };
    let _gateway = sandbox.gateway_with(|config| {
        config["support"].as_table_mut().unwrap().insert("hours".into(), closed_hours.clone().into());
    });
    let url = format!("{}/escalate", partner_link(&sandbox, "acme"));
    let ticket = opened(&sandbox, &json!({}))["ticket"].as_str().unwrap().to_owned();
    sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(json!({"ticket": {"status": "pending"}}))).await;
    let body = json!({"partner": "acme", "ticket": ticket}).to_string();
    assert_eq!(sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &body]).status, 201);
    let answer = post(&url, &escalation(&ticket));
    assert_eq!(answer.status, 202, "{answer:?}");
    let hints = answer.json()["hints"].to_string();
    for part in [
        "younger than 30 minutes",
        "waits for your answer",
        "asked for files",
        "outside support hours",
        &closed_hours,
    ] {
        assert!(hints.contains(part), "{part} in {hints}");
    }
    // A desk that is down gives no hints; a ticket it knows is escalated all the same.
    let down = json!({"service": "desk", "operation": "*", "fault": "status", "status": 503, "times": 0});
    sandbox.fault(down).await;
    assert_eq!(post(&url, &escalation("1001")).status, 503, "nobody knows this ticket yet");
    let bound = format!("{}/escalate", sandbox.link("acme"));
    assert_eq!(post(&bound, &escalation("1001")).status, 202);
}

#[tokio::test]
async fn support_escalates_for_a_partner_and_sees_the_files() {
    let World { gateway: _gateway, sandbox } = World::start();
    sandbox.sent(&sandbox.link("acme"), "arrived.log", b"a");
    let unfinished = format!("{}/uploads", sandbox.link("acme"));
    let metadata = "Upload-Metadata: filename aGFsZi5sb2c=";
    let begun = curl(&[
        "-X",
        "POST",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Length: 9",
        "-H",
        metadata,
        &unfinished,
    ]);
    assert_eq!(begun.status, 201, "{begun:?}");
    let send = |body: &serde_json::Value| {
        let body = body.to_string();
        sandbox.staff("/escalations", &["-H", "Content-Type: application/json", "-d", &body])
    };
    let mut body = escalation("T1001");
    assert_eq!(wrong_fields(&send(&body)), ["partner"]);
    body["partner"] = "acme".into();
    let made = send(&body);
    assert_eq!((made.status, &made.json()["ticket"]), (202, &json!("1001")), "{made:?}");
    let shown = sandbox.staff(&format!("/escalations/{}", made.json()["id"].as_str().unwrap()), &[]).json();
    assert_eq!(shown["reason"], "Production is down");
    assert_eq!(shown["files"]["arrived"][0]["name"], "arrived.log");
    assert_eq!(shown["files"]["unfinished"][0]["name"], "half.log");
    assert!(shown["actor"].as_str().unwrap().starts_with("staff:"));
    body["partner"] = "globex".into();
    let other = send(&body);
    assert_eq!((other.status, other.problem().as_str()), (404, "/problems/unknown-ticket"));
}

#[tokio::test]
async fn a_link_without_the_right_escalates_nothing() {
    let World { gateway, sandbox: _sandbox } = World::start();
    let link = gateway.make_link(&["--partner", "acme", "--ticket", "1001"]);
    for answer in [
        post(&format!("{link}/escalate"), &escalation("1001")),
        curl(&[&format!("{link}/escalate")]),
        curl(&[&format!("{link}/escalations/01ARZ3NDEKTSV4RRFFQ69G5FAV")]),
    ] {
        assert_eq!((answer.status, answer.problem().as_str()), (403, "/problems/not-allowed"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_key_escalates_once() {
    let World { gateway: _gateway, sandbox } = World::start();
    let url = format!("{}/escalate", partner_link(&sandbox, "acme"));
    let send = |body: &serde_json::Value| {
        let body = body.to_string();
        curl(&["-H", "Idempotency-Key: one", "-H", "Content-Type: application/json", "-d", &body, &url])
    };
    let first = send(&escalation("1001"));
    let again = send(&escalation("1001"));
    assert_eq!((first.status, again.status, first.json()), (202, 202, again.json()));
    let other = send(&escalation("1002"));
    assert_eq!((other.status, other.problem().as_str()), (422, "/problems/idempotency-mismatch"));
    let listed = sandbox.staff("/escalations", &[]).json();
    assert_eq!(listed["escalations"].as_array().unwrap().len(), 1);
    assert_eq!(listed["escalations"][0]["joined_requests"], 0);
}

/// A partner's 50 open escalations leave no place for another, but an open one can still become an emergency.
#[tokio::test]
async fn a_partner_has_at_most_50_open_escalations() {
    let sandbox = Sandbox::start();
    let _gateway = sandbox.gateway_with(|config| {
        let mut limits = toml::Table::new();
        limits.insert("link_ticket_lookups_per_minute".into(), 1000.into());
        config.insert("limits".into(), limits.into());
    });
    let url = format!("{}/escalate", partner_link(&sandbox, "acme"));
    for _ in 0..50 {
        let answer = post(&url, &escalation(&sandbox.open_ticket("acme").await));
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let full = post(&url, &escalation("1001"));
    assert_eq!((full.status, full.problem().as_str()), (429, "/problems/slow-down"), "{full:?}");
    assert!(full.headers.contains_key("retry-after"));
    let open = sandbox.staff("/escalations?state=submitted", &[]).json()["escalations"][0].clone();
    let mut emergency = escalation(open["ticket"].as_str().unwrap());
    emergency["emergency"] = true.into();
    assert_eq!(post(&url, &emergency).status, 200);
    let path = format!("/escalations/{}", open["id"].as_str().unwrap());
    let resolve = ["-X", "PATCH", "-H", "Content-Type: application/json", "-d", "{\"state\": \"resolved\"}"];
    assert_eq!(sandbox.staff(&path, &resolve).status, 200);
    assert_eq!(post(&url, &escalation("1001")).status, 202, "there is a place again");
}
