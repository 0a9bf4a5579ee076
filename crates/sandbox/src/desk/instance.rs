//! One desk: its state, its secrets and its clock.
//! Invariant: [`Desk::change`] returns only after the change is durable.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;

use super::answer::Refusal;
use super::credentials::Credentials;
use super::limits::Limits;
use super::model::{Seconds, State};
use super::seed::{DeskOptions, Seed};
use super::store::Store;

/// A query string's fields.
pub(super) type Params = HashMap<String, String>;

/// One desk: its state, its secrets, and its clock.
pub struct Desk {
    pub(super) store: Store,
    pub(super) credentials: Credentials,
    pub(super) options: DeskOptions,
    /// The user all calls are made as.
    pub(super) agent_id: u64,
    pub(super) limits: Mutex<Limits>,
    /// How far [`Desk::advance`] moved the clock, in seconds.
    ahead: AtomicI64,
}

impl Desk {
    /// Opens the desk kept in `dir`, made if there is none, and adds what of `seed` is missing. Blocks.
    ///
    /// # Errors
    /// If `dir` cannot be written, what is in it is damaged, or the seed names a requester it does not have.
    pub fn open(dir: &Path, seed: &Seed) -> anyhow::Result<Arc<Self>> {
        let store = Store::open(dir)?;
        let credentials = Credentials::open(dir)?;
        let now = jiff::Timestamp::now().as_second();
        let files = store.change(|state| {
            seed.apply(state, &credentials.email, now)?;
            anyhow::Ok(state.expire(now))
        })?;
        store.discard(&files);
        let state = store.read();
        let agent = state.users.values().map(|user| &user.seed).find(|user| user.email == credentials.email);
        Ok(Arc::new(Self {
            agent_id: agent.map_or(0, |user| user.id),
            store,
            credentials,
            options: seed.options.clone(),
            limits: Mutex::default(),
            ahead: AtomicI64::new(0),
        }))
    }

    /// The secrets of its clients. The same at every start.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Moves this desk's clock forward, so that expiries can be tested without waiting for them. Not kept.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX / 4), Ordering::Relaxed);
    }

    /// Makes a ticket and its comments older, so that what follows after days can be tested today. Blocks.
    ///
    /// # Errors
    /// If there is no such ticket, or the state cannot be written.
    pub fn age(&self, ticket: u64, by: Duration) -> anyhow::Result<()> {
        let by = i64::try_from(by.as_secs())?;
        self.store.change(|state| {
            let ticket = state.tickets.get_mut(&ticket).context("no such ticket")?;
            ticket.created_at -= by;
            ticket.updated_at -= by;
            ticket.comments.iter_mut().for_each(|comment| comment.created_at -= by);
            Ok(())
        })
    }

    pub(super) fn now(&self) -> Seconds {
        jiff::Timestamp::now().as_second() + self.ahead.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> Arc<State> {
        self.store.read()
    }

    /// Changes the state durably. Continues when the caller has gone: Zendesk, too, finishes what it started.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let desk = Arc::clone(self);
        tokio::task::spawn_blocking(move || desk.store.change(change))
            .await
            .map_err(|error| Refusal::from(anyhow::Error::from(error)))?
    }

    /// Removes bytes the state names no more.
    pub(super) async fn discard(self: &Arc<Self>, files: Vec<String>) {
        if !files.is_empty() {
            let desk = Arc::clone(self);
            // The store logs a failure, and the next start removes what is left.
            let _ = tokio::task::spawn_blocking(move || desk.store.discard(&files)).await;
        }
    }
}
