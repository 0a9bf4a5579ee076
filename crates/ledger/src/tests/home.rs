//! Where a test keeps its ledger: nobody else's, and gone afterwards.

use std::str::FromStr as _;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _};
use tempfile::TempDir;

/// A folder for a SQLite file, or a database on a Postgres server.
pub(super) enum Home {
    Folder(TempDir),
    Database { server: String, name: String },
}

impl Home {
    pub(super) async fn make() -> Self {
        let Ok(server) = std::env::var("WEIGHBRIDGE_TEST_POSTGRES") else {
            return Self::Folder(TempDir::new().unwrap());
        };
        let name = format!("ledger_{}", crate::new_id().to_lowercase());
        run(&server, format!("CREATE DATABASE {name}")).await;
        Self::Database { server, name }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("sqlite:{}", folder.path().join("ledger.db").display()),
            Self::Database { server, name } => {
                let mut options = AnyConnectOptions::from_str(server).unwrap();
                options.database_url.set_path(name);
                options.database_url.into()
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Self::Database { server, name } = self else { return };
        let (server, statement) = (server.clone(), format!("DROP DATABASE {name} WITH (FORCE)"));
        // A test's own runtime does not wait here.
        let drop_it = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&server, statement));
        };
        std::thread::spawn(drop_it).join().unwrap();
    }
}

async fn run(server: &str, statement: String) {
    sqlx::any::install_default_drivers();
    let mut connection: AnyConnection = AnyConnectOptions::from_str(server).unwrap().connect().await.unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await.unwrap();
}
