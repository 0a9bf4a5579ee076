//! Files that are compared with the MD5 of a side file after they are stored.

use std::time::{Duration, Instant};

use bucket::Bucket;
use ledger::{JobKind, SideFileRecord, Upload};
use serde_json::json;

use crate::world::World;

/// Of `a.log`, the content of the file.
const MD5: &str = "c9389dbd5e559a2c063087f2f4f7021c";

/// A stored file, and a side file that came later with this MD5.
async fn waiting(world: &World, digest: &str) -> Upload {
    let id = world.small("1001", "a.log").await;
    let upload = world.settle(&id).await;
    let side = SideFileRecord::Waits { upload_id: &id, digest };
    world.ledger.settle_again(&id, &id, None, Some(&side)).await.unwrap();
    upload
}

/// The upload after its comparison has ended.
async fn compared(world: &World, upload: &Upload) -> Upload {
    let began = Instant::now();
    while world.ledger.has_job(JobKind::Compare, &upload.id).await.unwrap() {
        world.delivery.pass().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(60), "the comparison never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.delivery.pass().await.unwrap();
    world.ledger.upload(&upload.id).await.unwrap()
}

fn bucket<'a>(world: &'a World, upload: &Upload) -> &'a Bucket {
    world.buckets.named(&upload.bucket).unwrap()
}

#[tokio::test]
async fn comparison_is_tried_until_the_bucket_answers() {
    let wrong = "0".repeat(32);
    for digest in [MD5, &wrong] {
        let world = World::new().await;
        world.fault(
            json!({"service": "s3", "operation": "GetObject", "times": 2, "fault": "status", "status": 503}),
        );
        let upload = compared(&world, &waiting(&world, digest).await).await;
        assert_eq!(upload.md5.as_deref(), Some(MD5));
        let (checked, mismatch, comments) =
            if digest == MD5 { (2, None, 1) } else { (1, Some(format!("md5 {wrong} {MD5}")), 2) };
        assert_eq!((upload.checked.len(), upload.mismatch.clone()), (checked, mismatch), "{digest}");
        assert_eq!(world.notes("1001").await.len(), comments, "{digest}");
    }
}

#[tokio::test]
async fn comparison_with_a_deleted_file_is_given_up() {
    let world = World::new().await;
    let upload = waiting(&world, MD5).await;
    bucket(&world, &upload).delete(&upload.object_key).await.unwrap();
    let upload = compared(&world, &upload).await;
    assert_eq!((upload.md5, upload.checked.len(), upload.mismatch), (None, 1, None));
}
