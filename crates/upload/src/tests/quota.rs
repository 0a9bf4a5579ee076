//! How much unfinished data a link may hold, and what happens when the link is revoked during an upload.

use super::*;
use crate::End;

/// The engine with a link that may hold this many unfinished bytes.
async fn narrow(world: &World, bytes: usize) -> Engine {
    let new = NewLink {
        partner_id: "acme".into(),
        max_unfinished_bytes: i64::try_from(bytes).ok(),
        created_by: "operator".into(),
        ..NewLink::default()
    };
    let link = world.ledger.create_link(&Token::random(), &new).await.unwrap();
    Engine { link, ..world.engine.clone() }
}

fn too_much<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::TooMuchUnfinished { .. }))
}

/// An append of unknown length that is sent step by step.
async fn sending(engine: &Engine) -> (Upload, Sender, tokio::task::JoinHandle<Result<Upload>>) {
    let upload = engine.create("a.bin", None).await.unwrap();
    let (sender, body) = Sender::new();
    let (engine, id) = (engine.clone(), upload.id.clone());
    let append = tokio::spawn(async move { engine.uploads.append(&id, &engine.begin(), body).await });
    (upload, sender, append)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_lengths_count_before_the_first_byte() {
    let world = World::start().await;
    let link = narrow(&world, 10 * MIB).await;
    assert_eq!(link.uploads.max_bytes(&link.link), 10 * MIB as u64, "a larger file could never be sent");
    let large = link.create("a.bin", Some(10 * MIB as u64 + 1)).await;
    assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");
    let held = link.create("held.bin", Some(8 * MIB as u64)).await.unwrap();
    assert!(too_much(&link.create("b.bin", Some(2 * MIB as u64 + 1)).await));
    link.uploads.has_room(&link.link).await.unwrap();
    let fits = link.create("c.bin", Some(2 * MIB as u64)).await.unwrap();
    assert!(too_much(&link.create("d.bin", None).await));
    assert!(too_much(&link.uploads.has_room(&link.link).await));
    // Another link of the same partner is not affected.
    world.send("e.bin", &pattern(SMALL, 1)).await.unwrap();
    // Complete uploads do not count, nor do cancelled ones.
    let sent = pattern(2 * MIB, 2);
    let append = Append { length: Some(sent.len() as u64), ..link.begin() };
    link.uploads.append(&fits.id, &append, frames(&sent)).await.unwrap();
    link.send("f.bin", &pattern(2 * MIB, 3)).await.unwrap();
    link.uploads.cancel(&held.id, "operator", "").await.unwrap();
    link.send("g.bin", &pattern(10 * MIB, 4)).await.unwrap();
}

/// Two uploads of unknown length grow side by side. The one that would exceed the quota is cancelled, the other arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_length_is_counted_as_it_grows() {
    let world = World::start().await;
    let link = narrow(&world, 24 * MIB).await;
    let (first, first_sender, first_append) = sending(&link).await;
    first_sender.send(&pattern(18 * MIB, 1));
    until("two parts are durable", async || world.offset_of(&first.id).await == 16 * MIB).await;
    let (second, second_sender, second_append) = sending(&link).await;
    second_sender.send(&pattern(8 * MIB + 1, 2));
    let refused = soon(second_append).await.unwrap();
    assert!(too_much(&refused), "{refused:?}");
    assert!(matches!(link.uploads.status(&link.link.id, &second.id).await, Err(Error::Gone)));
    first_sender.send(&pattern(MIB, 3));
    drop(first_sender);
    let arrived = soon(first_append).await.unwrap().unwrap();
    world.assert_stored(&arrived, &[pattern(18 * MIB, 1), pattern(MIB, 3)].concat()).await;
    world.recover_and_sweep().await;
    assert_eq!(world.present("").await.len(), 1, "nothing is left of the cancelled upload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_length_counts_once_announced() {
    let world = World::start().await;
    let link = narrow(&world, 10 * MIB).await;
    let new = || Create { link: &link.link, resumable: true, ..link.new_upload("late.bin", None) };
    let [first, second] =
        [link.uploads.create(&new()).await.unwrap(), link.uploads.create(&new()).await.unwrap()];
    let file = pattern(8 * MIB, 5);
    let announces = |length: usize| Append { length: Some(length as u64), end: End::Length, ..link.begin() };
    let kept = link.uploads.append(&first.id, &announces(8 * MIB), frames(&file.slice(..MIB))).await.unwrap();
    assert_eq!(kept.length, Some(8 << 20));
    let refused = link.uploads.append(&second.id, &announces(3 * MIB), frames(&file.slice(..MIB))).await;
    assert!(too_much(&refused), "{refused:?}");
    let fits = link.uploads.append(&second.id, &announces(2 * MIB), frames(&file.slice(..2 * MIB))).await;
    assert_eq!(fits.unwrap().state, State::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_link_cancels_stalled_uploads() {
    let world = World::start().await;
    for disabled in [false, true] {
        let link = narrow(&world, 24 * MIB).await;
        let (upload, _sender, append) = sending(&link).await;
        until("it is running", async || link.uploads.is_running(&upload.id)).await;
        link.uploads.cancel_revoked().await.unwrap();
        assert_eq!(link.uploads.status(&link.link.id, &upload.id).await.unwrap().state, State::Open);
        if disabled {
            world.ledger.set_partner_disabled("acme", Some(1)).await.unwrap();
        } else {
            world.ledger.revoke_link(&link.link.id, "operator").await.unwrap();
        }
        link.uploads.cancel_revoked().await.unwrap();
        let ended = soon(append).await.unwrap();
        assert!(matches!(ended, Err(Error::Revoked)), "{ended:?}");
        world.assert_nothing_left().await;
    }
}
