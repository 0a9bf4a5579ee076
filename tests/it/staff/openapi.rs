//! `/openapi.json`: what the gateway answers is what it describes, for every described success and each kind of refusal.

use serde_json::{Value, json};
use tests::{Answer, Described, Sandbox, World, curl, eventually, eventually_async, put_by_hand};

const JSON: [&str; 2] = ["-H", "Content-Type: application/json"];

/// Sends JSON with `POST`, or with the method in `more`.
fn post(url: &str, body: &Value, more: &[&str]) -> Answer {
    curl(&[&[url, "-d", &body.to_string()], &JSON[..], more].concat())
}

/// Sends JSON to the staff API.
fn staff_post(sandbox: &Sandbox, path: &str, body: &Value, more: &[&str]) -> Answer {
    sandbox.staff(path, &[&["-d", &body.to_string()], &JSON[..], more].concat())
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {answer:?}")).to_owned()
}

fn ticket_fields(sandbox: &Sandbox) -> Value {
    json!({
        "contact": sandbox.text("/contacts/acme"), "customer": "Initech", "case_number": "T123456789", "subject": "It stops",
        "description": "At night.",
    })
}

fn escalation_fields(request: &str) -> Value {
    json!({ "request": request, "reason": "Production is down.", "actions": "Call us.", "urgency": "1h", "emergency": false })
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let World { gateway, sandbox } = World::start();
    let described = Described::by(&gateway.url);
    uploads(&described, &sandbox).await;
    links_and_partners(&described, &sandbox);
    objects(&described, &sandbox).await;
    // Before the gateway has seen it open.
    let ticket = sandbox.open_ticket("acme").await;
    sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(json!({"ticket": {"status": "closed"}}))).await;
    tickets(&described, &sandbox, &ticket);
    escalations(&described, &sandbox);
    hooks(&described, &sandbox);
    assert_eq!(described.left_out(), Vec::<String>::new());
}

async fn uploads(described: &Described, sandbox: &Sandbox) {
    let id =
        sandbox.sent(&sandbox.link("globex"), "core.bin", b"0123456789")["id"].as_str().unwrap().to_owned();
    let show = || sandbox.staff(&format!("/uploads/{id}"), &[]);
    described.compare("GET /api/v1/uploads/{id}", &show());
    eventually_async("the note is posted", async || (text(&show(), "delivery") == "done").then_some(()))
        .await;
    described.compare("GET /api/v1/uploads/{id}", &show());
    // One that is not complete.
    let begun = format!("{}/uploads", sandbox.link("globex"));
    let answer = curl(&["-X", "POST", &begun, "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 9"]);
    let open = answer.headers["location"].rsplit('/').next().unwrap().to_owned();
    described.compare("GET /api/v1/uploads/{id}", &sandbox.staff(&format!("/uploads/{open}"), &[]));
    for query in ["", "?state=open", "?ticket=2001&partner=globex&until=2999-01-01T00:00:00Z"] {
        let page = sandbox.staff(&format!("/uploads{query}"), &[]);
        assert_eq!(page.json()["uploads"].as_array().unwrap().len(), 1, "{page:?}");
        described.compare("GET /api/v1/uploads", &page);
    }
    let content = format!("/uploads/{id}/content");
    for (query, range, status) in [
        ("", "bytes=0-", 302),
        ("?via=gateway", "bytes=2-4", 206),
        ("?via=gateway", "bytes=20-", 416),
        ("?via=gateway", "lines=1", 200),
        ("?via=post", "bytes=0-", 400),
    ] {
        let answer = sandbox.staff(&format!("{content}{query}"), &["-H", &format!("Range: {range}")]);
        assert_eq!(answer.status, status, "{query} {range}: {answer:?}");
        described.compare("GET /api/v1/uploads/{id}/content", &answer);
    }
    for (status, path) in [(404, format!("/uploads/{open}/content")), (404, "/uploads/x/content".to_owned())]
    {
        let answer = sandbox.staff(&path, &[]);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        described.compare("GET /api/v1/uploads/{id}/content", &answer);
    }
    for status in [204, 404] {
        let answer = sandbox.staff(&format!("/uploads/{id}"), &["-X", "DELETE"]);
        assert_eq!(answer.status, status, "{answer:?}");
        described.compare("DELETE /api/v1/uploads/{id}", &answer);
    }
    described.compare("GET /api/v1/uploads/{id}/content", &sandbox.staff(&content, &[]));
    let stranger = sandbox.staff_as("wrong", "/uploads", &[]);
    assert_eq!((stranger.status, stranger.problem().as_str()), (401, "/problems/unauthorized"));
    described.compare("GET /api/v1/uploads", &stranger);
    described.compare("GET /api/v1/uploads", &sandbox.staff("/uploads?limit=5", &[]));
    described.compare("GET /api/v1/uploads", &sandbox.staff("/uploads?partner=nobody", &[]));
}

