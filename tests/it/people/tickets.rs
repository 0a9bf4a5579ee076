//! Opening tickets: fields, contacts, keys, links, files.

use serde_json::{Value, json};
use tests::{World, curl, noise, sha256};

use super::{opened, partner_link, post, ticket_fields, with, wrong_fields};

#[tokio::test]
async fn a_ticket_is_opened_with_its_form_subject_and_requester() {
    let World { gateway: _gateway, sandbox } = World::start();
    let answer = opened(&sandbox, &json!({}));
    let fields: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["link", "subject", "ticket", "uploads"]);
    assert_eq!(answer["subject"], "[Initech] - [T123456789] - [Slow since Monday]");
    assert_eq!(answer["uploads"], json!([]));
    assert!(answer["link"]["expires_at"].is_string());
    let ticket = answer["ticket"].as_str().unwrap();
    let seen = sandbox.desk("GET", &format!("/tickets/{ticket}"), None).await["ticket"].clone();
    for (field, expected) in [
        ("subject", answer["subject"].clone()),
        ("ticket_form_id", json!(360_001_172_559_u64)),
        ("organization_id", json!(101)),
        ("requester_id", json!(1010)),
    ] {
        assert_eq!(seen[field], expected, "{field}");
    }
    let first = &sandbox.comments(ticket).await[0];
    assert!(
        first["body"].as_str().unwrap().starts_with("```\nEvery page takes ten seconds.\n```\n"),
        "{first}"
    );
    assert_eq!(first["author_id"], 1010, "the contact's own words");
    // The link sends files to this ticket, and opens no others.
    let link = answer["link"]["url"].as_str().unwrap();
    assert_eq!(sandbox.sent(link, "a.log", b"a")["ticket"], ticket);
    let another = post(&format!("{link}/tickets"), &ticket_fields());
    assert_eq!((another.status, another.problem().as_str()), (403, "/problems/not-allowed"));
}

#[tokio::test]
async fn the_same_request_opens_one_ticket() {
    let World { mut gateway, sandbox } = World::start();
    let url = format!("{}/tickets", partner_link(&sandbox, "acme"));
    let first = opened(&sandbox, &json!({}));
    assert_eq!(opened(&sandbox, &json!({})), first, "equal fields are a retry");
    let key = |key: &str, changes: &Value| {
        let header = format!("Idempotency-Key: {key}");
        curl(&["-H", &header, "-H", "Content-Type: application/json", "-d", &with(changes).to_string(), &url])
    };
    let keyed = key("one", &json!({}));
    assert_ne!(keyed.json()["ticket"], first["ticket"], "a key of its own is a request of its own");
    gateway.kill();
    gateway.restart();
    assert_eq!(key("one", &json!({})).json(), keyed.json());
    let other = key("one", &json!({"subject": "Other"}));
    assert_eq!((other.status, other.problem().as_str()), (422, "/problems/idempotency-mismatch"));
    // The desk opens the ticket and its answer is lost, again and again: a retry finds it.
    for fault in ["lost-answer", "reset"] {
        let rule = json!({"service": "desk", "operation": "CreateTicket", "fault": fault, "times": 2});
        sandbox.fault(rule).await;
        let changes = json!({"subject": fault});
        for _ in 0..2 {
            let answer = key(fault, &changes);
            assert!([201, 503].contains(&answer.status), "{answer:?}");
        }
        sandbox.clear_faults().await;
        let answer = key(fault, &changes);
        assert_eq!(answer.status, 201, "{answer:?}");
        let query = format!("/search?query=type:ticket+subject:{fault}");
        let found = sandbox.desk("GET", &query, None).await;
        assert_eq!(found["count"], 1, "{found}");
    }
}

/// The gateway is killed after the desk has opened the ticket, before it has recorded that; the sender tries again.
#[tokio::test]
async fn a_killed_gateway_opens_no_second_ticket() {
    let World { mut gateway, sandbox } = World::start();
    let url = format!("{}/tickets", partner_link(&sandbox, "acme"));
    let held = json!({"service": "desk", "operation": "CreateTicket", "fault": "delay", "when": "after", "delay_ms": 60_000});
    sandbox.fault(held).await;
    let fields = with(&json!({"subject": "Killed"}));
    let (address, body) = (url.clone(), fields.clone());
    let sender = std::thread::spawn(move || post(&address, &body));
    sandbox.fault_hit(1).await;
    gateway.kill();
    assert_ne!(sender.join().unwrap().status, 201);
    sandbox.clear_faults().await;
    gateway.restart();
    let answer = post(&url, &fields);
    assert_eq!(answer.status, 201, "{answer:?}");
    let found = sandbox.desk("GET", "/search?query=type:ticket+subject:Killed", None).await;
    assert_eq!(found["count"], 1, "{found}");
    assert_eq!(found["results"][0]["id"].to_string(), answer.json()["ticket"].as_str().unwrap());
}

