//! What several commands check.

use anyhow::bail;

pub(super) fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("the name is empty".into()) } else { Ok(name.to_owned()) }
}

/// Names what the ledger does not know.
pub(super) fn known(result: ledger::Result<()>, id: &str) -> anyhow::Result<()> {
    match result {
        Err(ledger::Error::NotFound) => bail!("nothing is called `{id}`; run the `list` command"),
        other => Ok(other?),
    }
}