fn links_and_partners(described: &Described, sandbox: &Sandbox) {
    let created = staff_post(sandbox, "/links", &json!({"partner": "acme", "ticket": "1001"}), &[]);
    described.compare("POST /api/v1/links", &created);
    let link = format!("/links/{}", text(&created, "id"));
    described.compare("GET /api/v1/links", &sandbox.staff("/links?partner=acme", &[]));
    described.compare("GET /api/v1/links/{id}", &sandbox.staff(&link, &[]));
    let renew = |body: Value| staff_post(sandbox, &format!("{link}/renew"), &body, &[]);
    for body in [json!({"expires_in_s": 60}), json!({"expires_in_s": 0})] {
        described.compare("POST /api/v1/links/{id}/renew", &renew(body));
    }
    for _ in 0..2 {
        let answer = curl(&["-X", "POST", &format!("{}/renew", text(&created, "url"))]);
        described.compare("POST /u/{link}/renew", &answer);
    }
    for note in [json!({"text": "See line 7."}), json!({"text": "See line 7."}), json!({"texts": 1})] {
        described
            .compare("POST /u/{link}/note", &post(&format!("{}/note", text(&created, "url")), &note, &[]));
    }
    described.compare("DELETE /api/v1/links/{id}", &sandbox.staff(&link, &["-X", "DELETE"]));
    described.compare("POST /api/v1/links/{id}/renew", &renew(json!({})));
    let unbound = sandbox.text("/partner_links/acme/url");
    described.compare("POST /u/{link}/renew", &curl(&["-X", "POST", &format!("{unbound}/renew")]));
    described.compare("GET /api/v1/links/{id}", &sandbox.staff("/links/x", &[]));
    let encoded = ["-H", "Content-Encoding: gzip"];
    for (body, more, status) in [
        (json!({"partner": "acme", "ticket": "4711"}), &[][..], 404),
        (json!({"partner": "acme", "tickets": "1001"}), &[], 422),
        (json!({"partner": "acme"}), &encoded, 415),
    ] {
        let answer = staff_post(sandbox, "/links", &body, more);
        assert_eq!(answer.status, status, "{answer:?}");
        described.compare("POST /api/v1/links", &answer);
    }
    let asks = "/tickets/1001/asks";
    for body in [json!({"wanted": ["logs"]}), json!({"wanted": []}), json!({})] {
        described.compare("POST /api/v1/tickets/{ticket}/asks", &staff_post(sandbox, asks, &body, &[]));
    }
    let listed = sandbox.staff(asks, &[]);
    described.compare("GET /api/v1/tickets/{ticket}/asks", &listed);
    let ask = format!("{asks}/{}", listed.json()["asks"][0]["id"].as_str().unwrap());
    for _ in 0..2 {
        described
            .compare("DELETE /api/v1/tickets/{ticket}/asks/{ask}", &sandbox.staff(&ask, &["-X", "DELETE"]));
    }
    let hold = "/tickets/1001/hold";
    for body in [json!({"reason": "A lawsuit"}), json!({"reason": "a\nb"}), json!({})] {
        described.compare("POST /api/v1/tickets/{ticket}/hold", &staff_post(sandbox, hold, &body, &[]));
    }
    described.compare("GET /api/v1/tickets/{ticket}/hold", &sandbox.staff(hold, &[]));
    for _ in 0..2 {
        described.compare("DELETE /api/v1/tickets/{ticket}/hold", &sandbox.staff(hold, &["-X", "DELETE"]));
    }
    described.compare("GET /api/v1/tickets/{ticket}/hold", &sandbox.staff(hold, &[]));
    for query in
        ["", "?ticket=1001&partner=acme&since=2026-01-01T00:00:00Z", "?partner=nobody", "?since=once"]
    {
        described.compare("GET /api/v1/audit", &sandbox.staff(&format!("/audit{query}"), &[]));
    }
    described.compare("GET /api/v1/partners", &sandbox.staff("/partners", &[]));
    described.compare("GET /api/v1/partners/{id}", &sandbox.staff("/partners/acme", &[]));
    described.compare("GET /api/v1/partners/{id}", &sandbox.staff("/partners/nobody", &[]));
    described.compare("GET /api/v1/partners/{id}/objects", &sandbox.staff("/partners/globex/objects", &[]));
    let contacts = "/partners/acme/contacts";
    let added = staff_post(sandbox, contacts, &json!({"name": "Ada", "email": "ada@acme.example"}), &[]);
    described.compare("POST /api/v1/partners/{id}/contacts", &added);
    described.compare("GET /api/v1/partners/{id}/contacts", &sandbox.staff(contacts, &[]));
    let gone = sandbox.staff(&format!("{contacts}/{}", text(&added, "id")), &["-X", "DELETE"]);
    described.compare("DELETE /api/v1/partners/{id}/contacts/{contact}", &gone);
    let wrong = staff_post(sandbox, contacts, &json!({"email": "ada", "nickname": "a"}), &[]);
    assert_eq!((wrong.status, wrong.json()["errors"].as_array().unwrap().len()), (422, 3), "{wrong:?}");
    described.compare("POST /api/v1/partners/{id}/contacts", &wrong);
}

