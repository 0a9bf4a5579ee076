//! One partner's link meets another partner's tickets, uploads, links, case numbers and escalations on every route: the answer is
//! the one for things that do not exist, in status, headers, body and the class of its time.

use serde_json::json;
use tests::{Answer, World, curl};

use super::{escalation, opened, partner_link, post};

/// An answer without what differs from request to request, and with the things that the request named replaced.
fn normal(answer: &Answer, named: &[&str]) -> String {
    let mut answer = answer.json();
    answer.as_object_mut().unwrap().remove("request_id");
    let mut text = answer.to_string();
    for name in named {
        text = text.replace(name, "NAMED");
    }
    text
}

fn headers(answer: &Answer, named: &[&str]) -> Vec<String> {
    let changing = ["date", "x-request-id", "content-length"];
    let lines = answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str()));
    lines
        .map(|(name, value)| {
            named.iter().fold(format!("{name}: {value}"), |line, name| line.replace(name, "NAMED"))
        })
        .collect()
}

#[tokio::test]
async fn things_of_another_partner_do_not_exist() {
    let World { gateway: _gateway, sandbox } = World::start();
    let ours = partner_link(&sandbox, "globex");
    let bound = sandbox.link("globex");
    // What acme has.
    let ticket = opened(&sandbox, &json!({"case_number": "CASE-42"}));
    let theirs = ticket["ticket"].as_str().unwrap();
    let upload = sandbox.sent(&sandbox.link("acme"), "a.log", b"a")["id"].as_str().unwrap().to_owned();
    let escalated = post(&format!("{}/escalate", sandbox.link("acme")), &escalation("1001"));
    let escalated = escalated.json()["id"].as_str().unwrap().to_owned();
    let (none, none_id) = ("987654", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let file = sandbox.file("isolation", "a.log", b"a");
    let file = file.to_str().unwrap();
    let tus = ["-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 1"];

    // Each with something of theirs, and with something that does not exist.
    type Ask<'a> = Box<dyn Fn(&str) -> Answer + 'a>;
    let mut cases: Vec<(&str, [&str; 2], Ask<'_>)> = Vec::new();
    for (what, link) in [("standing", &ours), ("bound", &bound)] {
        let is_bound = what == "bound";
        cases.extend::<Vec<(&str, [&str; 2], Ask<'_>)>>(vec![
            (
                "put",
                [theirs, none],
                Box::new(move |ticket| curl(&["-T", file, &format!("{link}/a.log?ticket={ticket}")])),
            ),
            (
                "form",
                [theirs, none],
                Box::new(move |ticket| {
                    curl(&["-F", &format!("ticket={ticket}"), "-F", &format!("f=@{file}"), link])
                }),
            ),
            (
                "tus",
                [theirs, none],
                Box::new(move |ticket| {
                    curl(&[&["-X", "POST"][..], &tus, &[&format!("{link}/uploads?ticket={ticket}")]].concat())
                }),
            ),
            (
                "link",
                [theirs, none],
                Box::new(move |ticket| curl(&["-X", "POST", &format!("{link}/tickets/{ticket}/link")])),
            ),
            (
                "escalate a ticket",
                [theirs, none],
                Box::new(move |ticket| post(&format!("{link}/escalate"), &escalation(ticket))),
            ),
            (
                "escalate a case",
                ["CASE-42", "CASE-43"],
                Box::new(move |case| post(&format!("{link}/escalate"), &escalation(case))),
            ),
            (
                "escalate a subject",
                ["T1001", "T1009"],
                Box::new(move |case| post(&format!("{link}/escalate"), &escalation(case))),
            ),
            (
                "escalation",
                [&escalated, none_id],
                Box::new(move |id| curl(&[&format!("{link}/escalations/{id}")])),
            ),
            ("receipt", [&upload, none_id], Box::new(move |id| curl(&[&format!("{link}/uploads/{id}")]))),
            (
                "resume",
                [&upload, none_id],
                Box::new(move |id| {
                    curl(&["-X", "PUT", "-H", "Upload-Offset: 0", "-d", "x", &format!("{link}/uploads/{id}")])
                }),
            ),
            (
                "cancel",
                [&upload, none_id],
                Box::new(move |id| curl(&["-X", "DELETE", &format!("{link}/uploads/{id}")])),
            ),
        ]);
        assert!(is_bound || cases.len() == 11);
    }
    for (what, named, ask) in &cases {
        let [theirs, none] = named.map(|name| (ask(name), name));
        assert!(theirs.0.status == 404 || theirs.0.status == 403, "{what}: {theirs:?}");
        let of = |(answer, name): &(Answer, &str)| {
            (answer.status, headers(answer, &[name]), normal(answer, &[name]))
        };
        assert_eq!(of(&theirs), of(&none), "{what}");
    }
    // A contact of theirs is not arranged here, like one that does not exist.
    let open = |contact: &str| {
        let fields = super::with(&json!({"contact": contact}));
        post(&format!("{ours}/tickets"), &fields)
    };
    let [theirs, none] = ["support@acme.example", "nobody@acme.example"].map(open);
    assert_eq!((theirs.status, normal(&theirs, &[])), (403, normal(&none, &[])));
}

/// The class of the time: the same calls to the desk. The clock is too coarse on a busy machine.
#[tokio::test]
async fn a_ticket_of_another_partner_takes_as_long_as_none() {
    let World { gateway: _gateway, sandbox } = World::start();
    let theirs = opened(&sandbox, &json!({}))["ticket"].as_str().unwrap().to_owned();
    let url = format!("{}/escalate", partner_link(&sandbox, "globex"));
    let calls = async |ticket: &str| {
        sandbox.clear_faults().await;
        let answer = post(&url, &escalation(ticket));
        assert_eq!(answer.status, 404, "{answer:?}");
        sandbox.faults().await["calls"]["desk"].clone()
    };
    let (of_theirs, of_none) = (calls(&theirs).await, calls("987654").await);
    assert_eq!(of_theirs, of_none, "the same calls to the desk");
}
