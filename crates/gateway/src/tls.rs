//! TLS by rustls with its own modern defaults (1.2 and 1.3). A certificate that changes on disk is used for the next
//! connection, without a restart; one that cannot be read leaves the old one in place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Ready to accept TLS connections; clones share the certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    certificates: Arc<Certificates>,
    with_http2: TlsAcceptor,
    without_http2: TlsAcceptor,
}

impl Tls {
    /// Reads a certificate chain and its key, both PEM.
    pub(crate) fn open(chain: &Path, key: &Path) -> anyhow::Result<Self> {
        let certificates = Arc::new(Certificates::open(chain, key)?);
        let acceptor = |protocols: &[&[u8]]| -> anyhow::Result<TlsAcceptor> {
            let mut config =
                rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                    .with_safe_default_protocol_versions()?
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(TlsAcceptor::from(Arc::new(config)))
        };
        Ok(Self {
            with_http2: acceptor(&[b"h2", b"http/1.1"])?,
            without_http2: acceptor(&[b"http/1.1"])?,
            certificates,
        })
    }

    /// Shakes hands. Says whether the client chose HTTP/2, which is offered only if there is room for it.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        http2: bool,
    ) -> std::io::Result<(TlsStream<TcpStream>, bool)> {
        let acceptor = if http2 { &self.with_http2 } else { &self.without_http2 };
        let stream = acceptor.accept(stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, is_http2))
    }

    /// Looks at the files until `stop`.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) {
        let mut every = tokio::time::interval(RELOAD_EVERY);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            self.reload();
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
    current: RwLock<(Arc<CertifiedKey>, Stamp)>,
}

/// When both files were last written.
type Stamp = (SystemTime, SystemTime);

impl Certificates {
    fn open(chain: &Path, key: &Path) -> anyhow::Result<Self> {
        let current = RwLock::new((Arc::new(read(chain, key)?), stamp(chain, key)?));
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), current })
    }

    fn reload(&self) -> anyhow::Result<bool> {
        let stamp = stamp(&self.chain, &self.key)?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).1 == stamp {
            return Ok(false);
        }
        let certified = read(&self.chain, &self.key);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // A pair that does not fit is tried again only when it changes: it may be half written.
        current.1 = stamp;
        current.0 = Arc::new(certified?);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}

fn stamp(chain: &Path, key: &Path) -> anyhow::Result<Stamp> {
    let written = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .with_context(|| format!("look at {}", path.display()))
    };
    Ok((written(chain)?, written(key)?))
}

fn read(chain: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read certificate chain {}", chain.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", chain.display());
    let key =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("read private key {}", key.display()))?;
    CertifiedKey::from_der(certificates, key, &aws_lc_rs::default_provider())
        .with_context(|| format!("use the key with {}", chain.display()))
}