async fn objects(described: &Described, sandbox: &Sandbox) {
    put_by_hand(&sandbox.bucket(Some("globex")).await, "monday.tar", b"a").await;
    for key in ["", "?key=missing", "?key=.weighbridge/x", "?key=monday.tar"] {
        let object = format!("/partners/globex/object{key}");
        described.compare("GET /api/v1/partners/{id}/object", &sandbox.staff(&object, &[]));
        described.compare("POST /api/v1/partners/{id}/object", &sandbox.staff(&object, &["-X", "POST"]));
    }
    let object = "/partners/globex/object?key=monday.tar";
    eventually("the object is read", || {
        (sandbox.staff(object, &[]).json()["unverified"] == false).then_some(())
    });
    described.compare("GET /api/v1/partners/{id}/object", &sandbox.staff(object, &[]));
    described.compare("POST /api/v1/partners/{id}/object", &sandbox.staff(object, &["-X", "POST"]));
}

fn tickets(described: &Described, sandbox: &Sandbox, closed: &str) {
    let link = sandbox.text("/partner_links/acme/url");
    let (tickets, fields) = (format!("{link}/tickets"), ticket_fields(sandbox));
    let open = |body: Value| post(&tickets, &body, &[]);
    let opened = open(fields.clone());
    described.compare("POST /u/{link}/tickets", &opened);
    let mut form: Vec<String> = Vec::new();
    for (name, value) in fields.as_object().unwrap() {
        form.extend(["-F".to_owned(), format!("{name}={}", value.as_str().unwrap())]);
    }
    let file = sandbox.file("described", "a.log", b"a");
    for (name, shown) in [("file", "a.log"), ("bad", "..")] {
        form.extend(["-F".to_owned(), format!("{name}=@{};filename={shown}", file.display())]);
    }
    let with_files =
        curl(&[&[tickets.as_str()], &form.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    assert_eq!(with_files.json()["uploads"].as_array().unwrap().len(), 2, "{with_files:?}");
    described.compare("POST /u/{link}/tickets", &with_files);
    let but = |field: &str, value: Value| {
        let mut changed = fields.clone();
        changed[field] = value;
        changed
    };
    for (answer, status, kind) in [
        (open(but("contact", json!("nobody@acme.example"))), 403, "/problems/not-arranged"),
        (open(but("nfr", json!(true))), 422, "/problems/nfr-not-supported"),
        (open(but("subject", json!("a\nb"))), 422, "/problems/bad-fields"),
        (open(json!([])), 400, "/problems/bad-request"),
        (post(&format!("{}/tickets", sandbox.link("acme")), &fields, &[]), 403, "/problems/not-allowed"),
        (
            post(&format!("{}/u/unknown/tickets", sandbox.text("/url")), &fields, &[]),
            404,
            "/problems/unknown-link",
        ),
        (post(&format!("{}/u/-/tickets", sandbox.text("/url")), &fields, &[]), 401, "/problems/unauthorized"),
    ] {
        assert_eq!((answer.status, answer.problem().as_str()), (status, kind), "{answer:?}");
        assert_eq!(answer.json()["errors"].is_array(), kind == "/problems/bad-fields", "{answer:?}");
        described.compare("POST /u/{link}/tickets", &answer);
    }
    for (ticket, status, kind) in [
        (text(&opened, "ticket").as_str(), 201, None),
        ("2001", 404, Some("/problems/unknown-ticket")),
        (closed, 409, Some("/problems/ticket-closed")),
    ] {
        let answer = curl(&["-X", "POST", &format!("{tickets}/{ticket}/link")]);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(kind.is_none_or(|kind| answer.problem() == kind), "{answer:?}");
        described.compare("POST /u/{link}/tickets/{ticket}/link", &answer);
    }
    let expired = staff_post(
        sandbox,
        "/links",
        &json!({"partner": "acme", "rights": ["open-ticket"], "expires_in_s": 60}),
        &[],
    );
    sandbox.staff(&format!("/links/{}", text(&expired, "id")), &["-X", "DELETE"]);
    let gone = post(&format!("{}/tickets", text(&expired, "url")), &fields, &[]);
    assert_eq!((gone.status, gone.problem().as_str()), (410, "/problems/link-expired"), "{gone:?}");
    described.compare("POST /u/{link}/tickets", &gone);
}

fn escalations(described: &Described, sandbox: &Sandbox) {
    let link = sandbox.text("/partner_links/acme/url");
    let escalate = || post(&format!("{link}/escalate"), &escalation_fields("1001"), &[]);
    let first = escalate();
    assert_eq!(first.status, 202, "{first:?}");
    let again = escalate();
    assert_eq!((again.status, &again.json()["joined"]), (200, &json!(true)), "{again:?}");
    for answer in [&first, &again] {
        described.compare("POST /u/{link}/escalate", answer);
    }
    let mut wrong = escalation_fields("#1001");
    wrong["urgency"] = json!("now");
    let wrong = post(&format!("{link}/escalate"), &wrong, &[]);
    assert_eq!((wrong.status, wrong.json()["errors"].as_array().unwrap().len()), (422, 2), "{wrong:?}");
    described.compare("POST /u/{link}/escalate", &wrong);
    let id = text(&first, "id");
    let status = |id: &str| curl(&[&format!("{link}/escalations/{id}")]);
    described.compare("GET /u/{link}/escalations/{id}", &status(&id));
    described.compare("GET /u/{link}/escalations/{id}", &status("x"));
    // For support.
    let mut fields = escalation_fields("1001");
    fields["partner"] = json!("acme");
    let joined = staff_post(sandbox, "/escalations", &fields, &[]);
    assert_eq!(joined.status, 200, "{joined:?}");
    fields["partner"] = json!("globex");
    fields["request"] = json!("2001");
    let made = staff_post(sandbox, "/escalations", &fields, &[]);
    assert_eq!(made.status, 202, "{made:?}");
    for answer in [joined, made, staff_post(sandbox, "/escalations", &json!({}), &[])] {
        described.compare("POST /api/v1/escalations", &answer);
    }
    let path = format!("/escalations/{id}");
    described.compare("GET /api/v1/escalations", &sandbox.staff("/escalations?partner=acme", &[]));
    described.compare("GET /api/v1/escalations", &sandbox.staff("/escalations?state=lost", &[]));
    described.compare("GET /api/v1/escalations/{id}", &sandbox.staff(&path, &[]));
    let change = |body: Value| staff_post(sandbox, &path, &body, &["-X", "PATCH"]);
    for (body, status) in [
        (json!({"state": "declined"}), 422),
        (json!({"state": "declined", "reason": "Not now."}), 200),
        (json!({"state": "acknowledged"}), 409),
    ] {
        let answer = change(body);
        assert_eq!(answer.status, status, "{answer:?}");
        described.compare("PATCH /api/v1/escalations/{id}", &answer);
    }
    described.compare("GET /u/{link}/escalations/{id}", &status(&id));
}

fn hooks(described: &Described, sandbox: &Sandbox) {
    let hook = |path: &str, body: &str, headers: &[String]| {
        let url = format!("{}/hooks/{path}", sandbox.text("/url"));
        let mut arguments = vec![url.as_str(), "-d", body, JSON[0], JSON[1]];
        arguments.extend(headers.iter().flat_map(|header| ["-H", header.as_str()]));
        curl(&arguments)
    };
    let event = json!({"type": "zen:event-type:ticket.status_changed", "id": "1", "detail": {"id": "1001"}})
        .to_string();
    let challenge = json!({"type": "url_verification", "challenge": "c"}).to_string();
    let fields = escalation_fields("1001").to_string();
    let secret = [format!("Authorization: Bearer {}", sandbox.text("/hooks/workflow_secrets/acme"))];
    for (operation, path, body, headers, status) in [
        ("zendesk", "zendesk", &event, &sandbox.zendesk_headers(&event)[..], 200),
        ("slack", "slack", &challenge, &sandbox.slack_headers(&challenge), 200),
        ("slack/workflow/{partner}", "slack/workflow/acme", &fields, &secret, 202),
        ("slack/workflow/{partner}", "slack/workflow/acme", &"{}".to_owned(), &secret, 422),
    ] {
        let answer = hook(path, body, headers);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        described.compare(&format!("POST /hooks/{operation}"), &answer);
        let unsigned = hook(path, body, &[]);
        assert_eq!(
            (unsigned.status, unsigned.problem().as_str()),
            (401, "/problems/bad-signature"),
            "{unsigned:?}"
        );
        described.compare(&format!("POST /hooks/{operation}"), &unsigned);
    }
}

#[test]
fn description_is_public_and_cacheable() {
    let World { gateway, sandbox: _sandbox } = World::start();
    let answer = curl(&[&format!("{}/openapi.json", gateway.url)]);
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
    let wrong_method = curl(&["-X", "POST", &format!("{}/openapi.json", gateway.url)]);
    assert_eq!((wrong_method.status, wrong_method.problem().as_str()), (405, "about:blank"));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    for scheme in ["staff_token", "link_token", "zendesk_signature", "slack_signature", "workflow_secret"] {
        assert!(document["components"]["securitySchemes"][scheme].is_object(), "{scheme}");
    }
}
