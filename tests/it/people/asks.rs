//! Files that support asks for, from `wb ask` to the tick.

use serde_json::{Value, json};
use tests::{Sandbox, World, curl, eventually, printed};

use super::{comment_with, escalation, post};

fn asks(sandbox: &Sandbox, ticket: &str) -> Vec<Value> {
    sandbox.staff(&format!("/tickets/{ticket}/asks"), &[]).json()["asks"].as_array().unwrap().clone()
}

fn sha256_line(name: &str, bytes: &[u8]) -> String {
    format!("{}  {name}\n", tests::sha256(bytes))
}

fn missing(sandbox: &Sandbox, ticket: &str) -> Vec<String> {
    let asks = asks(sandbox, ticket).into_iter().filter(|ask| ask["upload_id"].is_null());
    asks.map(|ask| ask["wanted"].as_str().unwrap().to_owned()).collect()
}

fn id_of(sandbox: &Sandbox, ticket: &str, wanted: &str) -> String {
    let asks = asks(sandbox, ticket);
    asks.iter().find(|ask| ask["wanted"] == wanted).unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_support_asks_for_is_shown_and_ticked_until_nothing_is_missing() {
    let World { mut gateway, sandbox } = World::start();
    let link = sandbox.link("acme");
    let wanted = ["database logs", "support bundle", "heap dump", "screenshot", "config", "<b>notes</b>"];
    let asked = sandbox.wb(&[&["ask", "#1001"][..], &wanted].concat());
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    let comment = comment_with(&sandbox, "1001", "Support asks for:").await;
    assert_eq!(comment["public"], true);
    gateway.kill();
    gateway.restart();
    let page = curl(&["-H", "Accept: text/html", &format!("{link}/")]).body;
    for part in
        ["data-arrived=\"false\">database logs<span", "&lt;b&gt;notes", "<select id=\"ask\" name=\"ask\">"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }

    // By its name; by the choice in the address, in a form and in tus; and none of them.
    sandbox.sent(&link, "database-logs.tar", b"a");
    let chosen = |wanted: &str| id_of(&sandbox, "1001", wanted);
    sandbox.sent(&link, "other.bin?ask=none", b"not a config");
    let put = sandbox.file("asks", "x.tgz", b"b");
    let answer =
        curl(&["-T", put.to_str().unwrap(), &format!("{link}/x.tgz?ask={}", chosen("support bundle"))]);
    assert_eq!(answer.status, 201, "{answer:?}");
    let file = |name: &str| format!("file=@{};filename={name}", put.display());
    let heap = format!("ask={}", chosen("heap dump"));
    let form = curl(&[
        "-F",
        &heap,
        "-F",
        &file("y.bin"),
        "-F",
        "ask=none",
        "-F",
        &file("screenshot.png"),
        &format!("{link}/"),
    ]);
    assert_eq!(form.status, 201, "{form:?}");
    assert_eq!(missing(&sandbox, "1001"), ["screenshot", "config", "<b>notes</b>"]);
    let metadata = |name: &str, choice: &str| {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        format!("Upload-Metadata: filename {},ask {}", encoded(name), encoded(choice))
    };
    let tus = |choice: &str| {
        curl(&[
            "-X",
            "POST",
            "-H",
            "Tus-Resumable: 1.0.0",
            "-H",
            "Upload-Length: 0",
            "-H",
            &metadata("z.bin", choice),
            &format!("{link}/uploads"),
        ])
    };
    assert_eq!(tus(&chosen("config")).status, 201);
    assert_eq!(missing(&sandbox, "1001"), ["screenshot", "<b>notes</b>"]);
    for refused in [tus("first"), curl(&["-T", put.to_str().unwrap(), &format!("{link}/x.bin?ask=first")])] {
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (422, "/problems/bad-fields"),
            "{refused:?}"
        );
    }

    // Support sees what is missing beside the files, and so does whoever escalates.
    let listed = sandbox.wb(&["ls", "--ticket", "1001"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let escalated = post(&format!("{link}/escalate"), &escalation("1001")).json();
    let hints = escalated["hints"].to_string();
    assert!(hints.contains("have not arrived: `screenshot`, `<b>notes</b>`."), "{hints}");
    let id = escalated["id"].as_str().unwrap();
    let shown = printed(&sandbox.wb(&["escalations", id]));
    assert!(shown.contains("asked for and missing: screenshot; <b>notes</b>"), "{shown}");
    comment_with(&sandbox, "1001", "- asked for and missing: `screenshot`, ").await;
    comment_with(&sandbox, "1001", "- Asked for as: `heap dump`").await;

    // A file that was removed is missing again, and what is withdrawn is not.
    let bundle = asks(&sandbox, "1001").into_iter().find(|ask| ask["wanted"] == "support bundle").unwrap();
    assert_eq!(sandbox.wb(&["rm", "--yes", bundle["upload_id"].as_str().unwrap()]).status.code(), Some(0));
    assert_eq!(missing(&sandbox, "1001"), ["support bundle", "screenshot", "<b>notes</b>"]);
    let withdraw = [id_of(&sandbox, "1001", "screenshot"), id_of(&sandbox, "1001", "<b>notes</b>")];
    let withdrawn = sandbox.wb(&["ask", "1001", "--withdraw", &withdraw[0], "--withdraw", &withdraw[1]]);
    assert_eq!(withdrawn.status.code(), Some(0), "{withdrawn:?}");
    assert_eq!(sandbox.wb(&["ask", "1001", "--withdraw", &withdraw[0]]).status.code(), Some(3));
    assert_eq!(sandbox.wb(&["ask", "1001", &"x".repeat(5_000)]).status.code(), Some(2));
    for ticket in ["1003", "4711"] {
        let refused = sandbox.wb(&["ask", ticket, "logs"]);
        assert!(matches!(refused.status.code(), Some(1 | 3)), "{refused:?}");
        assert!(asks(&sandbox, ticket).is_empty());
    }
    sandbox.sent(&link, "support-bundle.tgz.sha256", sha256_line("support-bundle.tgz", b"c").as_bytes());
    sandbox.sent(&link, "support-bundle.tgz", b"c");
    assert_eq!(missing(&sandbox, "1001"), Vec::<String>::new());
    let table = printed(&sandbox.wb(&["ask", "1001"]));
    assert!(
        table.contains("support bundle") && table.contains("arrived") && !table.contains("screenshot"),
        "{table}"
    );
    let audit = printed(&sandbox.wb(&["audit", "--ticket", "1001"]));
    for action in ["ticket.ask", "ticket.withdraw", "ask.arrive"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[tokio::test]
async fn support_asks_in_a_comment_of_the_ticket() {
    let World { gateway: _gateway, sandbox } = World::start();
    let say = async |author: u64, body: &str| {
        let comment = json!({"ticket": {"comment": {"body": body, "public": true, "author_id": author}}});
        sandbox.desk("PUT", "/tickets/1002", Some(comment)).await;
        super::links::told(&sandbox, "1002", &format!("{author} {body}"));
    };
    say(1010, "Please send: more money").await;
    say(9001, "Hello, please see below.\n\nPlease send: database logs; support bundle").await;
    eventually("the comment is read", || (asks(&sandbox, "1002").len() == 2).then_some(()));
    assert_eq!(missing(&sandbox, "1002"), ["database logs", "support bundle"]);
    assert_eq!(asks(&sandbox, "1002")[0]["asked_by"], "desk:9001");
    comment_with(&sandbox, "1002", "- `support bundle`").await;
    super::a_moment().await;
    assert_eq!(asks(&sandbox, "1002").len(), 2, "only support asks");
}
