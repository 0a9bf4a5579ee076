//! Who runs on a ledger: one gateway on a SQLite file, several on Postgres.
//! Invariant: only who is alone takes what is unfinished for abandoned; among several, what moves is somebody's.

use std::fs::{File, TryLockError};
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};
use tokio::task::AbortHandle;

use crate::dialect::Dialect;
use crate::open::create_private;
use crate::{Error, Ledger, Result, now_ms};

/// A gateway's place on its ledger. It ends with the process, however that ends.
pub struct Hold(Held);

/// Its options hold a password: no `Debug`.
enum Held {
    /// The operating system's lock on a file beside SQLite's.
    File { _lock: File },
    /// Postgres' lock, alone: the session that has it.
    Alone { session: Box<AnyConnection>, options: AnyConnectOptions },
    /// Postgres' lock, with others: the task that keeps it.
    Shared { _keeper: Keeper },
}

/// A task that ends with this.
struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often a gateway looks whether Postgres still knows that it runs. One that starts within this time after Postgres
/// did may take it for gone: its senders begin again.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// A server that does not answer by then is asked on a new connection.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Ledger {
    /// Takes a gateway's place on the ledger, for as long as the result lives. A SQLite file has one. On Postgres a gateway
    /// that finds no other is alone until it calls [`Hold::share`]; until then the next one waits here.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the one place is taken, [`Error::Unavailable`] when the database does not answer.
    pub async fn hold(url: &str) -> Result<Hold> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = format!("{path}.lock");
            create_private(&path).map_err(|error| Error::Unavailable(error.into()))?;
            let file = File::open(&path).map_err(|error| Error::Unavailable(error.into()))?;
            return match file.try_lock() {
                Ok(()) => Ok(Hold(Held::File { _lock: file })),
                Err(TryLockError::WouldBlock) => {
                    Err(Error::Conflict("another gateway runs on this ledger".into()))
                }
                Err(TryLockError::Error(error)) => Err(Error::Unavailable(error.into())),
            };
        }
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = url.parse()?;
        let mut session = options.connect().await?;
        if Dialect::take_place(&mut session).await? {
            return Ok(Hold(Held::Alone { session: Box::new(session), options }));
        }
        Dialect::share_place(&mut session).await?;
        Ok(Hold(Held::Shared { _keeper: keep(session, options) }))
    }

    /// Says that the upload is worked on, as long as it is open or completing, and that its parts on their way may be so
    /// until then, ms; whether it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn keep_upload(&self, id: &str, epoch: i64, parts_until: i64) -> Result<bool> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE uploads SET updated_at = $2 WHERE id = $1 AND epoch = $3 AND state IN ('open', 'completing')",
        )
        .bind(id)
        .bind(now_ms())
        .bind(epoch)
        .execute(&mut *tx)
        .await?;
        // Of one that is not: whoever goes on with it waits no longer than it was told.
        if done.rows_affected() > 0 {
            sqlx::query(
                "UPDATE parts SET deadline = $3 WHERE upload_id = $1 AND epoch = $2 AND etag IS NULL \
                 AND deadline > 0 AND deadline < $3",
            )
            .bind(id)
            .bind(epoch)
            .bind(parts_until)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

impl Hold {
    /// Whether no other gateway runs on the ledger.
    pub fn is_alone(&self) -> bool {
        !matches!(self.0, Held::Shared { .. })
    }

    /// Lets others in, where there may be others.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn share(self) -> Result<Self> {
        match self.0 {
            Held::Alone { mut session, options } => {
                Dialect::share_place(&mut session).await?;
                Dialect::leave_place(&mut session).await?;
                Ok(Self(Held::Shared { _keeper: keep(*session, options) }))
            }
            held => Ok(Self(held)),
        }
    }
}

/// Keeps a shared place: a lost session is replaced.
fn keep(mut session: AnyConnection, options: AnyConnectOptions) -> Keeper {
    let work = async move {
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            if matches!(tokio::time::timeout(ANSWER_MAX, session.ping()).await, Ok(Ok(()))) {
                continue;
            }
            let again = async {
                let mut session = options.connect().await?;
                Dialect::share_place(&mut session).await?;
                Ok::<_, sqlx::Error>(session)
            };
            if let Ok(Ok(new)) = tokio::time::timeout(ANSWER_MAX, again).await {
                session = new;
            }
        }
    };
    Keeper(tokio::spawn(work).abort_handle())
}