#[tokio::test]
async fn wrong_fields_are_named_all_at_once() {
    let World { gateway: _gateway, sandbox } = World::start();
    let url = format!("{}/tickets", partner_link(&sandbox, "acme"));
    for (body, fields) in [
        (json!({}), &["contact", "customer", "subject", "description"][..]),
        (with(&json!({"case_number": "#123"})), &["case_number"]),
        (with(&json!({"subject": "a\nb", "customer": "x".repeat(151)})), &["customer", "subject"]),
        (with(&json!({"subject": "a\u{202e}b"})), &["subject"]),
        (with(&json!({"nfr": "perhaps", "subjct": "x"})), &["nfr", "subjct"]),
        (with(&json!({"description": "x".repeat(30_001)})), &["description"]),
    ] {
        assert_eq!(wrong_fields(&post(&url, &body)), fields, "{body}");
    }
    for body in ["", "{", "[]", "\"x\""] {
        let answer = curl(&["-H", "Content-Type: application/json", "-d", body, &url]);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "/problems/bad-request"), "{body}");
    }
}

#[tokio::test]
async fn a_form_opens_a_ticket_and_stores_its_files() {
    let world = World::start();
    let url = format!("{}/tickets", partner_link(&world.sandbox, "acme"));
    let small = world.path("small.log", b"small");
    let bytes = noise(9_000_000, 1);
    let large = world.path("large.bin", &bytes);
    let fields = ticket_fields();
    let pairs: Vec<_> = fields.as_object().unwrap().iter().collect();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| {
            format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let mut arguments: Vec<&str> = pairs.iter().flat_map(|pair| ["-F", pair]).collect();
    let files = [format!("file=@{small}"), format!("file=@{large}"), format!("file=@{small};filename=..")];
    arguments.extend(files.iter().flat_map(|file| ["-F", file.as_str()]));
    arguments.push(&url);
    let answer = curl(&arguments);
    assert_eq!(answer.status, 201, "{answer:?}");
    let json = answer.json();
    let uploads = json["uploads"].as_array().unwrap();
    assert_eq!(uploads.len(), 3, "{json}");
    assert_eq!((&uploads[0]["ticket"], &uploads[1]["sha256"]), (&json["ticket"], &json!(sha256(&bytes))));
    assert_eq!(uploads[2]["type"], "/problems/bad-name", "the ticket is opened, and the file is named");
    let again = curl(&arguments).json();
    assert_eq!(
        (&again["ticket"], &again["uploads"][1]["id"]),
        (&json["ticket"], &uploads[1]["id"]),
        "a retry"
    );
    // A receipt is below the new link.
    let link = json["link"]["url"].as_str().unwrap();
    assert_eq!(curl(&[&format!("{link}/uploads/{}", uploads[0]["id"].as_str().unwrap())]).status, 200);

    // Fields after a file would be lost.
    arguments.truncate(arguments.len() - 1);
    arguments.extend(["-F", "customer=Late", &url]);
    let late = curl(&arguments).json();
    assert_eq!(late["uploads"].as_array().unwrap().last().unwrap()["type"], "/problems/bad-fields", "{late}");
    // Refused before a byte of the file.
    let refused = curl(&["-F", "contact=nobody@acme.example", "-F", &files[1], &url]);
    assert_eq!(wrong_fields(&refused), ["customer", "subject", "description"]);
    world.until_at_rest();
}

#[tokio::test]
async fn pages_offer_both_forms() {
    let World { gateway: _gateway, sandbox } = World::start();
    let link = partner_link(&sandbox, "acme");
    let html = |url: &str| curl(&["-H", "Accept: text/html", url]);
    let page = html(&link).body;
    assert!(page.contains("/tickets\"") && page.contains("/escalate\""), "{page}");
    for form in ["tickets", "escalate"] {
        let page = html(&format!("{link}/{form}"));
        assert!(page.status == 200 && page.body.contains("<form"), "{page:?}");
    }
    let sent = curl(&["-H", "Accept: text/html", "-F", "contact=x", &format!("{link}/tickets")]);
    assert!(sent.status == 422 && sent.body.contains("customer"), "{sent:?}");
    let bound = html(&sandbox.link("acme")).body;
    assert!(!bound.contains("/tickets\"") && bound.contains("escalate\""), "a bound link opens no tickets");
    // A file may be called so.
    assert_eq!(sandbox.sent(&sandbox.link("acme"), "tickets", b"x")["name"], "tickets");
}

#[tokio::test]
async fn a_link_is_made_for_a_ticket_of_the_partner_alone() {
    let World { gateway, sandbox } = World::start();
    let link = partner_link(&sandbox, "acme");
    let make = |ticket: &str| curl(&["-X", "POST", &format!("{link}/tickets/{ticket}/link")]);
    let made = make("1002");
    assert_eq!(made.status, 201, "{made:?}");
    let url = made.json()["url"].as_str().unwrap().to_owned();
    assert!(made.json()["expires_at"].is_string());
    assert_eq!(make("1002").json()["url"], url, "the same link all day");
    assert_eq!(sandbox.sent(&url, "a.log", b"a")["ticket"], "1002");
    for (ticket, status, problem) in [
        ("2001", 404, "/problems/unknown-ticket"),
        ("424242", 404, "/problems/unknown-ticket"),
        ("x", 404, "/problems/unknown-ticket"),
        ("1003", 409, "/problems/ticket-closed"),
    ] {
        let answer = make(ticket);
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{ticket}");
    }
    let plain = gateway.make_link(&["--partner", "acme"]);
    let answer = curl(&["-X", "POST", &format!("{plain}/tickets/1002/link")]);
    assert_eq!((answer.status, answer.problem().as_str()), (403, "/problems/not-allowed"));
}

#[tokio::test]
async fn a_link_ends_with_the_one_that_made_it() {
    let World { gateway: _gateway, sandbox } = World::start();
    let body =
        json!({"partner": "acme", "rights": ["open-ticket", "escalate"], "expires_in_s": 3600}).to_string();
    let parent = sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &body]).json();
    let url = parent["url"].as_str().unwrap();
    let made = curl(&["-X", "POST", &format!("{url}/tickets/1002/link")]).json();
    let opened = post(&format!("{url}/tickets"), &ticket_fields()).json()["link"].clone();
    for child in [&made, &opened] {
        assert!(child["expires_at"].as_str().unwrap() <= parent["expires_at"].as_str().unwrap(), "{child}");
        sandbox.sent(child["url"].as_str().unwrap(), "a.log", b"a");
    }
    let path = format!("/links/{}", parent["id"].as_str().unwrap());
    assert_eq!(sandbox.staff(&path, &["-X", "DELETE"]).status, 204);
    for child in [&made, &opened] {
        let late = sandbox.send(child["url"].as_str().unwrap(), "b.log", b"b");
        assert_eq!((late.status, late.problem().as_str()), (410, "/problems/link-expired"), "{child}");
    }
}

