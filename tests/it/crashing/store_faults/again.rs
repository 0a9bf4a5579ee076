//! A sender that resumes as soon as it is told to, with the same gateway: earlier failures do not delay it, and nothing
//! acknowledged is lost.

use serde_json::json;
use tests::{Fate, Moment, curl, noise, side_by_side};

use super::{Setting, full, full_for, losses, lost};

#[test]
fn lost_part_is_resent_at_once() {
    side_by_side(5, &losses(false), lost);
}

#[test]
fn full_store_accepts_the_rest_once_it_has_room() {
    side_by_side(4, &full_for("UploadPart", false), full);
}

/// The whole file fits in one object, its first bytes are acknowledged, and that object cannot be put.
#[tokio::test]
async fn failed_last_put_keeps_acknowledged_bytes() {
    let setting = Setting::start();
    let bytes = noise(3_000_000, 16);
    let own = setting.create("small.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..1_000_000);
    setting.store_proxy.decide(|call, moment| {
        let put = call.operation == "PutObject" && moment == Moment::Arrived;
        if put { Fate::Refuse(503, "SlowDown") } else { Fate::Pass }
    });
    let answer = setting.sandbox.resume(&own, &bytes, 1_000_000);
    assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
    setting.store_proxy.pass_all();
    let offset = curl(&["-I", &own]).offset();
    assert!(offset >= 1_000_000, "an acknowledged offset went back");
    let done = setting.sandbox.resume(&own, &bytes, offset);
    setting.arrived(&done, &bytes).await;
}

/// A client sends the last bytes again while they are being stored: the file is complete, and the client gets the receipt.
#[tokio::test]
async fn retry_during_the_last_part_gets_the_receipt() {
    let setting = Setting::start();
    let bytes = noise(20_000_000, 17);
    let own = setting.create("patient.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..17_000_000);
    let slow =
        json!({"service": "s3", "operation": "UploadPart", "fault": "delay", "delay_ms": 1_500, "times": 1});
    setting.sandbox.fault(slow).await;
    let [first, second] = std::thread::scope(|threads| {
        let first = threads.spawn(|| setting.sandbox.resume(&own, &bytes, 17_000_000));
        tests::eventually("it is on its way", || {
            let arrived = setting.store_proxy.calls(Moment::Arrived);
            arrived.iter().any(|call| call.part() == 3).then_some(())
        });
        let second = threads.spawn(|| setting.sandbox.resume(&own, &bytes, 17_000_000));
        [first.join().unwrap(), second.join().unwrap()]
    });
    for answer in [&first, &second] {
        setting.arrived(answer, &bytes).await;
    }
}
