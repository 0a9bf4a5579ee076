//! Runs the same tests with ledgers in a real Postgres: `WEIGHBRIDGE_TEST_POSTGRES` names a server where databases may be
//! created, which `.ci/postgres` starts. Each sandbox gets a database there instead of a SQLite file.

use std::process::Command;

/// A database for this test alone; dropping it removes it.
pub struct Postgres {
    server: String,
    name: String,
}

impl Postgres {
    /// Creates one on the server to test against, if there is one.
    pub fn from_environment() -> Option<Self> {
        let server = std::env::var("WEIGHBRIDGE_TEST_POSTGRES").ok()?;
        let name = format!("wb_{}", ledger::new_id().to_lowercase());
        let postgres = Self { server, name };
        postgres.on_server(&format!("CREATE DATABASE {}", postgres.name));
        Some(postgres)
    }

    /// Its address, in the form of the configuration.
    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    /// Runs a statement and returns its output.
    pub fn sql(&self, statement: &str) -> String {
        psql(&self.url(), statement)
    }

    fn on_server(&self, statement: &str) {
        psql(&self.server, statement);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.on_server(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, statement: &str) -> String {
    let output = Command::new("psql").args(["-qAtX", url, "-c", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
