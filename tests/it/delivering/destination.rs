//! The destination of a file depends on its size alone, at the exact limit, however it was sent.

use tests::{World, comments_naming, curl, eventually_async, noise, object, sha256};

const LIMIT: usize = 20_000_000;

/// Sends these sizes as `partner`; checks receipt, object and what the ticket says. Each has a ticket of its own: a second
/// note on a ticket waits for more files.
async fn check(world: &World, partner: &str, cases: &[(usize, &str)]) {
    for case in cases {
        check_one(world, partner, *case).await;
    }
}

async fn check_one(world: &World, partner: &str, (size, destination): (usize, &str)) {
    let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, partner).await;
    let (bytes, name) = (noise(size, size as u64), format!("{size}.bin"));
    let receipt = world.sandbox.sent(&link, &name, &bytes);
    assert_eq!(receipt["destination"], destination, "{size}");
    assert_eq!(receipt["size"], size);
    assert_eq!(receipt["sha256"], sha256(&bytes));
    assert_eq!((&receipt["ticket"], &receipt["partner"]), (&ticket.as_str().into(), &partner.into()));
    let bucket = world.sandbox.bucket(Some(partner).filter(|partner| *partner == "globex")).await;
    let id = receipt["id"].as_str().unwrap();
    let key = format!("{ticket}/{id}/{name}");
    assert!(object(&bucket, &key).await == bytes, "{key} holds other bytes");
    let comments = eventually_async("the note is on the ticket", async || {
        Some(world.sandbox.comments(&ticket).await).filter(|comments| comments_naming(comments, id) == 1)
    })
    .await;
    assert_eq!(comments[1]["public"], false, "a note is private");
    let attached = world.sandbox.attachments(&ticket).await;
    if destination == "ticket-attachment" {
        assert!(attached == [(name, bytes)], "{size}: attached once, with its bytes");
    } else {
        assert!(attached.is_empty(), "{size} is not attached");
        assert!(comments[1]["body"].as_str().unwrap().contains(&key), "{comments:?}");
    }
    eventually_async("the receipt says so", async || {
        (curl(&[&format!("{link}/uploads/{id}")]).json()["delivery"] == "done").then_some(())
    })
    .await;
}

#[tokio::test]
async fn acme_files_over_20_mb_go_to_the_support_uploader() {
    let cases = [
        (0, "ticket-attachment"),
        (LIMIT - 1, "ticket-attachment"),
        (LIMIT, "ticket-attachment"),
        (LIMIT + 1, "support-uploader"),
    ];
    check(&World::start(), "acme", &cases).await;
}

#[tokio::test]
async fn globex_files_over_20_mb_go_to_its_own_bucket() {
    let cases = [
        (LIMIT + 1, "partner-bucket"),
        (LIMIT, "ticket-attachment"),
        (LIMIT - 1, "ticket-attachment"),
        (0, "ticket-attachment"),
    ];
    check(&World::start(), "globex", &cases).await;
}

#[tokio::test]
async fn limit_is_configurable() {
    let world = World::with(&["ticket_attachment_bytes = 10"]);
    check(&world, "globex", &[(10, "ticket-attachment"), (11, "partner-bucket")]).await;
    check(&world, "acme", &[(11, "support-uploader"), (10, "ticket-attachment")]).await;
    let world = World::with(&["ticket_attachment_bytes = 0"]);
    check(&world, "acme", &[(1, "support-uploader"), (0, "ticket-attachment")]).await;
}
