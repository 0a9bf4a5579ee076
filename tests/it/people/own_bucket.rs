//! A partner puts files into its own bucket with its own tools.

use serde_json::{Value, json};
use tests::{World, eventually, objects, printed, put_by_hand, sha256};

use super::comment_with;

const BYTES: &[u8] = b"put by the partner's own tools";

#[tokio::test]
async fn files_in_a_partners_own_bucket_are_noted_on_their_ticket_and_read() {
    let World { mut gateway, sandbox } = World::with(&["watch_buckets_every = \"1s\""]);
    let own = sandbox.bucket(Some("globex")).await;
    put_by_hand(&own, "2001/core dump.bin", BYTES).await;
    put_by_hand(&own, "backups/monday.tar", BYTES).await;
    let before = objects(&own).await;
    let listed = |key: &str| -> Value {
        let lines = sandbox.wb(&["--json", "partner", "globex", "--objects"]).stdout;
        let lines = String::from_utf8(lines).unwrap();
        let mut found = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        found.find(|object| object["key"] == key).unwrap()
    };
    comment_with(&sandbox, "2001", "2001/core dump.bin`, 30 bytes").await;
    let read = eventually("it is read", || {
        let object = listed("2001/core dump.bin");
        (object["unverified"] == false).then_some(object)
    });
    assert_eq!((&read["sha256"], read["upload_id"].is_null()), (&json!(sha256(BYTES)), true));

    // Others only when support asks. A restart repeats nothing.
    assert_eq!(listed("backups/monday.tar")["unverified"], true);
    gateway.kill();
    gateway.restart();
    let asked = sandbox.wb(&["verify", "--partner", "globex", "--object", "backups/monday.tar"]);
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    let line = printed(&asked);
    assert!(line.contains("backups/monday.tar") && line.contains(&sha256(BYTES)), "{line}");
    assert_eq!(listed("backups/monday.tar")["unverified"], false);
    let missing = sandbox.wb(&["verify", "--partner", "globex", "--object", "backups/tuesday.tar"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    put_by_hand(&own, "2001/later.log", BYTES).await;
    comment_with(&sandbox, "2001", "2001/later.log").await;
    let comments = sandbox.comments("2001").await;
    let about =
        |part: &str| comments.iter().filter(|one| one["body"].as_str().unwrap().contains(part)).count();
    assert_eq!((about("core dump.bin"), about("later.log"), about("monday.tar")), (1, 1, 0));
    assert!(
        comments.iter().all(|one| one["public"] == false || !one["body"].as_str().unwrap().contains("s3://"))
    );
    let after = objects(&own).await;
    assert!(
        before.iter().all(|key| after.contains(key)),
        "nothing of theirs is changed: {before:?} {after:?}"
    );
    let shown = printed(&sandbox.wb(&["audit", "--partner", "globex"]));
    for action in ["object.want", "object.verify"] {
        assert!(shown.contains(action), "{shown}");
    }
}
