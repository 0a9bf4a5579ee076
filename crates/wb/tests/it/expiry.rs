//! A presigned URL that expires in the middle of a download, at the embedded S3 server, which checks signature and time.

use std::time::Duration;

use bucket::Bucket;
use serde_json::json;

use crate::fake::{self, LARGE, Place};
use crate::store::Store;
use crate::{Setup, read};

/// Long enough to be used once on a loaded machine.
const EXPIRES_IN: Duration = Duration::from_secs(3);

#[test]
fn a_url_that_expires_during_the_download_is_replaced() {
    let (setup, store) = (Setup::new(), Store::new());
    let content = fake::bytes(LARGE);
    setup.fake.upload("01LARGE", "dump.bin", "1001", content.clone());
    store.put("in/dump.bin", Vec::new(), &content);
    let bucket = store.runtime.block_on(Bucket::new(store.config(Some(store.access.endpoint.clone()))));
    let presign =
        |expires_in| store.runtime.block_on(bucket.presign("in/dump.bin", "attachment", expires_in)).unwrap();
    setup.fake.state().locations.extend([presign(EXPIRES_IN), presign(Duration::from_secs(300))]);
    // The first range is read in time and answered when the URL is no longer good.
    let delay_ms = u64::try_from(EXPIRES_IN.as_millis()).unwrap() + 1_500;
    store.fault(json!({"service": "s3", "operation": "GetObject", "fault": "delay", "when": "after", "delay_ms": delay_ms}));
    setup.wb(&["get", "01LARGE", "--parallel", "1"]).ends(0);
    assert!(read(setup.path("dump.bin")) == content);
    let asked =
        setup.fake.seen(Place::Gateway).iter().filter(|seen| seen.target.ends_with("/content")).count();
    assert_eq!(asked, 2, "once at the beginning, once when the URL had expired");
    assert_eq!(store.calls("GetObject"), 4, "three ranges, and the one that was refused");
}
