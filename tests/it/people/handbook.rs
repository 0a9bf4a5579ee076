//! What a support organisation promises its alliance partners, a test for each promise.

use serde_json::{Value, json};
use tests::{Sandbox, World, curl, noise};

use super::{
    comment_with, escalation, opened, partner_link, post, slack_said, ticket_fields, with, wrong_fields,
};

fn open(sandbox: &Sandbox, partner: &str, changes: &Value) -> tests::Answer {
    post(&format!("{}/tickets", partner_link(sandbox, partner)), &with(changes))
}

/// "Accounts of representatives are arranged before their first ticket. Anyone else is told whom to ask."
#[tokio::test]
async fn accounts_are_arranged_before_the_first_ticket() {
    let World { gateway, sandbox } = World::start();
    // Not a contact; a contact of another partner; a contact without a user in the desk; one of another organisation.
    for (name, email) in [("nobody", "no.user@acme.example"), ("outsider", "support@globex.example")] {
        gateway.admin_ok(&["contact", "add", "--partner", "acme", "--name", name, "--email", email]);
    }
    for email in ["stranger@acme.example", "no.user@acme.example", "support@globex.example"] {
        let answer = open(&sandbox, "acme", &json!({"contact": email}));
        assert_eq!((answer.status, answer.problem().as_str()), (403, "/problems/not-arranged"), "{email}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("Sam Example, customer success, sam@support.example"), "{detail}");
    }
    assert_eq!(open(&sandbox, "acme", &json!({"contact": "Support@ACME.example"})).status, 201);
    let check = gateway.admin(&["partner", "check", "acme"]);
    let text = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1), "{text}");
    for line in [
        "ok       organisation: Acme (101)",
        "ok       contact: support@acme.example",
        "missing  contact: the desk has no active user no.user@acme.example",
        "missing  contact: support@globex.example is not a member of the organisation",
        "ok       bucket: none of its own",
        "ok       Slack: channel C0ACME",
        "ok       whom to ask: Sam Example",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} in {text}");
    }
    let check = gateway.admin(&["partner", "check", "globex"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    // Support arranges contacts, too.
    let contacts =
        sandbox.staff("/partners/acme/contacts", &[]).json()["contacts"].as_array().unwrap().clone();
    assert_eq!(contacts.len(), 3);
    let arranged = contacts.iter().find(|contact| contact["email"] == "support@acme.example").unwrap();
    let path = format!("/partners/acme/contacts/{}", arranged["id"].as_str().unwrap());
    assert_eq!(sandbox.staff(&path, &["-X", "DELETE"]).status, 204);
    assert_eq!(open(&sandbox, "acme", &json!({"subject": "another"})).problem(), "/problems/not-arranged");
    let body = json!({"name": "Ann", "email": "support@acme.example", "slack_user_id": "U1"}).to_string();
    let made =
        sandbox.staff("/partners/acme/contacts", &["-H", "Content-Type: application/json", "-d", &body]);
    assert_eq!((made.status, &made.json()["slack_user_id"]), (201, &json!("U1")), "{made:?}");
    assert_eq!(open(&sandbox, "acme", &json!({"subject": "another"})).status, 201);
    let wrong = sandbox.staff("/partners/acme/contacts", &["-d", "{\"email\": \"nobody\"}"]);
    assert_eq!(wrong_fields(&wrong), ["name", "email"]);
}

/// "Tickets of partners go only through one specialised form." One that arrived on another form is recognised: support is told
/// that routing will be slow, and the contact gets the right form.
#[tokio::test]
async fn partner_tickets_go_through_one_form() {
    let sandbox = Sandbox::start();
    let _gateway = sandbox.gateway_with(|config| {
        let desk = config["desk"].as_table_mut().unwrap();
        desk.insert("poll_every".into(), "1s".into());
    });
    let ticket = opened(&sandbox, &json!({}))["ticket"].as_str().unwrap().to_owned();
    let other = json!({"ticket": {"subject": "Slow", "requester_id": 1010, "organization_id": 101, "ticket_form_id": 5,
        "comment": {"body": "b"}}});
    let other = sandbox.desk("POST", "/tickets", Some(other)).await["ticket"]["id"].to_string();
    // No webhook says so: the desk is polled.
    let internal = comment_with(&sandbox, &other, "wrong-form: support").await;
    assert!(internal["public"] == false && internal["body"].as_str().unwrap().contains("slow"), "{internal}");
    let public = comment_with(&sandbox, &other, "wrong-form: contact").await;
    assert!(public["public"] == true, "{public}");
    assert!(public["body"].as_str().unwrap().contains("ticket_form_id=360001172559"), "{public}");
    let comments = sandbox.comments(&ticket).await;
    assert!(comments.iter().all(|comment| !comment["body"].as_str().unwrap().contains("wrong-form")));
}

/// "Support sees the notes about the organisation", and partners never do.
#[tokio::test]
async fn support_sees_the_organisation_s_notes_and_partners_do_not() {
    let sandbox = Sandbox::start();
    let file = sandbox.scratch().join("notes.txt");
    std::fs::write(&file, "Escalate to the blue team.\n").unwrap();
    let _gateway = sandbox.gateway_with(|config| {
        let acme = config["partners"]["acme"].as_table_mut().unwrap();
        acme.insert("notes_file".into(), file.to_str().unwrap().into());
    });
    let details = sandbox.staff("/partners/acme", &[]).json();
    assert!(details["notes"].as_str().unwrap().contains("alliance partner"), "{details}");
    assert_eq!(details["operator_notes"], "Escalate to the blue team.");
    assert!(details["notes_at"].is_string());
    sandbox.sent(&sandbox.link("acme"), "a.log", b"a");
    let note = comment_with(&sandbox, "1001", "1 file received").await;
    let body = note["body"].as_str().unwrap();
    assert!(
        note["public"] == false && body.contains("alliance partner") && body.contains("blue team"),
        "{body}"
    );
    // The second note does not repeat them.
    sandbox.sent(&sandbox.link("acme"), "b.log", b"b");
    let second = comment_with(&sandbox, "1001", "b.log").await;
    assert!(!second["body"].as_str().unwrap().contains("blue team"), "{second}");
    let link = partner_link(&sandbox, "acme");
    let opened = post(&format!("{link}/tickets"), &ticket_fields());
    let escalated = post(&format!("{link}/escalate"), &escalation("1001"));
    let page = curl(&["-H", "Accept: text/html", &link]);
    for answer in [opened, escalated, page, curl(&["-X", "OPTIONS", &link])] {
        let seen = format!("{answer:?}");
        assert!(!seen.contains("blue team") && !seen.contains("alliance partner"), "{seen}");
    }
}

/// "Software that is not for resale gets no support."
#[tokio::test]
async fn not_for_resale_software_gets_no_support() {
    let sandbox = Sandbox::start();
    let _gateway = sandbox.gateway_with(|config| {
        let globex = config["partners"]["globex"].as_table_mut().unwrap();
        globex.insert("nfr_only".into(), "subscription A-S0007".into());
    });
    let refused = |answer: &tests::Answer| {
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (422, "/problems/nfr-not-supported"),
            "{answer:?}"
        );
        assert!(answer.json()["detail"].as_str().unwrap().contains("https://support.example/not-for-resale"));
    };
    refused(&open(&sandbox, "acme", &json!({"nfr": true})));
    let link = sandbox.link("acme");
    let file = sandbox.file("nfr", "a.log", &noise(30_000_000, 1));
    let file = file.to_str().unwrap();
    refused(&curl(&["-T", file, &format!("{link}/a.log?nfr=true")]));
    refused(&curl(&["-F", "nfr=true", "-F", &format!("file=@{file}"), &link]));
    refused(&curl(&[
        "-X",
        "POST",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Length: 1",
        &format!("{link}/uploads?nfr=1"),
    ]));
    let metadata = "Upload-Metadata: filename YS5sb2c=,nfr dHJ1ZQ==";
    let tus = ["-X", "POST", "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 1", "-H", metadata];
    refused(&curl(&[&tus[..], &[&format!("{link}/uploads")]].concat()));
    assert!(sandbox.listed("1001").is_empty(), "nothing was stored");
    // A partner with such subscriptions has to say that a ticket is about others.
    let of_globex = json!({"contact": "support@globex.example", "nfr": null});
    let asked = open(&sandbox, "globex", &of_globex);
    assert_eq!(wrong_fields(&asked), ["nfr"]);
    assert!(asked.json()["detail"].as_str().unwrap().contains("subscription A-S0007"));
    assert_eq!(open(&sandbox, "globex", &json!({"contact": "support@globex.example"})).status, 201);
}

