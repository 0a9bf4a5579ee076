//! The files that a browser loads beside a page: built from `web/` and committed. Their names have a hash of their bytes.

/// A file of `web/dist`.
#[derive(Debug)]
pub struct Asset {
    /// Its name in `web/`, such as `page.js`.
    plain_name: &'static str,
    /// The name that it is served under.
    pub name: &'static str,
    /// Media type.
    pub content_type: &'static str,
    pub bytes: &'static [u8],
}

include!("../web/dist/assets.inc");

/// What pages and other assets may load and run.
const NOTHING: &str = "default-src 'none'";
/// A worker takes the policy of its own response, so only it may compile WebAssembly.
const WORKER: &str = "default-src 'none'; script-src 'wasm-unsafe-eval'";

impl Asset {
    /// The file that is served under this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.name == name)
    }

    /// Its `Content-Security-Policy`.
    pub fn policy(&self) -> &'static str {
        if self.plain_name == "worker.js" { WORKER } else { NOTHING }
    }
}

/// The address of a file that `web/` calls this.
pub(crate) fn address(plain_name: &str) -> String {
    let asset = ASSETS.iter().find(|asset| asset.plain_name == plain_name);
    format!("/assets/{}", asset.map_or(plain_name, |asset| asset.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_by_its_name() {
        for asset in &ASSETS {
            assert!(Asset::find(asset.name).is_some_and(|found| found.plain_name == asset.plain_name));
            assert_eq!(address(asset.plain_name), format!("/assets/{}", asset.name));
            assert_ne!(asset.plain_name, asset.name);
            assert!(!asset.bytes.is_empty() && asset.content_type.ends_with("charset=utf-8"));
        }
        assert!(Asset::find("page.js").is_none() && Asset::find("../Cargo.toml").is_none());
    }
}
