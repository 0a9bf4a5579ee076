//! The test harness itself: a file goes in and comes back.

use tests::{Sandbox, curl, eventually_async, objects, sha256};

#[tokio::test]
async fn file_goes_in_and_support_gets_it() {
    let sandbox = Sandbox::start();
    let _gateway = sandbox.gateway();
    let path = sandbox.scratch().join("a b.log");
    std::fs::write(&path, b"hello").unwrap();
    let answer = curl(&["-T", path.to_str().unwrap(), &format!("{}/", sandbox.link("acme"))]);
    assert_eq!(answer.status, 201, "{answer:?}");
    let receipt = answer.json();
    assert_eq!(receipt["sha256"], sha256(b"hello"));
    let id = receipt["id"].as_str().unwrap();
    let bucket = sandbox.bucket(None).await;
    assert!(objects(&bucket).await.contains(&format!("1001/{id}/a b.log")));
    eventually_async("the note is on the ticket", async || {
        let comments = sandbox.comments("1001").await;
        (tests::comments_naming(&comments, id) == 1).then_some(())
    })
    .await;
}
