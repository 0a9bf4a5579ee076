//! Which gateways run on a ledger: one on a SQLite file, several on Postgres.
//! Invariant: only a gateway that is alone treats everything unfinished as abandoned.

use std::fs::{File, TryLockError};
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};
use tokio::task::AbortHandle;

use crate::connect::create_private;
use crate::dialect::Dialect;
use crate::{Error, Ledger, Result};

/// A gateway's lock on its ledger. It ends with the process, however the process ends.
pub struct InstanceLock(Lock);

/// Its options hold a password: no `Debug`.
enum Lock {
    /// The operating system's lock on a file beside SQLite's.
    File { _lock: File },
    /// An exclusive lock in Postgres, and the session that holds it.
    Alone { session: Box<AnyConnection>, options: AnyConnectOptions },
    /// A shared lock in Postgres, and the task that keeps it.
    Shared { _keeper: Keeper },
}

/// A task that ends when this is dropped.
struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often a gateway checks that Postgres still has its lock. A gateway that starts within this time after Postgres
/// restarted may take this one for dead; senders then start over.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// A session that has not answered by then is replaced.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl InstanceLock {
    /// Locks the ledger for as long as the result lives. A SQLite file has one gateway. On Postgres, a gateway that finds no
    /// other is alone until it calls [`InstanceLock::share`]; until then the next one waits here.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another gateway has the SQLite file.
    pub async fn acquire(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = format!("{path}.lock");
            create_private(&path).map_err(|error| Error::Unavailable(error.into()))?;
            let file = File::open(&path).map_err(|error| Error::Unavailable(error.into()))?;
            return match file.try_lock() {
                Ok(()) => Ok(Self(Lock::File { _lock: file })),
                Err(TryLockError::WouldBlock) => {
                    Err(Error::Conflict("another gateway runs on this ledger".into()))
                }
                Err(TryLockError::Error(error)) => Err(Error::Unavailable(error.into())),
            };
        }
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = url.parse()?;
        let mut session = options.connect().await?;
        if Dialect::lock_alone(&mut session).await? {
            return Ok(Self(Lock::Alone { session: Box::new(session), options }));
        }
        Dialect::lock_shared(&mut session).await?;
        Ok(Self(Lock::Shared { _keeper: keep(session, options) }))
    }

    /// Whether no other gateway runs on the ledger.
    pub fn is_alone(&self) -> bool {
        !matches!(self.0, Lock::Shared { .. })
    }

    /// Allows other gateways, where the database does.
    pub async fn share(self) -> Result<Self> {
        match self.0 {
            Lock::Alone { mut session, options } => {
                Dialect::lock_shared(&mut session).await?;
                Dialect::unlock_alone(&mut session).await?;
                Ok(Self(Lock::Shared { _keeper: keep(*session, options) }))
            }
            lock => Ok(Self(lock)),
        }
    }
}

/// Keeps a shared lock: a lost session is replaced.
fn keep(mut session: AnyConnection, options: AnyConnectOptions) -> Keeper {
    let work = async move {
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            if matches!(tokio::time::timeout(ANSWER_TIMEOUT, session.ping()).await, Ok(Ok(()))) {
                continue;
            }
            let renewed = async {
                let mut session = options.connect().await?;
                Dialect::lock_shared(&mut session).await?;
                Ok::<_, sqlx::Error>(session)
            };
            if let Ok(Ok(renewed)) = tokio::time::timeout(ANSWER_TIMEOUT, renewed).await {
                session = renewed;
            }
        }
    };
    Keeper(tokio::spawn(work).abort_handle())
}

impl Ledger {
    /// Ends every lease on jobs, tickets and parts, whose holders are gone. Only for a gateway that is alone, before
    /// anything else runs: otherwise leases expire by themselves.
    pub async fn release_claims(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        for statement in [
            "UPDATE jobs SET lease_until = 0 WHERE lease_until > 0",
            "UPDATE tickets SET lease_until = 0 WHERE lease_until > 0",
            "UPDATE parts SET deadline = 0 WHERE etag IS NULL AND deadline > 0",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
