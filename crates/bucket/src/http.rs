//! The HTTP client that speaks to stores and STS: which certificates it trusts, and which proxy it takes. Invariant: what is
//! on this machine, and the cloud's metadata address, is never asked through a proxy.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Mutex;

/// Names a file of PEM certificates to trust, as with AWS's own tools.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// All authorities that a system trusts take a twentieth of this.
const CA_BUNDLE_BYTES_MAX: u64 = 4 << 20;
/// Where these name a proxy, requests to other machines go through it.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// A metadata address that did not answer is not asked again for so long.
const METADATA_ABSENT_FOR: Duration = Duration::from_secs(30);

/// A client that trusts the bundle beside the system's certificates, and takes the environment's proxy where it may.
pub(crate) fn client() -> SharedHttpClient {
    if PROXY_VARIABLES.into_iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
        return build(&ProxyConfig::disabled());
    }
    SharedHttpClient::new(Routed {
        direct: build(&ProxyConfig::disabled()),
        proxied: build(&ProxyConfig::from_env()),
    })
}

/// As the SDK makes its own, but for certificates and proxy.
fn build(proxy: &ProxyConfig) -> SharedHttpClient {
    // Without a good bundle nothing of it is trusted; the configuration says what is wrong with it.
    let pem = ca_bundle().ok().flatten();
    let context = pem.and_then(|pem| {
        let trust = TrustStore::default().with_pem_certificate(pem);
        TlsContext::builder().with_trust_store(trust).build().ok()
    });
    let proxy = proxy.clone();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        if let Some(context) = &context {
            connector = connector.tls_context(context.clone());
        }
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(proxy.clone()));
        connector.build()
    })
}

/// Takes the proxy for other machines alone.
#[derive(Debug)]
struct Routed {
    direct: SharedHttpClient,
    proxied: SharedHttpClient,
}

impl HttpClient for Routed {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Route {
            direct: self.direct.http_connector(settings, components),
            proxied: self.proxied.http_connector(settings, components),
        })
    }
}

#[derive(Debug)]
struct Route {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let stays = url_host(request.uri()).is_some_and(stays_here);
        if stays { self.direct.call(request) } else { self.proxied.call(request) }
    }
}

/// The host of an absolute URL, without brackets.
fn url_host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    }
}

/// Whether this host is this machine, or a link-local address, as the metadata services of clouds have.
fn stays_here(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match name.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_unspecified() || Ipv4Addr::is_link_local(&address)
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unspecified()
                || Ipv6Addr::is_unicast_link_local(&address)
                || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Asks the cloud's metadata address, directly; once it did not answer, all of this process leaves it alone for a while.
pub(crate) fn metadata_client() -> SharedHttpClient {
    SharedHttpClient::new(Metadata(build(&ProxyConfig::disabled())))
}

/// Since when the metadata address is known not to answer. Whoever asks holds it, so that others wait for what comes out.
static METADATA_ABSENT_SINCE: Mutex<Option<Instant>> = Mutex::const_new(None);

#[derive(Debug)]
struct Metadata(SharedHttpClient);

impl HttpClient for Metadata {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(MetadataConnector(Arc::new(self.0.http_connector(settings, components))))
    }
}

#[derive(Debug)]
struct MetadataConnector(Arc<SharedHttpConnector>);

impl HttpConnector for MetadataConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let mut absent = METADATA_ABSENT_SINCE.lock().await;
            if absent.is_some_and(|since| since.elapsed() < METADATA_ABSENT_FOR) {
                return Err(ConnectorError::other("the metadata address did not answer before".into(), None));
            }
            // Also for one that is dropped while it waits: its caller's time was over.
            *absent = Some(Instant::now());
            let begins = request.method() == "PUT";
            let answer = connector.call(request).await;
            // Who gets no token gets nothing else.
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success() || !begins) {
                *absent = None;
            }
            answer
        })
    }
}

/// The certificates of the file that `AWS_CA_BUNDLE` names, as PEM; none when it is not set. They are trusted beside those
/// of the system, by every bucket and by STS.
///
/// # Errors
/// What is wrong with the file and what to do, in words. Without a good one nothing of it is trusted.
pub fn ca_bundle() -> Result<Option<Vec<u8>>, String> {
    let Some(path) = std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) else { return Ok(None) };
    let wrong = |what: &str| {
        format!("{CA_BUNDLE}={}: {what}; name a file of PEM certificates, or unset it", path.display())
    };
    let unread = |error| wrong(&format!("cannot be read ({error})"));
    let about = std::fs::metadata(&path).map_err(unread)?;
    if !about.is_file() || about.len() > CA_BUNDLE_BYTES_MAX {
        return Err(wrong("is not a regular file of at most 4 MiB"));
    }
    let mut pem = Vec::new();
    let file = std::fs::File::open(&path).map_err(unread)?;
    file.take(CA_BUNDLE_BYTES_MAX).read_to_end(&mut pem).map_err(unread)?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&format!("is not PEM ({error})")))?;
        roots.add(certificate).map_err(|error| wrong(&format!("holds no usable certificate ({error})")))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate"));
    }
    Ok(Some(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_machines_are_asked_through_a_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:9000/bucket/key", true),
            ("http://127.8.8.8", true),
            ("http://localhost:3900/", true),
            ("http://bucket.LOCALHOST.:3900/?x", true),
            ("http://[::1]:3900/bucket", true),
            ("http://[::ffff:127.0.0.1]:3900/bucket", true),
            ("http://0.0.0.0:3900/", true),
            ("http://user@127.0.0.1/", true),
            ("http://169.254.169.254/latest/api/token", true),
            ("http://[fd00:ec2::254]/latest/api/token", true),
            ("https://bucket.s3.eu-central-1.amazonaws.com/key@127.0.0.1", false),
            ("https://127.0.0.1.example.com/", false),
            ("https://localhost.example.com/", false),
            ("http://10.0.0.1:3900/", false),
            ("https://[2001:db8::1]/", false),
            ("", false),
        ] {
            assert_eq!(url_host(url).is_some_and(stays_here), expected, "{url}");
        }
    }
}
