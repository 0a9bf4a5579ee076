//! A sender that goes on as soon as it is told to, with the same gateway: nothing that failed before keeps it waiting, and
//! nothing that was acknowledged is taken back.

use serde_json::json;
use tests::{Fate, Moment, curl, noise, side_by_side};

use super::{Setting, full, full_for, losses, lost};

#[test]
fn a_part_that_is_lost_while_later_ones_land_is_sent_again_at_once() {
    side_by_side(5, &losses(false), lost);
}

#[test]
fn a_store_that_was_full_takes_the_rest_at_once() {
    side_by_side(4, &full_for("UploadPart", false), full);
}

/// The whole file fits in one object, its first bytes are acknowledged, and that object cannot be put.
#[tokio::test]
async fn a_last_object_that_cannot_be_put_does_not_take_back_what_was_acknowledged() {
    let setting = Setting::start();
    let bytes = noise(3_000_000, 16);
    let own = setting.create("small.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..1_000_000);
    setting.between.decide(|call, moment| {
        let put = call.operation == "PutObject" && moment == Moment::Arrived;
        if put { Fate::Refuse(503, "SlowDown") } else { Fate::Pass }
    });
    let answer = setting.sandbox.go_on(&own, &bytes, 1_000_000);
    assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
    setting.between.mend();
    let offset = curl(&["-I", &own]).offset();
    assert!(offset >= 1_000_000, "an acknowledged offset went back");
    let done = setting.sandbox.go_on(&own, &bytes, offset);
    setting.arrived(&done, &bytes).await;
}

/// A client whose patience ended sends the last bytes once more, while they are being stored: they arrive, and it is told so.
#[tokio::test]
async fn a_second_try_while_the_last_part_is_stored_has_the_receipt() {
    let setting = Setting::start();
    let bytes = noise(20_000_000, 17);
    let own = setting.create("patient.bin", bytes.len());
    setting.cut_off(&own, &bytes, 0..17_000_000);
    let slow =
        json!({"service": "s3", "operation": "UploadPart", "fault": "delay", "delay_ms": 1_500, "times": 1});
    setting.sandbox.fault(slow).await;
    let [first, second] = std::thread::scope(|threads| {
        let first = threads.spawn(|| setting.sandbox.go_on(&own, &bytes, 17_000_000));
        tests::eventually("it is on its way", || {
            let arrived = setting.between.calls(Moment::Arrived);
            arrived.iter().any(|call| call.part() == 3).then_some(())
        });
        let second = threads.spawn(|| setting.sandbox.go_on(&own, &bytes, 17_000_000));
        [first.join().unwrap(), second.join().unwrap()]
    });
    for answer in [&first, &second] {
        setting.arrived(answer, &bytes).await;
    }
}
