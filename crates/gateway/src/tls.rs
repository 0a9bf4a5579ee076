//! TLS by rustls with its own modern defaults (1.2 and 1.3). A certificate that changes on disk is used for the next
//! connection, without a restart; one that cannot be read leaves the old one in place.

mod expiry;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::observe::metrics::as_f64;

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// A disk that takes longer to answer is told of.
const RELOAD_MAX: Duration = Duration::from_secs(10);
/// A chain of certificates has some thousands of bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Names of protocols in ALPN (RFC 9113 section 3.1, RFC 7301 section 6).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Ready to accept TLS connections; clones share the certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    certificates: Arc<Certificates>,
    with_http2: Arc<ServerConfig>,
    without_http2: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a certificate chain and its key, both PEM.
    pub(crate) fn open(chain: &Path, key: &Path) -> anyhow::Result<Self> {
        let certificates = Arc::new(Certificates::open(chain, key)?);
        let speaking = |protocols: &[&[u8]]| -> anyhow::Result<Arc<ServerConfig>> {
            let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self { with_http2: speaking(&[HTTP2, HTTP1])?, without_http2: speaking(&[HTTP1])?, certificates })
    }

    /// Shakes hands. Says whether HTTP/2 was agreed on: it is offered only to a client that asks for it, and if `room`,
    /// which is called then, says that there is some.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        room: impl FnOnce() -> bool,
    ) -> std::io::Result<(TlsStream<TcpStream>, bool)> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let asked = hello.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == HTTP2));
        let config = if asked && room() { &self.with_http2 } else { &self.without_http2 };
        let stream = hello.into_stream(Arc::clone(config)).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, is_http2))
    }

    /// Looks at the files until `stop`.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(RELOAD_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            let tls = self.clone();
            let mut reload = tokio::task::spawn_blocking(move || tls.reload());
            if tokio::time::timeout(RELOAD_MAX, &mut reload).await.is_err() {
                tracing::error!("the files of the certificate do not answer; the old one stays");
                let _ = stop.run_until_cancelled(reload).await;
            }
        }
    }

    /// Uses a changed certificate from now on.
    fn reload(&self) {
        match self.certificates.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!("the certificate was renewed"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the new certificate cannot be used; the old one stays"
            ),
        }
    }
}

/// The certificate in use, and where it comes from.
#[derive(Debug)]
struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// How the files looked when they were last read; none: they could not be looked at.
    seen: Mutex<Option<Stamp>>,
}

/// When both files were last written, and how long they are.
type Stamp = [(SystemTime, u64); 2];

impl Certificates {
    fn open(chain: &Path, key: &Path) -> Result<Self, Unusable> {
        // Looked at before they are read: what changes in between is read again.
        let seen = Mutex::new(stamp(chain, key).ok());
        let current = RwLock::new(Arc::new(read(chain, key)?));
        tell(&current.read().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), current, seen })
    }

    /// Says whether there was a new certificate. A pair that cannot be used is an error once, and is tried again when it
    /// changes: it may be half written.
    fn reload(&self) -> anyhow::Result<bool> {
        let stamp = stamp(&self.chain, &self.key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp.as_ref().ok().copied() {
            return Ok(false);
        }
        *seen = stamp.as_ref().ok().copied();
        stamp?;
        let certified = Arc::new(read(&self.chain, &self.key)?);
        tell(&certified);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Tells whoever watches when the certificate in use ends.
fn tell(certified: &CertifiedKey) {
    if let Some(at) = certified.cert.first().and_then(|certificate| expiry::seconds(certificate)) {
        metrics::gauge!("weighbridge_tls_certificate_expiry_time_seconds").set(as_f64(at));
    }
}

fn stamp(chain: &Path, key: &Path) -> anyhow::Result<Stamp> {
    let written = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|data| Ok((data.modified()?, data.len())))
            .with_context(|| format!("look at {}", path.display()))
    };
    Ok([written(chain)?, written(key)?])
}

/// Why a pair cannot be used, by the file that must be mended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The certificate chain.
    #[error("{0}")]
    Chain(String),
    /// The private key.
    #[error("{0}")]
    Key(String),
}

fn read(chain: &Path, key: &Path) -> Result<CertifiedKey, Unusable> {
    let certificates = CertificateDer::pem_slice_iter(&contents(chain).map_err(Unusable::Chain)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Unusable::Chain(format!("{}: {error}", chain.display())))?;
    if certificates.is_empty() {
        return Err(Unusable::Chain(format!("{} holds no certificate", chain.display())));
    }
    let shown = key.display();
    let key = PrivateKeyDer::from_pem_slice(&contents(key).map_err(Unusable::Key)?)
        .map_err(|error| Unusable::Key(format!("{shown}: {error}")))?;
    let provider = aws_lc_rs::default_provider();
    CertifiedKey::from_der(certificates, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Unusable::Key(format!("{shown} is not the key of the first certificate in {}", chain.display()))
        }
        rustls::Error::InvalidCertificate(_) => Unusable::Chain(format!("{}: {error}", chain.display())),
        error => Unusable::Key(format!("{shown}: {error}")),
    })
}

/// What is in a file. Nothing else is opened: whoever opens a pipe waits for its other end.
fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let read = || {
        if !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Ok(Some(bytes)) if bytes.len() as u64 <= FILE_BYTES_MAX => Ok(bytes),
        Ok(Some(_)) => Err(wrong("it is larger than any certificate")),
        Ok(None) => Err(wrong("it is not a regular file")),
        Err::<_, std::io::Error>(error) => Err(wrong(&error.to_string())),
    }
}

/// Checks a pair.
pub(crate) fn check(chain: &Path, key: &Path) -> Result<(), Unusable> {
    read(chain, key).map(drop)
}
