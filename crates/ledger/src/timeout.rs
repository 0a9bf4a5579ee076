//! Connections with a time limit: a server that vanished silently blocks no caller.
//! Invariant: whatever the ledger reports as recorded was recorded less than a minute ago; deadlines of attempts on a bucket
//! rely on that.

use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, AnyConnection, AnyPool, Either, Error, Execute, Executor, SqlStr, Transaction};
use tokio::time::{Instant, timeout, timeout_at};

/// Limit for a statement, including the wait for a connection. The database itself gives up after 20 s, with a better error.
pub(crate) const STATEMENT_MAX: Duration = Duration::from_secs(22);

#[derive(Debug, Clone)]
pub(crate) struct Pool(pub(crate) AnyPool);

#[derive(Debug)]
pub(crate) struct Connection(pub(crate) Transaction<'static, Any>);

impl Connection {
    /// The connection without the time limit.
    pub(crate) fn unbounded(&mut self) -> &mut AnyConnection {
        &mut self.0
    }
}

pub(crate) async fn in_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(STATEMENT_MAX, work).await.unwrap_or_else(|_| Err(timed_out()))
}

pub(crate) fn timed_out() -> Error {
    Error::Io(std::io::Error::new(ErrorKind::TimedOut, "the database did not answer in time"))
}

type Step = Result<Either<AnyQueryResult, AnyRow>, Error>;

fn stream_in_time(steps: BoxStream<'_, Step>) -> BoxStream<'_, Step> {
    let end = Instant::now() + STATEMENT_MAX;
    stream::unfold(Some(steps), move |steps| async move {
        let mut steps = steps?;
        match timeout_at(end, steps.next()).await {
            Ok(step) => step.map(|step| (step, Some(steps))),
            Err(_) => Some((Err(timed_out()), None)),
        }
    })
    .boxed()
}

macro_rules! executor {
    ($type:ty, $self:ident => $inner:expr) => {
        impl<'c> Executor<'c> for $type {
            type Database = Any;

            fn fetch_many<'e, 'q: 'e, E>($self, query: E) -> BoxStream<'e, Step>
            where
                'c: 'e,
                E: 'q + Execute<'q, Any>,
            {
                stream_in_time($inner.fetch_many(query))
            }

            fn fetch_optional<'e, 'q: 'e, E>($self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Any>,
            {
                // Reads to the end: a statement that writes is committed there, and may fail there.
                Box::pin(in_time(async move { Ok($inner.fetch_all(query).await?.pop()) }))
            }

            fn prepare_with<'e>(
                $self,
                sql: SqlStr,
                parameters: &'e [AnyTypeInfo],
            ) -> BoxFuture<'e, Result<AnyStatement, Error>>
            where
                'c: 'e,
            {
                Box::pin(in_time($inner.prepare_with(sql, parameters)))
            }
        }
    };
}

executor!(&'c Pool, self => (&self.0));
executor!(&'c mut Connection, self => (&mut *self.0));
