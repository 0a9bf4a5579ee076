//! The HTTP client for stores and STS: trusted certificates and proxies. Invariant: requests to this machine and to the
//! cloud's metadata address never go through a proxy.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Mutex;

/// A file of PEM certificates to trust, as in AWS's own tools.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
/// The certificates of a whole system take a twentieth of this.
const CA_BUNDLE_BYTES_MAX: u64 = 4 << 20;
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// How long a metadata address that did not answer is left alone.
const METADATA_ABSENT_FOR: Duration = Duration::from_secs(30);

/// A client that also trusts the CA bundle, and uses the environment's proxy for other machines.
pub(crate) fn client() -> SharedHttpClient {
    if PROXY_VARIABLES.into_iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
        return build(&ProxyConfig::disabled());
    }
    let (direct, proxied) = (build(&ProxyConfig::disabled()), build(&ProxyConfig::from_env()));
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Route {
            direct: direct.http_connector(settings, components),
            proxied: proxied.http_connector(settings, components),
        })
    })
}

/// Like the SDK's own client, except for certificates and proxy.
fn build(proxy: &ProxyConfig) -> SharedHttpClient {
    // A bad bundle is ignored here; the check of the configuration reports it.
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

/// Uses the proxy for other machines only.
#[derive(Debug)]
struct Route {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let bypasses_proxy = url_host(request.uri()).is_some_and(bypasses_proxy);
        if bypasses_proxy { self.direct.call(request) } else { self.proxied.call(request) }
    }
}

/// The host of an absolute URL, without the brackets of an IPv6 address.
fn url_host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    }
}

/// Whether the host is this machine or a link-local address, which the metadata services of clouds use.
fn bypasses_proxy(host: &str) -> bool {
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

/// A client for the cloud's metadata address. If it does not answer, the whole process leaves it alone for a while.
pub(crate) fn metadata_client() -> SharedHttpClient {
    let client = build(&ProxyConfig::disabled());
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Metadata(client.http_connector(settings, components)))
    })
}

/// Since when the metadata address has not answered. Locked during a request, so that others wait for its result.
static METADATA_ABSENT_SINCE: Mutex<Option<Instant>> = Mutex::const_new(None);

#[derive(Debug)]
struct Metadata(SharedHttpConnector);

impl HttpConnector for Metadata {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.0.clone();
        HttpConnectorFuture::new(async move {
            let mut absent = METADATA_ABSENT_SINCE.lock().await;
            if absent.is_some_and(|since| since.elapsed() < METADATA_ABSENT_FOR) {
                return Err(ConnectorError::other(
                    "the metadata address did not answer recently".into(),
                    None,
                ));
            }
            // Set first, in case this future is dropped because its caller ran out of time.
            *absent = Some(Instant::now());
            let is_token_request = request.method() == "PUT";
            let answer = connector.call(request).await;
            // Without a token, the address answers nothing else.
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success() || !is_token_request) {
                *absent = None;
            }
            answer
        })
    }
}

/// The PEM certificates in the file that `AWS_CA_BUNDLE` names; `None` if it is not set. Buckets and STS trust them in
/// addition to the system's.
///
/// # Errors
/// What is wrong with the file and how to fix it.
pub fn ca_bundle() -> Result<Option<Vec<u8>>, String> {
    let Some(path) = std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) else { return Ok(None) };
    let wrong = |what: &str| {
        format!("{CA_BUNDLE}={}: {what}; set it to a file of PEM certificates, or unset it", path.display())
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
        roots
            .add(certificate)
            .map_err(|error| wrong(&format!("contains an unusable certificate ({error})")))?;
    }
    if roots.is_empty() {
        return Err(wrong("contains no certificate"));
    }
    Ok(Some(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_to_other_machines_use_the_proxy() {
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
            assert_eq!(url_host(url).is_some_and(bypasses_proxy), expected, "{url}");
        }
    }
}
