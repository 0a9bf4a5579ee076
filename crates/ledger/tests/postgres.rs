//! What only a ledger on Postgres can meet: lost connections, tables that a newer gateway changed, texts that it does not
//! keep. `.ci/postgres` runs it, on the server that `WEIGHBRIDGE_TEST_POSTGRES` names.
#![allow(clippy::unwrap_used, reason = "a test that fails has found something")]

use std::error::Error as _;
use std::time::{Duration, Instant};

use ledger::{Error, Ledger, new_id};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn server() -> AnyConnectOptions {
    sqlx::any::install_default_drivers();
    std::env::var("WEIGHBRIDGE_TEST_POSTGRES")
        .expect("say where Postgres is: .ci/postgres does")
        .parse()
        .unwrap()
}

async fn run(connection: &mut AnyConnection, statement: String) {
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await.unwrap();
}

/// A migrated ledger in a database of its own, whose name is the second; the third is a superuser's connection to it.
async fn ledger() -> (Ledger, String, AnyConnection) {
    let mut options = server();
    let name = format!("postgres_{}", new_id().to_lowercase());
    run(&mut options.connect().await.unwrap(), format!("CREATE DATABASE {name}")).await;
    options.database_url.set_path(&name);
    let ledger = Ledger::open(options.database_url.as_str()).await.unwrap();
    ledger.migrate().await.unwrap();
    ledger.put_partner("acme", "Acme", None).await.unwrap();
    (ledger, name, options.connect().await.unwrap())
}

async fn drop_database(name: &str) {
    run(&mut server().connect().await.unwrap(), format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

#[tokio::test]
async fn lost_connections_are_replaced() {
    let (ledger, name, mut root) = ledger().await;
    for _ in 0..3 {
        let all = (0..8).map(|_| ledger.partner("acme"));
        for found in futures_util::future::join_all(all).await {
            found.unwrap();
        }
        run(
            &mut root,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
                .into(),
        )
        .await;
        ledger.partner("acme").await.unwrap();
        ledger.set_partner_disabled("acme", None).await.unwrap();
    }
    drop_database(&name).await;
    assert!(matches!(ledger.partner("acme").await, Err(Error::Unavailable(_))));
}

/// A proxy that can be blocked: then no byte moves in either direction, and no connection ends.
async fn proxy(blocked: watch::Receiver<bool>) -> u16 {
    let url = server().database_url;
    let target = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pump = |mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut blocked: watch::Receiver<bool>| async move {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            blocked.wait_for(|blocked| !blocked).await.unwrap();
            to.write_all(&bytes[..count]).await.unwrap();
        }
    };
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target.clone()).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(pump(from_client, to_server, blocked.clone()));
            tokio::spawn(pump(from_server, to_client, blocked.clone()));
        }
    });
    port
}

#[tokio::test]
async fn vanished_server_blocks_nobody_for_long() {
    let (ledger, name, _) = ledger().await;
    ledger.close().await;
    let (block, blocked) = watch::channel(false);
    let mut url = server().database_url;
    url.set_path(&name);
    url.set_port(Some(proxy(blocked).await)).unwrap();
    let ledger = Ledger::open(url.as_str()).await.unwrap();
    ledger.partner("acme").await.unwrap();
    block.send(true).unwrap();
    let begun = Instant::now();
    let (read, written, more) = tokio::join!(
        ledger.partner("acme"),
        ledger.set_partner_disabled("acme", None),
        ledger.release_claims()
    );
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    assert!(matches!(written, Err(Error::Unavailable(_))) && matches!(more, Err(Error::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    block.send(false).unwrap();
    ledger.partner("acme").await.unwrap();
    drop_database(&name).await;
}

/// A newer gateway's migration adds a column while this one runs: one call with a prepared statement may fail.
#[tokio::test]
async fn changed_table_is_read_again() {
    let (ledger, name, mut root) = ledger().await;
    let all = (0..8).map(|_| ledger.partner("acme"));
    for found in futures_util::future::join_all(all).await {
        found.unwrap();
    }
    run(&mut root, "ALTER TABLE partners ADD COLUMN later BIGINT".into()).await;
    assert!(matches!(ledger.partner("acme").await, Err(Error::Unavailable(_))));
    for _ in 0..20 {
        ledger.partner("acme").await.unwrap();
    }
    drop_database(&name).await;
}

#[tokio::test]
async fn text_that_postgres_cannot_store_is_not_found() {
    let (ledger, name, _) = ledger().await;
    assert!(matches!(ledger.upload("a\0b").await, Err(Error::NotFound)));
    assert!(matches!(ledger.partner("a\0b").await, Err(Error::NotFound)));
    drop_database(&name).await;
}

#[tokio::test]
async fn wrong_password_is_reported_at_once_and_not_shown() {
    let mut url = server().database_url;
    url.set_password(Some("not-this-one")).unwrap();
    let begun = Instant::now();
    let Err(error) = Ledger::open(url.as_str()).await else { panic!("it opened") };
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let text = format!("{error}: {:?} {error:?}", error.source().map(ToString::to_string));
    assert!(text.contains("password authentication failed") && !text.contains("not-this-one"), "{text}");
}
