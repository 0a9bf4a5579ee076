//! Many gateways at the same moment on one row: each sees what the one before decided.

use std::future::Future;

use super::*;

const CROWD: usize = 12;

/// Many gateways, each with connections of its own.
struct Crowd(Vec<Ledger>);

impl Crowd {
    async fn on(world: &World) -> Self {
        let mut ledgers = Vec::new();
        for _ in 0..CROWD {
            ledgers.push(world.another().await);
        }
        Self(ledgers)
    }

    /// Lets all do `work` at once, and returns the results.
    async fn each<T, F>(&self, work: impl Fn(Ledger, usize) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let tasks: Vec<_> = self
            .0
            .iter()
            .enumerate()
            .map(|(number, ledger)| tokio::spawn(work(ledger.clone(), number)))
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn link_has_room_for_three_of_many() {
    let world = World::open().await;
    let crowd = Crowd::on(&world).await;
    let begun = crowd
        .each(|ledger, _| {
            let new = NewUpload { length: Some(10), ..world.new_upload() };
            async move { ledger.create_upload(&new, Room { open: 3, unfinished_bytes: 1_000 }).await.is_ok() }
        })
        .await;
    assert_eq!(begun.into_iter().filter(|begun| *begun).count(), 3);
    let other = world.create_link(&Token::random(), &new_link()).await.unwrap();
    let begun = crowd
        .each(|ledger, _| {
            let new = NewUpload { length: Some(10), link_id: other.id.clone(), ..world.new_upload() };
            async move { ledger.create_upload(&new, Room { open: 100, unfinished_bytes: 45 }).await.is_ok() }
        })
        .await;
    assert_eq!(begun.into_iter().filter(|begun| *begun).count(), 4, "40 of 45 bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_equal_files_is_the_original() {
    let world = World::open().await;
    let crowd = Crowd::on(&world).await;
    for round in 0..5 {
        let mut ids = Vec::new();
        for _ in 0..CROWD {
            ids.push(world.begun().await);
        }
        let key = format!("file {round}");
        let originals = crowd
            .each(|ledger, number| {
                let (id, key) = (ids[number].clone(), key.clone());
                async move { ledger.begin_completing(&end(&id, 1, &key)).await.unwrap() }
            })
            .await;
        let ours: Vec<_> = (0..CROWD).filter(|number| originals[*number] == Dedupe::First).collect();
        assert_eq!(ours.len(), 1, "{originals:?}");
        let first = Dedupe::DuplicateOf(ids[ours[0]].clone());
        assert_eq!(originals.iter().filter(|original| **original == first).count(), CROWD - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_requests_with_one_key_is_new() {
    let world = World::open().await;
    let crowd = Crowd::on(&world).await;
    for round in 0..5 {
        let claims = crowd
            .each(|ledger, number| {
                let key = Key {
                    hash: format!("h{round}"),
                    name: "a.bin".into(),
                    length: Some(5),
                    digest: None,
                    attempt: format!("{round} {number}"),
                };
                async move {
                    let claim = ledger.claim_key(&key, 0).await.unwrap();
                    (claim, ledger.note_key(&key, std::slice::from_ref(&key.attempt), true).await.unwrap())
                }
            })
            .await;
        assert_eq!(claims.iter().filter(|(claim, _)| *claim == Claim::New).count(), 1, "{claims:?}");
        // A request that is reported as done is reported with its uploads.
        let empty = Claim::Done(Vec::new());
        assert!(claims.iter().all(|(claim, _)| *claim != empty), "{claims:?}");
        assert_eq!(claims.iter().filter(|(_, done)| *done).count(), 1, "{claims:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ticket_has_one_of_many_workers_and_each_job_is_taken_once() {
    let world = World::open().await;
    let crowd = Crowd::on(&world).await;
    for number in 0..CROWD {
        world.complete_one(&format!("file {number}")).await;
    }
    let until = now_ms() + 60_000;
    let taken = crowd
        .each(|ledger, _| async move {
            let has_ticket = ledger.claim_jobs(JobKind::Deliver, until).await.unwrap().is_some();
            let mut jobs = Vec::new();
            while let Some(claimed) = ledger.claim_jobs(JobKind::Receipt, until).await.unwrap() {
                jobs.extend(claimed.jobs.into_iter().map(|job| job.id));
            }
            (has_ticket, jobs)
        })
        .await;
    assert_eq!(taken.iter().filter(|(has_ticket, _)| *has_ticket).count(), 1);
    let mut jobs: Vec<_> = taken.into_iter().flat_map(|(_, jobs)| jobs).collect();
    // A worker that was not quick enough looks again.
    while let Some(claimed) = world.claim_jobs(JobKind::Receipt, until).await.unwrap() {
        jobs.extend(claimed.jobs.into_iter().map(|job| job.id));
    }
    assert_eq!(jobs.len(), CROWD);
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), CROWD, "each job once");
}

/// A file and its side file complete at the same moment: one of the two sees the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_and_side_file_see_each_other() {
    let world = World::open().await;
    let crowd = Crowd::on(&world).await;
    for round in 0..10 {
        // Each pair is about a name of its own; the even ones bring the side file.
        let mut ids = Vec::new();
        for number in 0..CROWD {
            let suffix = if number % 2 == 0 { ".sha256" } else { "" };
            let new = NewUpload { name: format!("{}.log{suffix}", number / 2), ..world.new_upload() };
            world.create_upload(&new, AMPLE).await.unwrap();
            world.begin_append(&new.id, 0, None).await.unwrap();
            let key = format!("{round} {number}");
            let end = Completion { checked: &[], ..end(&new.id, 1, &key) };
            world.begin_completing(&end).await.unwrap();
            ids.push(new.id);
        }
        let mut newest = Vec::new();
        for number in 0..CROWD {
            let name = format!("{}.log", number / 2);
            newest.push(world.newest_complete(&world.link.id, "1001", &name, 0).await.unwrap());
        }
        let completed = crowd
            .each(|ledger, number| {
                let (id, newest) = (ids[number].clone(), newest[number].clone());
                async move {
                    let name = format!("{}.log", number / 2);
                    let side = SideFileRecord::Binds {
                        name: &name,
                        algorithm: "sha-256",
                        digest: "ab",
                        until: now_ms() + 60_000,
                        newest: newest.as_ref().map(|newest| newest.id.as_str()),
                        since: 0,
                    };
                    ledger.complete(&id, 1, (number % 2 == 0).then_some(&side)).await.unwrap()
                }
            })
            .await;
        for pair in 0..CROWD / 2 {
            let file = world.upload(&ids[2 * pair + 1]).await.unwrap();
            let heard = file.checked == ["sha-256"];
            assert_eq!(completed[2 * pair] == Completed::Stale, !heard, "{round} {file:?}");
            let left = world.announced(&world.link.id, &format!("{pair}.log")).await.unwrap();
            assert!(left.is_empty(), "it binds another: {left:?}");
        }
    }
}
