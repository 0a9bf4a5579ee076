//! Listings as the SDK pages through them.

use crate::{BUCKET, TestStore};

#[tokio::test]
async fn pages_with_prefix_and_delimiter() {
    let world = TestStore::start().await;
    for key in
        ["1001/a/x.log", "1001/a/x.log.receipt.json", "1001/b/y.log", "1001/top", "2001/c/z.log", "other"]
    {
        world.put(key, b"12").await;
    }
    let mut found = Vec::new();
    let call = world.client.list_objects_v2().bucket(BUCKET).prefix("1001/").delimiter("/").max_keys(1);
    let mut pages = call.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert_eq!(page.key_count(), Some(1));
        found.extend(page.common_prefixes().iter().map(|common| common.prefix().unwrap().to_owned()));
        found.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    assert_eq!(found, ["1001/a/", "1001/b/", "1001/top"]);

    let after = world.client.list_objects_v2().bucket(BUCKET).start_after("1001/top").send().await.unwrap();
    let keys: Vec<_> = after.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(keys, ["2001/c/z.log", "other"]);
    assert_eq!(after.contents()[0].size(), Some(2));
    let wrong = world.client.list_objects_v2().bucket(BUCKET).continuation_token("?").send().await;
    assert_eq!(crate::code(&wrong.unwrap_err()), "InvalidArgument");
}
