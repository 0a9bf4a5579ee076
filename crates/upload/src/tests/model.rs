//! Any framing, any size, any cut, any single fault: the bucket holds what was acknowledged, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

const OPERATIONS: [&str; 9] = [
    "*",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "PutObject",
    "HeadObject",
    "ListMultipartUploads",
    "AbortMultipartUpload",
    "DeleteObject",
];

#[derive(Debug, Clone)]
struct Case {
    size: usize,
    /// Sizes of frames, repeated.
    frames: Vec<usize>,
    length_known: bool,
    /// The body breaks after this many thousandths.
    cut: Option<usize>,
    /// Operation, calls let through, fault.
    fault: Option<(&'static str, u64, Fault)>,
    /// How often damage is repeated.
    damages: u64,
    /// Bytes beyond the announced length.
    excess: usize,
    /// Little memory: short parts.
    tight: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let edges = [0, 1, 5 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1];
    let size = prop_oneof![prop::sample::select(edges.to_vec()), 0..24 * MIB];
    let frame = prop_oneof![1..64_usize, 64..65_536_usize, 65_536..=MIB];
    let kind = prop::sample::select(vec![
        Fault::Reset,
        Fault::Status(503),
        Fault::Status(500),
        Fault::Delay(Duration::from_millis(50), When::Before),
        Fault::Delay(Duration::from_millis(50), When::After),
        Fault::LostAnswer,
        Fault::Corrupt,
        Fault::Status(400),
    ]);
    let fault = (prop::sample::select(OPERATIONS.to_vec()), 0..4_u64, kind);
    (
        size,
        prop::collection::vec(frame, 1..6),
        any::<bool>(),
        prop::option::weighted(0.4, 0..1000_usize),
        prop::option::weighted(0.8, fault),
        prop_oneof![Just(1), 2..12_u64],
        prop_oneof![4 => Just(0), 1 => 1..100_000_usize],
        any::<bool>(),
    )
        .prop_map(|(size, mut frames, length_known, cut, fault, damages, excess, tight)| {
            if frames.iter().sum::<usize>() < 4096 {
                // Millions of tiny frames only take time.
                frames.push(64 * 1024);
            }
            let excess = if length_known && cut.is_none() { excess } else { 0 };
            Case { size, frames, length_known, cut, fault, damages, excess, tight }
        })
}

impl Case {
    /// Whether a retry succeeds.
    fn passes(&self) -> bool {
        match self.fault {
            None => true,
            Some(("UploadPart" | "PutObject", _, Fault::Corrupt)) => self.damages == 1,
            Some((_, _, fault)) => !matches!(fault, Fault::Corrupt | Fault::Status(400)),
        }
    }

    fn body(&self, bytes: &Bytes) -> impl Stream<Item = Frame> + Unpin + Send + use<> {
        let end = self.cut.map_or(bytes.len(), |thousandths| self.size * thousandths / 1000);
        let mut frames = Vec::new();
        let (mut at, mut sizes) = (0, self.frames.iter().cycle());
        while at < end {
            let next = end.min(at + sizes.next().unwrap());
            frames.push(Ok(bytes.slice(at..next)));
            at = next;
        }
        frames.extend(self.cut.map(|_| Err(BodyError::Interrupted)));
        stream::iter(frames)
    }
}

async fn run(
    world: &World,
    engine: &Engine,
    case: &Case,
    seed: u64,
) -> std::result::Result<(), TestCaseError> {
    // A larger case has failed and is being shrunk.
    world.sandbox.faults().clear();
    let sent = pattern(case.size + case.excess, seed);
    if let Some((operation, after, fault)) = case.fault {
        world.faults(operation, after, if fault == Fault::Corrupt { case.damages } else { 1 }, fault);
    }
    let length = case.length_known.then_some(case.size as u64);
    let upload = engine.create(&format!("{seed}.bin"), length).await.unwrap();
    let append = Append { length, ..engine.begin() };
    let result = soon(engine.uploads.append(&upload.id, &append, case.body(&sent))).await;
    engine.uploads.drain().await;
    world.sandbox.faults().clear();
    match &result {
        Ok(complete) => {
            prop_assert!(case.cut.is_none() && case.excess == 0);
            prop_assert_eq!(&complete.id, &upload.id);
            engine.assert_stored(complete, &sent).await;
        }
        Err(Error::Interrupted { received }) => {
            prop_assert_eq!(Some(*received), case.cut.map(|cut| (case.size * cut / 1000) as u64));
        }
        Err(Error::LengthMismatch { .. }) => prop_assert!(case.excess > 0),
        Err(error) => prop_assert!(!case.passes(), "{}", error),
    }
    engine.recover_and_sweep().await;
    let present = engine.present(&format!("files/1001/{}/", upload.id)).await;
    let now = engine.ledger.upload(&upload.id).await.unwrap();
    if now.state == State::Complete {
        engine.assert_stored(&now, &sent).await;
        prop_assert_eq!(present, std::slice::from_ref(&now.object_key));
    } else {
        prop_assert!(result.is_err());
        prop_assert_eq!(now.state, State::Cancelled);
        prop_assert_eq!(present, Vec::<String>::new());
    }
    engine.assert_memory_free().await;
    Ok(())
}

#[test]
fn acknowledged_uploads_are_stored_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, tight) = runtime.block_on(async {
        let world = World::start().await;
        let dir = world.dir.path().join("tight");
        std::fs::create_dir(&dir).unwrap();
        let tight = Engine::open(&dir, &world.sandbox.s3, 6 * MIB).await;
        (world, tight)
    });
    let seeds = AtomicU64::new(1);
    let result = TestRunner::new(config(file!(), 40)).run(&cases(), |case| {
        let engine = if case.tight { &tight } else { &world.engine };
        runtime.block_on(run(&world, engine, &case, seeds.fetch_add(1, Ordering::Relaxed)))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