/// "Files are sent in one of three ways": as an attachment up to 20 MB, to the Support Uploader, or to the partner's bucket.
#[tokio::test]
async fn files_of_a_new_ticket_go_one_of_three_ways() {
    let World { gateway: _gateway, sandbox } = World::start();
    for (partner, bytes, destination) in [
        ("acme", 20_000_000, "ticket-attachment"),
        ("acme", 20_000_001, "support-uploader"),
        ("globex", 20_000_001, "partner-bucket"),
    ] {
        let contact = format!("support@{partner}.example");
        let ticket = open(&sandbox, partner, &json!({"contact": contact, "subject": destination}));
        let link = ticket.json()["link"]["url"].as_str().unwrap().to_owned();
        let receipt = sandbox.sent(&link, "file.bin", &noise(bytes, bytes as u64));
        assert_eq!(receipt["destination"], destination, "{receipt}");
        let part = if destination == "ticket-attachment" { "attached to this comment" } else { "s3://" };
        comment_with(&sandbox, receipt["ticket"].as_str().unwrap(), part).await;
    }
}

/// "Support has a lister and a downloader", which show the organisation's notes before the files.
#[tokio::test]
async fn support_lists_and_downloads_the_files_of_a_ticket() {
    let World { gateway: _gateway, sandbox } = World::start();
    let answer = opened(&sandbox, &json!({}));
    let (ticket, link) = (answer["ticket"].as_str().unwrap(), answer["link"]["url"].as_str().unwrap());
    let bytes = noise(100_000, 1);
    sandbox.sent(link, "trace.bin", &bytes);
    let listed = sandbox.wb(&["ls", "--ticket", ticket]);
    let [files, notes] = [listed.stdout, listed.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(files.contains("trace.bin") && notes.contains("alliance partner"), "{files}\n{notes}");
    let folder = sandbox.scratch().join("fetched");
    let got = sandbox.wb(&["get", ticket, "-o", folder.to_str().unwrap()]);
    assert!(got.status.success(), "{}", tests::printed(&got));
    assert_eq!(std::fs::read(folder.join("trace.bin")).unwrap(), bytes);
}

/// "The escalation form asks for the request ID or case number, the reason and the desired actions. It finds the ticket and
/// raises an attention request on it. It is used for emergencies, too."
#[tokio::test]
async fn the_escalation_form_raises_an_attention_request() {
    let World { gateway: _gateway, sandbox } = World::start();
    let ticket = opened(&sandbox, &json!({}))["ticket"].as_str().unwrap().to_owned();
    let url = format!("{}/escalate", partner_link(&sandbox, "acme"));
    let answer = curl(&[
        "--data-urlencode",
        "request=t123456789",
        "--data-urlencode",
        "reason=Production is down",
        "-d",
        "actions=Call+us&emergency=true&urgency=30m",
        &url,
    ]);
    assert_eq!(answer.status, 202, "{answer:?}");
    let json = answer.json();
    assert_eq!(
        (&json["ticket"], &json["state"], &json["joined"]),
        (&json!(ticket), &json!("submitted"), &json!(false))
    );
    let reference = json["reference"].as_str().unwrap();
    let note = comment_with(&sandbox, &ticket, reference).await;
    let body = note["body"].as_str().unwrap();
    assert!(
        note["public"] == false && body.contains("**emergency**") && body.contains("Production is down"),
        "{body}"
    );
    for channel in ["C0LEADERS", "C0ACME"] {
        let said = slack_said(&sandbox, channel, reference).await;
        assert!(!said.to_string().contains("Production"), "{said}");
    }
    tests::eventually_async("the ticket has the tag", async || {
        let seen = sandbox.desk("GET", &format!("/tickets/{ticket}"), None).await;
        (seen["ticket"]["tags"] == json!(["star_submitted"])).then_some(())
    })
    .await;
    for request in ["#123456", "ticket 123456", "", "T"] {
        let answer = post(&url, &escalation(request));
        assert_eq!(wrong_fields(&answer), ["request"], "{request}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains("such as 123456 or T123456789"),
            "{answer:?}"
        );
    }
}
