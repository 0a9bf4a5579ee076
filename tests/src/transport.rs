//! The transport between tests and gateway: HTTP/1.1 or HTTP/2, plain or TLS, set for a whole run by
//! `WEIGHBRIDGE_TEST_TRANSPORT` or by one test. Helpers look up a gateway's transport by its address, so a test does not
//! mention it. Other services of the sandbox stay plain HTTP/1.1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use serde_json::Value;

use crate::{Gateway, Sandbox};

/// Sets the transport of a run: `http1` (the default), `http2`, `tls` or `http2-tls`.
const VARIABLE: &str = "WEIGHBRIDGE_TEST_TRANSPORT";

/// The transport to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Http1,
    /// Plain HTTP/2 with prior knowledge.
    Http2,
    Tls,
    /// HTTP/2 over TLS, by ALPN.
    Http2Tls,
}

impl Transport {
    pub const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Tls, Self::Http2Tls];

    /// The transport of this run.
    pub fn of_run() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "http1") => Self::Http1,
            Ok("http2") => Self::Http2,
            Ok("tls") => Self::Tls,
            Ok("http2-tls") => Self::Http2Tls,
            Ok(other) => panic!("{VARIABLE} is {other:?}: set http1, http2, tls or http2-tls"),
        }
    }

    /// The transport to the gateway of this URL; plain HTTP/1.1 for other servers.
    pub fn to(url: &str) -> Self {
        known().get(authority(url)).map_or(Self::Http1, |way| way.transport)
    }

    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Http2Tls)
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    fn scheme(self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// curl's option for the HTTP version.
    fn curl_option(self) -> &'static str {
        match self {
            Self::Http1 | Self::Tls => "http1.1",
            Self::Http2 => "http2-prior-knowledge",
            Self::Http2Tls => "http2",
        }
    }
}

/// A gateway's transport and the authority that issued its certificate.
#[derive(Clone)]
struct Way {
    transport: Transport,
    authority: PathBuf,
}

/// The running gateways by address and port.
static KNOWN: Mutex<BTreeMap<String, Way>> = Mutex::new(BTreeMap::new());

fn known() -> std::sync::MutexGuard<'static, BTreeMap<String, Way>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Address and port of a URL.
pub(crate) fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// The options that curl needs in addition to these arguments; none unless one is the URL of a gateway.
pub(crate) fn curl_arguments(arguments: &[&str]) -> Vec<String> {
    let Some(way) = arguments
        .iter()
        .filter(|argument| argument.starts_with("http"))
        .find_map(|url| known().get(authority(url)).cloned())
    else {
        return Vec::new();
    };
    let mut more = Vec::new();
    // A redirect leads to S3, which speaks HTTP/1.1 only.
    let follows = arguments.iter().any(|argument| argument.starts_with('-') && argument.ends_with('L'));
    if way.transport != Transport::Http2 || !follows {
        more.push(format!("--{}", way.transport.curl_option()));
    }
    if way.transport.is_tls() {
        more.extend(["--cacert".into(), way.authority.to_str().unwrap().into()]);
    }
    more
}

/// The authority that issues all test certificates; created once per process.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn get() -> &'static Self {
        static AUTHORITY: OnceLock<Authority> = OnceLock::new();
        AUTHORITY.get_or_init(|| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "Weighbridge tests");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        })
    }

    /// Its own certificate as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for loopback with this common name, and its key, as PEM.
    pub fn issue(&self, common_name: &str) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A TLS client that trusts it and offers these protocols by ALPN.
    pub fn client(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl Sandbox {
    /// Sets the transport of its gateways.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        let rest = self.text("/url").split_once("://").unwrap().1.to_owned();
        reword(&mut self.description, &format!("{}://{rest}", self.transport.scheme()), &|found| {
            found.replacen(self.transport.scheme(), transport.scheme(), 1)
        });
        self.transport = transport;
        self
    }

    /// Writes the certificate, if TLS is used, and adds it to the gateway's configuration.
    pub(crate) fn secure(&self, config: &mut toml::Table) {
        let path = |name: &str| self.tls_file(name).into_os_string().into_string().unwrap();
        if self.transport.is_tls() {
            std::fs::create_dir_all(self.data().join("tls")).unwrap();
            let (chain, key) = Authority::get().issue("weighbridge");
            for (name, pem) in [("ca.pem", Authority::get().pem()), ("chain.pem", chain), ("key.pem", key)] {
                std::fs::write(path(name), pem).unwrap();
            }
            let server = config["server"].as_table_mut().unwrap();
            server.insert("tls_cert".into(), path("chain.pem").into());
            server.insert("tls_key".into(), path("key.pem").into());
            server.insert("public_url".into(), self.text("/url").into());
        }
        let way = Way { transport: self.transport, authority: path("ca.pem").into() };
        known().insert(authority(&self.text("/url")).to_owned(), way);
    }

    /// The path of `ca.pem`, `chain.pem` or `key.pem`.
    pub fn tls_file(&self, name: &str) -> PathBuf {
        self.data().join("tls").join(name)
    }

    /// Sets the environment that curl and `wb` need to reach the gateway over its transport.
    pub fn reachable_from<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let options = self.data().join("curl");
        std::fs::create_dir_all(&options).unwrap();
        std::fs::write(options.join(".curlrc"), format!("{}\n", self.transport.curl_option())).unwrap();
        if self.transport.is_tls() {
            let authority: &Path = &self.tls_file("ca.pem");
            command.env("CURL_CA_BUNDLE", authority).env("SSL_CERT_FILE", authority);
        }
        command.env("CURL_HOME", options)
    }
}

impl Gateway {
    /// Address and port.
    pub fn address(&self) -> &str {
        authority(&self.url)
    }
}

/// Changes every text that starts with this.
fn reword(value: &mut Value, begin: &str, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) if text.starts_with(begin) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| reword(item, begin, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| reword(field, begin, change)),
        _ => {}
    }
}
