//! Bodies of every size and framing, and bodies that are not what they should be.

use super::*;

/// Sizes around every edge: empty, one byte, the smallest part, the first part, two parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_at_the_edges() {
    let world = World::start().await;
    for size in [0, 1, 5 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1] {
        for length in [None, Some(size as u64)] {
            let name = format!("{size}-{}.bin", length.is_some());
            let sent = pattern(size, size as u64 + u64::from(length.is_some()));
            let upload = world.create(&name, length).await.unwrap();
            let append = Append {
                length,
                digests: vec![crate::Digest { algorithm: crate::Algorithm::Sha256, hex: sha256(&sent) }],
                ..world.begin()
            };
            let upload = world.uploads.append(&upload.id, &append, frames(&sent)).await.unwrap();
            assert_eq!(upload.checked, ["sha-256"]);
            assert_eq!(upload.multipart_id.is_some(), size > 8 * MIB, "a file of one part is one object");
            world.assert_stored(&upload, &sent).await;
        }
    }
    world.assert_memory_free().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_any_size() {
    let world = World::start().await;
    for (frame, size) in [(1, 10_000), (1, 1), (63, SMALL), (1_000_003, LARGE), (LARGE, LARGE)] {
        let sent = pattern(size, frame as u64);
        let upload = world.create("a.bin", None).await.unwrap();
        let pieces: Vec<_> = sent.chunks(frame).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let empty = std::iter::repeat_with(|| Ok(Bytes::new())).take(3);
        let body = stream::iter(pieces.into_iter().chain(empty));
        let upload = world.uploads.append(&upload.id, &world.begin(), body).await.unwrap();
        world.assert_stored(&upload, &sent).await;
    }
}

/// The body breaks after this many bytes: the error says how many were received, and nothing is left.
async fn interrupted(sizes: &[usize]) {
    let world = World::start().await;
    for size in sizes {
        for error in [BodyError::Interrupted, BodyError::TooSlow, BodyError::Malformed("chunk".into())] {
            let upload = world.create("a.bin", None).await.unwrap();
            let body = broken(&pattern(*size, 1), error.clone());
            let result = world.uploads.append(&upload.id, &world.begin(), body).await;
            let sent_bytes = *size as u64;
            match (error, result.unwrap_err()) {
                (BodyError::Interrupted, Error::Interrupted { received })
                | (BodyError::TooSlow, Error::TooSlow { received }) => assert_eq!(received, sent_bytes),
                (BodyError::Malformed(text), Error::Malformed(reported)) => assert_eq!(text, reported),
                (sent, reported) => panic!("{sent:?} became {reported:?}"),
            }
            world.assert_nothing_left().await;
            assert!(matches!(world.uploads.status(&world.link.id, &upload.id).await, Err(Error::Gone)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_interrupted_at_0() {
    interrupted(&[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_interrupted_in_the_first_part() {
    interrupted(&[1, SMALL]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_interrupted_after_several_parts() {
    interrupted(&[9 * MIB, 25 * MIB]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digest_mismatch() {
    let world = World::start().await;
    for size in [0, SMALL, LARGE] {
        let upload = world.create("a.bin", None).await.unwrap();
        let append = Append {
            digests: vec![crate::Digest { algorithm: crate::Algorithm::Sha256, hex: sha256(b"other") }],
            ..world.begin()
        };
        let error = world.uploads.append(&upload.id, &append, frames(&pattern(size, 1))).await.unwrap_err();
        let Error::DigestMismatch { announced, actual, .. } = error else { panic!("{error}") };
        assert_eq!(announced, sha256(b"other"));
        assert_eq!(actual, sha256(&pattern(size, 1)));
        world.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large() {
    let world = World::start().await;
    let max = world.uploads.max_bytes(&world.link);
    let error = world.create("a.bin", Some(max + 1)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { max: reported } if reported == max));
    for (max_bytes, size) in [(10, 11), (12 * MIB, 12 * MIB + 1), (12 * MIB, LARGE)] {
        let upload = world.create("a.bin", None).await.unwrap();
        let append = Append { max_bytes: max_bytes as u64, ..world.begin() };
        let error = world.uploads.append(&upload.id, &append, frames(&pattern(size, 1))).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { max } if max == max_bytes as u64), "{error}");
        world.assert_nothing_left().await;
    }
    let upload = world.create("a.bin", None).await.unwrap();
    let append = Append { max_bytes: SMALL as u64, ..world.begin() };
    let sent = pattern(SMALL, 1);
    let upload = world.uploads.append(&upload.id, &append, frames(&sent)).await.unwrap();
    world.assert_stored(&upload, &sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn length_mismatch() {
    let world = World::start().await;
    for (declared, size) in
        [(0, 1), (1, 0), (SMALL, SMALL - 1), (SMALL, SMALL + 1), (LARGE, LARGE - 1), (LARGE, LARGE + 1)]
    {
        let length = Some(declared as u64);
        let upload = world.create("a.bin", length).await.unwrap();
        let append = Append { length, ..world.begin() };
        let error = world.uploads.append(&upload.id, &append, frames(&pattern(size, 1))).await.unwrap_err();
        let Error::LengthMismatch { declared: reported, actual } = error else { panic!("{error}") };
        assert_eq!((reported, actual > reported), (declared as u64, size > declared));
        world.assert_nothing_left().await;
    }
}

/// A body longer than announced does not wait for memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_longer_than_announced_takes_no_memory() {
    let world = World::with_memory(12 * MIB).await;
    let (_sender, stalled) = Sender::new();
    let first = world.create("first.bin", None).await.unwrap();
    let engine = world.engine.clone();
    let running =
        tokio::spawn(async move { engine.uploads.append(&first.id, &engine.begin(), stalled).await });
    until("the first is admitted", async || world.uploads.budget().used_bytes() > 0).await;
    let upload = world.create("a.bin", Some(1)).await.unwrap();
    let append = Append { length: Some(1), ..world.begin() };
    let result = soon(world.uploads.append(&upload.id, &append, frames(&pattern(7 * MIB, 1)))).await;
    assert!(matches!(result, Err(Error::LengthMismatch { declared: 1, .. })));
    running.abort();
}
