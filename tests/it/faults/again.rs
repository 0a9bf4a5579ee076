//! A sender that goes on as soon as it is told to, with the same gateway: nothing that failed before keeps it waiting, and
//! nothing that was acknowledged is taken back.

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