#[tokio::test]
async fn the_links_of_a_contact_end_with_it() {
    let World { gateway: _gateway, sandbox } = World::start();
    let link = opened(&sandbox, &json!({}))["link"]["url"].as_str().unwrap().to_owned();
    sandbox.sent(&link, "a.log", b"a");
    let contacts = sandbox.staff("/partners/acme/contacts", &[]).json();
    let id = contacts["contacts"][0]["id"].as_str().unwrap();
    assert_eq!(sandbox.staff(&format!("/partners/acme/contacts/{id}"), &["-X", "DELETE"]).status, 204);
    let late = sandbox.send(&link, "b.log", b"b");
    assert_eq!((late.status, late.problem().as_str()), (410, "/problems/link-expired"));
    assert_eq!(curl(&[&partner_link(&sandbox, "acme")]).status, 200, "the partner's own stays");
}

#[tokio::test]
async fn a_ticket_that_the_desk_refuses_can_be_sent_again() {
    let World { gateway: _gateway, sandbox } = World::start();
    let url = format!("{}/tickets", partner_link(&sandbox, "acme"));
    let rule =
        json!({"service": "desk", "operation": "CreateTicket", "fault": "status", "status": 422, "times": 1});
    sandbox.fault(rule).await;
    let refused = post(&url, &ticket_fields());
    assert_eq!((refused.status, refused.problem().as_str()), (502, "/problems/desk-refused"), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("Sam Example"), "whom to ask: {refused:?}");
    assert_eq!(post(&url, &ticket_fields()).status, 201);
}
