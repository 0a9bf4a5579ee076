//! Ledger URLs: which ones are valid, and how they are logged.
//! Invariant: no message and no log line contains a password.

use std::str::FromStr as _;

use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::dialect::Dialect;

/// The parameters of a `postgres://` URL that are understood; sqlx ignores any other silently.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "hostaddr",
    "application_name",
    "statement-cache-capacity",
];

/// Checks a ledger's URL without opening anything.
///
/// # Errors
/// What is wrong and, after `; `, what to write instead.
pub fn check_url(url: &str) -> Result<(), String> {
    match Dialect::of(url) {
        None => {
            Err("is not a ledger's address; write `\"sqlite:PATH\"` or `\"postgres://USER@HOST/DATABASE\"`"
                .into())
        }
        Some(Dialect::Sqlite) => Ok(()),
        Some(Dialect::Postgres) => {
            let options = AnyConnectOptions::from_str(url).map_err(|error| {
                format!(
                    "cannot be read ({}); write `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `%40` for `@`, `%2F` \
                     for `/` and `%3A` for `:` in a password",
                    cause(&error)
                )
            })?;
            let known = |key: &str| PARAMETERS.contains(&key) || key.starts_with("options[");
            if let Some((key, _)) = options.database_url.query_pairs().find(|(key, _)| !known(key)) {
                let key: String = key.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
                return Err(format!("has a parameter `{key}` that is not understood; leave it out"));
            }
            PgConnectOptions::try_from(&options)
                .map(drop)
                .map_err(|error| format!("cannot be read ({}); fix that parameter", cause(&error)))
        }
    }
}

/// The path of a SQLite ledger.
pub fn file(url: &str) -> Option<&std::path::Path> {
    url.strip_prefix("sqlite:").map(std::path::Path::new)
}

/// The error without the words that sqlx puts around it.
fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// The URL as it may be logged: without user, password and parameters.
pub fn shown(url: &str) -> String {
    if Dialect::of(url) != Some(Dialect::Postgres) {
        return url.to_owned();
    }
    let Ok(options) = AnyConnectOptions::from_str(url) else { return "postgres://…".into() };
    let url = options.database_url;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_urls() {
        for good in [
            "sqlite:/a",
            "postgres://h/d",
            "postgresql://u:p%40@h:5433/d?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres:///d?host=/run/postgresql&options[search_path]=w",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for (bad, said) in [
            ("mysql://u:secret@h/d", "postgres://USER@HOST"),
            ("postgres:d", "postgres://USER@HOST"),
            ("postgres://u:secret@h:x/d", "invalid port"),
            ("postgres://u:secret@h/d?sslmode=secret-ish", "sslmode"),
            ("postgres://u:secret@h/d?passwd=secret", "`passwd`"),
            ("postgres://u:se/cret@h/d", "%2F"),
        ] {
            let text = check_url(bad).unwrap_err();
            assert!(text.contains(said) || text.contains(&said.replace("ssl", "ssl_")), "{bad}: {text}");
            assert!(text.contains("; ") && !text.contains("u:secret") && !text.contains("cret@"), "{text}");
        }
    }

    #[test]
    fn a_logged_url_has_no_password() {
        assert_eq!(shown("postgres://u:secret@h:1/d?password=secret"), "postgres://h:1/d");
        assert_eq!(shown("postgres://u:secret@h:x/d"), "postgres://…");
        assert_eq!(shown("sqlite:/a"), "sqlite:/a");
    }
}
