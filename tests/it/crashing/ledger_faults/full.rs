//! A full disk under the ledger: nothing acknowledged is lost, and the sender is told when to retry.

use std::process::Command;

use tests::{Gateway, Sandbox, curl, eventually, noise};

use super::{Setting, is_unavailable};

/// No file of the gateway may grow, so writes to its ledger fail as on a full disk.
fn limit(gateway: &Gateway, bytes: &str) {
    let limited = Command::new("prlimit")
        .args([format!("--pid={}", gateway.pid()), format!("--fsize={bytes}:unlimited")])
        .status();
    assert!(limited.unwrap().success());
}

#[tokio::test]
async fn full_disk_keeps_acknowledged_bytes() {
    let sandbox = Sandbox::start_with_file();
    let gateway = sandbox.gateway_that_outlives_full_disks();
    let setting = Setting { gateway, sandbox };
    let bytes = noise(30_000_000, 34);
    let own = setting.begin("full.bin", &bytes, 10_000_000);
    limit(&setting.gateway, "1");
    let answer = setting.sandbox.resume(&own, &bytes, 10_000_000);
    is_unavailable(&answer);
    let created = setting.sandbox.send(&setting.sandbox.link("acme"), "new.bin", b"new");
    is_unavailable(&created);
    assert_eq!(curl(&["-I", &own]).offset(), 10_000_000);
    // Readiness reports it, at either address, and that a restart would not help.
    let operations = setting.sandbox.text("/metrics").replace("/metrics", "");
    let addresses = [&setting.gateway.url, &operations];
    for address in addresses {
        let answer = eventually("it is not ready", || {
            Some(curl(&[&format!("{address}/readyz")])).filter(|answer| answer.status == 503)
        });
        assert_eq!(answer.body, "the ledger cannot be written\n");
        assert_eq!(curl(&[&format!("{address}/healthz")]).status, 200);
    }
    limit(&setting.gateway, "unlimited");
    for address in addresses {
        eventually("it is ready again", || {
            (curl(&[&format!("{address}/readyz")]).status == 200).then_some(())
        });
    }
    let receipt = setting.finish(&own, &bytes, 10_000_000).await;
    setting.sandbox.holds_only(&setting.gateway, &[&receipt]).await;
}
