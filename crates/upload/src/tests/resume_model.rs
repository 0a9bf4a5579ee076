//! Random sequences of appends, cuts, crashes, takeovers and faults, on two engines that share a ledger and a bucket: the
//! offset never falls, complete files are what was sent, and nothing is left behind.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::{Algorithm, Digest, End};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A body with or without a digest, which ends or breaks.
    Append { bytes: usize, digest: bool, breaks: bool },
    /// The task that appends the bytes dies.
    Crash { bytes: usize },
    /// An append stalls after the bytes, and another takes over.
    Takeover { bytes: usize },
    /// The other engine continues.
    Switch,
    /// The next call of this kind fails.
    Fault(&'static str, Fault),
    /// This many calls of a kind damage their bytes.
    Damage(&'static str, u64),
    /// More bytes than announced.
    Excess { bytes: usize, framing: Framing },
    /// Somebody asks for the status.
    Status,
}

/// What announces the number of bytes.
#[derive(Debug, Clone, Copy)]
enum Framing {
    /// The length of the body.
    Body,
    /// The range: of the body and of the file.
    Range,
    /// The file's length, for a chunked body.
    Chunks(End),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![Just(0), 1..5000_usize, 1..3 * MIB, 4 * MIB..11 * MIB];
    let operations =
        ["UploadPart", "PutObject", "GetObject", "CreateMultipartUpload", "DeleteObject", "ListObjectsV2"];
    let damaged = ["UploadPart", "PutObject", "GetObject"];
    let framing = prop::sample::select(vec![
        Framing::Body,
        Framing::Range,
        Framing::Chunks(End::Body),
        Framing::Chunks(End::Length),
        Framing::Chunks(End::Later),
    ]);
    let fault = prop::sample::select(vec![Fault::Reset, Fault::Status(503), Fault::LostAnswer]);
    let step = prop_oneof![
        5 => (bytes.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(bytes, digest, breaks)| Step::Append { bytes, digest, breaks }),
        1 => bytes.clone().prop_map(|bytes| Step::Crash { bytes }),
        1 => bytes.prop_map(|bytes| Step::Takeover { bytes }),
        1 => Just(Step::Switch),
        1 => (prop::sample::select(operations.to_vec()), fault).prop_map(|(op, fault)| Step::Fault(op, fault)),
        2 => (prop::sample::select(damaged.to_vec()), 1..12_u64).prop_map(|(op, times)| Step::Damage(op, times)),
        3 => (1..9 * MIB, framing).prop_map(|(bytes, framing)| Step::Excess { bytes, framing }),
        1 => Just(Step::Status),
    ];
    prop::collection::vec(step, 1..8)
}

/// A sequence being run.
struct Run<'a> {
    world: &'a World,
    engines: [&'a Engine; 2],
    now: usize,
    id: String,
    file: Bytes,
    length_known: bool,
    /// Whether calls may still be damaged.
    damages: bool,
}

impl Run<'_> {
    fn engine(&self) -> &Engine {
        self.engines[self.now]
    }

    fn append(&self, at: usize, body: &Bytes, digest: bool) -> Append {
        let digest = digest.then(|| Digest { algorithm: Algorithm::Sha256, hex: sha256(body) });
        Append {
            offset: at as u64,
            body_bytes: Some(body.len() as u64),
            end: if self.length_known { End::Length } else { End::Later },
            content: digest.into_iter().collect(),
            ..self.engine().begin()
        }
    }

    async fn step(&mut self, step: Step) -> std::result::Result<(), TestCaseError> {
        let at = self.engine().offset_of(&self.id).await;
        let some =
            |bytes: usize| self.file.slice(at..self.file.len().saturating_sub(1).min(at + bytes).max(at));
        match step {
            Step::Append { bytes, digest, breaks } => {
                let body = some(bytes);
                let append = self.append(at, &body, digest);
                let result = if breaks {
                    let body = broken(&body, BodyError::Interrupted);
                    soon(self.engine().uploads.append(&self.id, &append, body)).await
                } else {
                    soon(self.engine().uploads.append(&self.id, &append, frames(&body))).await
                };
                let after = self.engine().offset_of(&self.id).await;
                match result {
                    Ok(upload) => {
                        prop_assert!(!breaks);
                        prop_assert_eq!(upload.state, State::Open);
                        prop_assert_eq!(after, at + body.len());
                    }
                    Err(Error::Interrupted { .. }) => {
                        prop_assert!(breaks);
                        let kept = if digest { at } else { at + body.len() };
                        prop_assert!(
                            after == kept || (self.damages && after < kept),
                            "{:?}: {}",
                            step,
                            after
                        );
                    }
                    Err(error) => prop_assert!(error.is_temporary(), "{}", error),
                }
            }
            Step::Crash { bytes } => {
                let (sender, body) = Sender::new();
                let append = self.append(at, &some(bytes), false);
                let (uploads, id) = (self.engine().uploads.clone(), self.id.clone());
                let dying = tokio::spawn(async move { uploads.append(&id, &append, body).await });
                sender.send(&some(bytes));
                tokio::task::yield_now().await;
                dying.abort();
                let _ = dying.await;
                self.engine().ledger.release_claims().await.unwrap();
            }
            Step::Takeover { bytes } => self.takeover(at, bytes).await,
            Step::Switch => self.now = 1 - self.now,
            Step::Fault(operation, fault) => self.world.faults(operation, 0, 1, fault),
            Step::Damage(operation, times) => {
                self.world.faults(operation, 0, times, Fault::Corrupt);
                self.damages = true;
            }
            Step::Excess { bytes, framing } => self.excess(at, bytes, framing).await?,
            Step::Status => {
                let engine = self.engine();
                let link_id = &self.engines[0].link.id;
                let upload = engine.uploads.status(link_id, &self.id).await.unwrap();
                prop_assert_eq!(usize::try_from(upload.offset).unwrap(), at);
            }
        }
        let after = self.engine().offset_of(&self.id).await;
        prop_assert!(after >= at, "the offset fell from {} to {}", at, after);
        Ok(())
    }

    /// An append stalls, and another continues at the offset it sees.
    async fn takeover(&self, at: usize, bytes: usize) {
        let some = |at: usize| self.file.slice(at..self.file.len().saturating_sub(1).min(at + bytes).max(at));
        let (sender, body) = Sender::new();
        let append = self.append(at, &some(at), false);
        let (uploads, id) = (self.engine().uploads.clone(), self.id.clone());
        let older = tokio::spawn(async move { uploads.append(&id, &append, body).await });
        sender.send(&some(at));
        let seen = self.engine().offset_of(&self.id).await;
        let newer = some(seen);
        let append = self.append(seen, &newer, false);
        let _ = soon(self.engine().uploads.append(&self.id, &append, frames(&newer))).await;
        drop(sender);
        let _ = soon(older).await;
    }

    /// Sends bytes of the file, and more than announced.
    async fn excess(
        &self,
        at: usize,
        bytes: usize,
        framing: Framing,
    ) -> std::result::Result<(), TestCaseError> {
        let whole = matches!(framing, Framing::Chunks(_)) && self.length_known;
        let end = if whole { self.file.len() } else { self.file.len().min(at + bytes) };
        let declared = (end - at) as u64;
        let body = [&self.file[at..end], b"x"].concat().into();
        let append = self.append(at, &body, false);
        let append = match framing {
            Framing::Chunks(end) if whole => Append { body_bytes: None, end, ..append },
            Framing::Range if self.length_known => {
                Append { body_bytes: Some(declared), length: Some(self.file.len() as u64), ..append }
            }
            _ => Append { body_bytes: Some(declared), ..append },
        };
        let result = soon(self.engine().uploads.append(&self.id, &append, frames(&body))).await;
        match result {
            Err(Error::LengthMismatch { .. }) => {}
            Err(error) if error.is_temporary() => {}
            other => prop_assert!(false, "{:?} {}: {:?}", framing, at, other),
        }
        let now = self.engine().ledger.upload(&self.id).await.unwrap();
        prop_assert_eq!(now.state, State::Open);
        Ok(())
    }

    /// Sends the rest, as often as it takes.
    async fn complete(&self) -> Upload {
        loop {
            let at = self.engine().offset_of(&self.id).await;
            let body = self.file.slice(at..);
            let append = Append { end: End::Body, ..self.append(at, &body, false) };
            match soon(self.engine().uploads.append(&self.id, &append, frames(&body))).await {
                Ok(upload) => return upload,
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
    }
}

async fn run(
    world: &World,
    engines: [&Engine; 2],
    (steps, size, length_known): (Vec<Step>, usize, bool),
    seed: u64,
) -> std::result::Result<(), TestCaseError> {
    // A larger case has failed and is being shrunk.
    world.sandbox.faults().clear();
    let file = pattern(size, seed);
    let length = length_known.then_some(size as u64);
    let upload = engines[0].create_resumable(&format!("{seed}.bin"), length).await.unwrap();
    let mut run = Run {
        world,
        engines,
        now: 0,
        id: upload.id.clone(),
        file: file.clone(),
        length_known,
        damages: false,
    };
    for step in steps {
        run.step(step).await?;
    }
    world.sandbox.faults().clear();
    let done = run.complete().await;
    prop_assert_eq!(&done.id, &upload.id);
    run.engine().assert_stored(&done, &file).await;
    for engine in engines {
        engine.recover_and_sweep().await;
    }
    let key = format!("files/1001/{}/", upload.id);
    prop_assert_eq!(world.present(&key).await, std::slice::from_ref(&done.object_key));
    prop_assert_eq!(world.present(&format!("files/.weighbridge/{}/", upload.id)).await, Vec::<String>::new());
    Ok(())
}

#[test]
fn any_sequence_of_appends_stores_the_file_that_was_sent() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, second) = runtime.block_on(async {
        let world = World::start().await;
        let second = Engine::open(world.dir.path(), &world.sandbox.s3, 32 * MIB).await;
        (world, second)
    });
    let seeds = std::sync::atomic::AtomicU64::new(1000);
    let cases = (steps(), 1..26 * MIB, any::<bool>());
    // Enough to find an upload that ends for damage or for excess bytes.
    let result = TestRunner::new(config(file!(), 64)).run(&cases, |case| {
        let seed = seeds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        runtime.block_on(run(&world, [&world.engine, &second], case, seed))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
