//! TLS by rustls with its modern defaults (1.2 and 1.3). A certificate that changes on disk is used from the next connection
//! on, without a restart. If the new one cannot be used, the old one stays.

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

use super::certificate_expiry;
use crate::telemetry::metrics::as_f64;

/// How often the files are checked for changes.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// A disk that takes longer is reported.
const RELOAD_MAX: Duration = Duration::from_secs(10);
/// A certificate chain has a few thousand bytes.
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

    /// Does the handshake, and tells whether HTTP/2 was negotiated. It is offered only to a client that asks for it, and only
    /// if `room` returns true.
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

    /// Reloads changed files until `stop`.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(RELOAD_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            let tls = self.clone();
            let mut reload = tokio::task::spawn_blocking(move || tls.reload());
            if tokio::time::timeout(RELOAD_MAX, &mut reload).await.is_err() {
                tracing::error!("reading the certificate takes too long; the old one stays");
                let _ = stop.run_until_cancelled(reload).await;
            }
        }
    }

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

#[derive(Debug)]
struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// The files' state when they were last read; none if that is unknown.
    seen: Mutex<Option<Stamp>>,
}

/// Modification time and length of both files.
type Stamp = [(SystemTime, u64); 2];

impl Certificates {
    fn open(chain: &Path, key: &Path) -> Result<Self, Unusable> {
        // Taken before reading, so that a change in between is noticed.
        let seen = Mutex::new(stamp(chain, key).ok());
        let current = RwLock::new(Arc::new(read(chain, key)?));
        report(&current.read().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), current, seen })
    }

    /// Returns whether there was a new certificate. An unusable pair is an error once, and is tried again when it changes: it
    /// may be half written.
    fn reload(&self) -> anyhow::Result<bool> {
        let stamp = stamp(&self.chain, &self.key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp.as_ref().ok().copied() {
            return Ok(false);
        }
        *seen = stamp.as_ref().ok().copied();
        stamp?;
        let certified = Arc::new(read(&self.chain, &self.key)?);
        report(&certified);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Sets the metric of the certificate's end.
fn report(certified: &CertifiedKey) {
    if let Some(at) = certified.cert.first().and_then(|certificate| certificate_expiry::seconds(certificate))
    {
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

/// Why a pair cannot be used, by the file to fix.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Chain(String),
    #[error("{0}")]
    Key(String),
}

fn read(chain: &Path, key: &Path) -> Result<CertifiedKey, Unusable> {
    let certificates = CertificateDer::pem_slice_iter(&contents(chain).map_err(Unusable::Chain)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Unusable::Chain(format!("{}: {error}", chain.display())))?;
    if certificates.is_empty() {
        return Err(Unusable::Chain(format!("{} contains no certificate", chain.display())));
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

/// The content of a regular file. Nothing else is opened: a pipe would block.
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

pub(crate) fn check(chain: &Path, key: &Path) -> Result<(), Unusable> {
    read(chain, key).map(drop)
}
