//! No room for the ledger: nothing that was acknowledged is lost, and the sender is told when to come back.

use std::process::Command;

use tests::{Gateway, Sandbox, curl, noise};

use super::{Setting, is_unavailable};

/// No file of the gateway may grow: what its ledger writes is refused as a disk that is full refuses it.
fn limit(gateway: &Gateway, bytes: &str) {
    let limited = Command::new("prlimit")
        .args([format!("--pid={}", gateway.pid()), format!("--fsize={bytes}:unlimited")])
        .status();
    assert!(limited.unwrap().success());
}

#[tokio::test]
async fn a_ledger_without_room_keeps_what_was_acknowledged_and_goes_on_when_there_is_some() {
    let sandbox = Sandbox::start_with_file();
    let gateway = sandbox.gateway_that_outlives_full_disks();
    let setting = Setting { gateway, sandbox };
    let bytes = noise(30_000_000, 34);
    let own = setting.begin("full.bin", &bytes, 10_000_000);
    limit(&setting.gateway, "1");
    let answer = setting.sandbox.go_on(&own, &bytes, 10_000_000);
    is_unavailable(&answer);
    let created = setting.sandbox.send(&setting.sandbox.link("acme"), "new.bin", b"new");
    is_unavailable(&created);
    assert_eq!(curl(&["-I", &own]).offset(), 10_000_000);
    limit(&setting.gateway, "unlimited");
    let receipt = setting.finish(&own, &bytes, 10_000_000).await;
    setting.sandbox.holds_only(&setting.gateway, &[&receipt]).await;
}
