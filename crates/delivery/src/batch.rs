//! The jobs that a worker has claimed together.
//! Invariant: a job that is neither settled nor in `jobs` keeps its row, and is due again.

use ledger::Job;

use crate::error::JobError;
use crate::shared::Shared;

pub(crate) struct Batch<'a> {
    pub(crate) shared: &'a Shared,
    /// What a failure concerns.
    pub(crate) jobs: Vec<Job>,
    pub(crate) settled: usize,
}

impl Batch<'_> {
    /// Runs the jobs one by one, until one fails.
    pub(crate) async fn each(
        &mut self,
        run: impl AsyncFn(&Shared, &Job) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        for job in std::mem::take(&mut self.jobs) {
            let end = run(self.shared, &job).await;
            self.jobs = vec![job];
            end?;
            self.settled += 1;
        }
        self.jobs.clear();
        Ok(())
    }
}
