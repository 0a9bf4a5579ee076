//! A bucket with very many objects: listed page by page, without a request for each.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use crate::store::{BUCKET, PREFIX, Store, id, put};

/// With their receipts 3,000 objects in the bucket, three pages. The embedded store flushes each to disk, so more take
/// their time: `WB_TEST_OBJECTS=20000`.
const OBJECTS: u32 = 1_800;
const PUTS_IN_FLIGHT: usize = 16;

fn fill(store: &Store, objects: u32) {
    let permits = Arc::new(Semaphore::new(PUTS_IN_FLIGHT));
    store.runtime.block_on(async {
        let puts = stream::iter(0..objects).map(|number| {
            let (bucket, permits) = (store.bucket.clone(), Arc::clone(&permits));
            // Two uploads in three have a receipt, so that pages end everywhere in an upload.
            let key = format!("{PREFIX}{}/{}/a.log", 1_000 + number % 7, id(number));
            tokio::spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                put(&bucket, &key, Vec::new(), &Bytes::from_static(b"x")).await;
                if number % 3 != 0 {
                    put(&bucket, &format!("{key}.receipt.json"), Vec::new(), &Bytes::from_static(b"{}"))
                        .await;
                }
            })
        });
        puts.buffer_unordered(10 * PUTS_IN_FLIGHT).for_each(async |done| done.unwrap()).await;
    });
}

#[test]
fn thousands_of_objects_are_listed_and_one_is_found() {
    let objects = std::env::var("WB_TEST_OBJECTS").map_or(OBJECTS, |number| number.parse().unwrap());
    let store = Store::new();
    fill(&store, objects);
    store.clear_faults();
    let listed = store.wb(&["--json", "ls"]).ends(0).objects();
    assert_eq!(listed.len(), usize::try_from(objects).unwrap());
    let unverified = listed.iter().filter(|object| object["unverified"] == true).count();
    assert_eq!(unverified, usize::try_from(objects.div_ceil(3)).unwrap());
    let stored = u64::from(objects) + u64::from(objects - objects.div_ceil(3));
    let pages = stored.div_ceil(1_000);
    assert_eq!((store.calls("ListObjectsV2"), store.calls("GetObject")), (pages, 0));

    let table = store.wb(&["ls"]).ends(0).text();
    assert_eq!(table.lines().count(), listed.len() + 1);
    let columns = |line: &str| line.split_whitespace().count();
    assert!(table.lines().skip(1).all(|line| columns(line) == columns("ID N 1 B T P D D R")), "{table}");

    store.clear_faults();
    let last = id(objects - 1);
    let found = store.wb(&["verify", "--json", &last]).ends(0).objects().remove(0);
    assert_eq!(found["id"], last.as_str());
    assert!(
        store.calls("ListObjectsV2") <= pages && store.calls("GetObject") == 2,
        "one pass, one receipt, one object"
    );
    assert!(
        found["key"].as_str().is_some_and(|key| store.bucket.name() == BUCKET && key.starts_with(PREFIX))
    );
}
