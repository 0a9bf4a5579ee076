//! Where a file belongs: by its size alone, at the exact limit, whatever the way it came.

use serde_json::Value;
use tests::{World, comments_naming, curl, eventually_async, noise, object, sha256};

const LIMIT: usize = 20_000_000;

/// Sends these sizes as `partner`; checks receipt, object and what the ticket says.
async fn check(world: &World, partner: &str, ticket: &str, cases: &[(usize, &str)]) {
    let mut receipts = Vec::new();
    for (size, destination) in cases {
        let bytes = noise(*size, *size as u64);
        let receipt = world.sandbox.sent(&world.link(partner), &format!("{size}.bin"), &bytes);
        assert_eq!(receipt["destination"], *destination, "{size}");
        assert_eq!(receipt["size"], *size);
        assert_eq!(receipt["sha256"], sha256(&bytes));
        assert_eq!((&receipt["ticket"], &receipt["partner"]), (&ticket.into(), &partner.into()));
        let bucket = world.sandbox.bucket(Some(partner).filter(|partner| *partner == "globex")).await;
        let key = format!("{ticket}/{}/{size}.bin", receipt["id"].as_str().unwrap());
        assert!(object(&bucket, &key).await == bytes, "{key} holds other bytes");
        receipts.push(receipt);
    }
    eventually_async("the ticket is told of every file", async || {
        let comments = world.sandbox.comments(ticket).await;
        let told = |receipt: &Value| comments_naming(&comments, receipt["id"].as_str().unwrap()) == 1;
        receipts.iter().all(told).then_some(())
    })
    .await;
    let attached = world.sandbox.attachments(ticket).await;
    let comments = world.sandbox.comments(ticket).await;
    for (receipt, (size, destination)) in receipts.iter().zip(cases) {
        let (id, name) = (receipt["id"].as_str().unwrap(), format!("{size}.bin"));
        let here: Vec<_> = attached.iter().filter(|(attached, _)| *attached == name).collect();
        if *destination == "ticket-attachment" {
            assert_eq!(here.len(), 1, "{name} is attached once");
            assert_eq!(sha256(&here[0].1), receipt["sha256"].as_str().unwrap(), "{name}");
        } else {
            assert_eq!(here.len(), 0, "{name} is not attached");
            let object = format!("{ticket}/{id}/{name}");
            assert!(comments.iter().any(|comment| comment["body"].as_str().unwrap().contains(&object)), "{object}");
        }
        let now = curl(&[&format!("{}/uploads/{id}", world.link(partner))]).json();
        assert_eq!(now["delivery"], "done", "{now}");
    }
    assert!(comments.iter().skip(1).all(|comment| comment["public"] == false), "a note is private");
}

#[tokio::test]
async fn up_to_20_000_000_bytes_a_file_of_acme_is_attached_and_a_larger_one_rests_in_the_support_uploader() {
    let cases = [
        (0, "ticket-attachment"),
        (LIMIT - 1, "ticket-attachment"),
        (LIMIT, "ticket-attachment"),
        (LIMIT + 1, "support-uploader"),
    ];
    check(&World::start(), "acme", "1001", &cases).await;
}

#[tokio::test]
async fn up_to_20_000_000_bytes_a_file_of_globex_is_attached_and_a_larger_one_rests_in_its_own_bucket() {
    let cases = [
        (LIMIT + 1, "partner-bucket"),
        (LIMIT, "ticket-attachment"),
        (LIMIT - 1, "ticket-attachment"),
        (0, "ticket-attachment"),
    ];
    check(&World::start(), "globex", "2001", &cases).await;
}

#[tokio::test]
async fn the_limit_is_the_configured_one() {
    let world = World::with(&["ticket_attachment_bytes = 10"]);
    check(&world, "globex", "2001", &[(10, "ticket-attachment"), (11, "partner-bucket")]).await;
    check(&world, "acme", "1001", &[(11, "support-uploader"), (10, "ticket-attachment")]).await;
}

#[tokio::test]
async fn a_limit_of_zero_attaches_nothing_but_empty_files() {
    let world = World::with(&["ticket_attachment_bytes = 0"]);
    check(&world, "acme", "1001", &[(1, "support-uploader"), (0, "ticket-attachment")]).await;
}
