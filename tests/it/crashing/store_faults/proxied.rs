//! A proxy in front of the store answers for it while the store is down. Such answers prove nothing: acknowledged bytes stay,
//! and deletions are retried later.

use serde_json::json;
use tests::{ask, curl, noise};

use super::{Setting, assert_resumable};

/// What a proxy without a backend says, `times` times.
async fn answers_for_the_store(setting: &Setting, operation: &str, times: u64) {
    let rule = json!({
        "service": "s3", "operation": operation, "times": times, "fault": "status", "status": 404,
        "body": "404 page not found\n",
    });
    setting.sandbox.fault(rule).await;
}

#[tokio::test]
async fn acknowledged_bytes_survive_proxy_errors() {
    let setting = Setting::start();
    let bytes = noise(30_000_000, 17);
    let own = setting.create("proxied.bin", bytes.len());
    // Two parts, and a tail.
    setting.cut_off(&own, &bytes, 0..20_000_000);
    for operation in ["GetObject", "UploadPart"] {
        answers_for_the_store(&setting, operation, 0).await;
        let answer = setting.sandbox.resume(&own, &bytes, 20_000_000);
        assert_eq!(assert_resumable(&answer), 20_000_000, "{operation}");
        setting.sandbox.clear_faults().await;
        assert_eq!(curl(&["-I", &own]).offset(), 20_000_000, "{operation}");
    }
    // One byte of the tail is damaged on its way back, and the end of the file is not found at first.
    setting.sandbox.fault(json!({"service": "s3", "operation": "GetObject", "fault": "corrupt"})).await;
    for operation in ["CompleteMultipartUpload", "HeadObject"] {
        answers_for_the_store(&setting, operation, 1).await;
    }
    let done = setting.sandbox.resume(&own, &bytes, 20_000_000);
    setting.sandbox.fault_hit(1).await;
    setting.sandbox.clear_faults().await;
    setting.arrived(&done, &bytes).await;
}

#[tokio::test]
async fn proxy_404_does_not_count_as_removed() {
    let setting = Setting::start();
    let own = setting.create("cancelled.bin", 30_000_000);
    setting.cut_off(&own, &noise(30_000_000, 18), 0..20_000_000);
    for operation in ["AbortMultipartUpload", "DeleteObject"] {
        answers_for_the_store(&setting, operation, 0).await;
    }
    assert_eq!(ask("DELETE", &own, &[], b"").status, 204);
    let swept = setting.gateway.admin(&["sweep"]);
    let said = String::from_utf8_lossy(&swept.stderr);
    assert!(!swept.status.success() && said.contains("no S3 error code"), "{said}");
    assert!(!setting.sandbox.bucket(None).await.multiparts("").await.unwrap().is_empty());
    setting.sandbox.clear_faults().await;
    setting.sandbox.holds_only(&setting.gateway, &[]).await;
}
