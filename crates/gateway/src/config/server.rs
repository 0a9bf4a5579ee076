//! `[server]`: listening addresses, TLS, and trusted proxies.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::reader::{Section, url};
use super::secret;
use crate::http::tls::{self, Unusable};

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Without a slash at its end. The default is the listening address.
    pub(crate) public_url: Option<String>,
    pub(crate) max_connections: usize,
    /// For one client address (for IPv6: a network of 64 bits). Trusted proxies have no such limit.
    pub(crate) connections_per_address: usize,
    /// Certificate chain and private key, PEM files.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

impl Server {
    /// The address in links and notes: the public one, or else the listening one.
    pub(crate) fn base_url(&self, listening: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{listening}"))
    }
}

/// Largest PEM file of a certificate chain or key.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// More connections than a machine has ports.
const CONNECTIONS_MAX: u64 = 1_000_000;
pub(super) fn read(mut section: Section<'_>) -> Server {
    let address = "write an address and a port, for example `\"127.0.0.1:8080\"`";
    let listen =
        section.parsed("listen", address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let metrics_listen = section.parsed("metrics_listen", address);
    if metrics_listen.is_some_and(|metrics| meet(listen, metrics)) {
        let fix = "give it a port of its own, for example `\"127.0.0.1:9090\"`";
        section.wrong("metrics_listen", "is the address of `listen`", fix);
    }
    let public_url = url(&mut section, "public_url");
    if !section.has("public_url") && listen.ip().to_canonical().is_unspecified() {
        let what = format!("is missing, and nobody can reach {listen}, which links would name instead");
        let fix =
            "add the address that partners use, for example `public_url = \"https://files.example.com\"`";
        section.wrong("public_url", &what, fix);
    }
    let in_clear = public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    if in_clear.is_some_and(|url| url.scheme() == "http" && !desk::is_loopback(&url)) {
        let what = "plain http shows every link's token to everybody on the way";
        let fix = "end TLS here (tls_cert, tls_key) or in a proxy in front, and write `https://`";
        section.warn("public_url", what, fix);
    }
    let max_connections = section.number("max_connections", "2000").unwrap_or(2_000);
    if !(1..=CONNECTIONS_MAX).contains(&max_connections) {
        let fix = format!("write 1 to {CONNECTIONS_MAX}");
        section.wrong("max_connections", &format!("{max_connections} is out of range"), &fix);
    }
    // A company behind one address may use most of them, and some are always for others.
    let of_address = section
        .number("connections_per_address", "1500")
        .unwrap_or_else(|| max_connections.div_ceil(4).saturating_mul(3));
    if of_address == 0 {
        section.wrong("connections_per_address", "is 0", "write at least 1");
    }
    let tls = match (section.string("tls_cert"), section.string("tls_key")) {
        (Some(chain), Some(key)) => {
            let pair = (PathBuf::from(chain), PathBuf::from(key));
            check_tls(&section, &pair);
            Some(pair)
        }
        (None, None) => None,
        (Some(_), None) => {
            section.wrong("tls_key", "is missing", "add the private key of tls_cert");
            None
        }
        (None, Some(_)) => {
            section.wrong("tls_cert", "is missing", "add the certificate chain of tls_key");
            None
        }
    };
    let trusted_proxies = trusted_proxies(&mut section);
    section.finish();
    let [max_connections, connections_per_address] =
        [max_connections, of_address].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    Server {
        listen,
        metrics_listen,
        public_url,
        max_connections,
        connections_per_address,
        tls,
        trusted_proxies,
    }
}

/// Whether two listeners would need the same address.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let same = ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified();
    one.port() != 0 && one.port() == other.port() && same
}

fn check_tls(section: &Section<'_>, (chain, key): &(PathBuf, PathBuf)) {
    let unusable = |path: &PathBuf| {
        let what = secret::unusable(path, PEM_BYTES_MAX)?;
        Some(format!("`{}` {what}", path.display()))
    };
    let checked = match (unusable(chain), unusable(key)) {
        (Some(what), _) => Err(Unusable::Chain(what)),
        (None, Some(what)) => Err(Unusable::Key(what)),
        (None, None) => tls::check(chain, key),
    };
    let (name, what, fix) = match checked {
        Ok(()) if secret::is_open_to_all(key) => {
            let what = format!("everybody on this machine may read `{}`", key.display());
            return section.warn("tls_key", &what, "take that away: `chmod o= FILE`");
        }
        Ok(()) => return,
        Err(Unusable::Chain(what)) => {
            ("tls_cert", what, "name a PEM file that this process can read, the server's certificate first")
        }
        Err(Unusable::Key(what)) => {
            ("tls_key", what, "name the PEM file of tls_cert's private key, readable for this process")
        }
    };
    section.wrong(name, &format!("cannot be used ({what})"), fix);
}

fn trusted_proxies(section: &mut Section<'_>) -> Vec<IpNet> {
    let mut proxies = Vec::new();
    for text in section.strings("trusted_proxies") {
        match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => {
                if net.prefix_len() == 0 {
                    let what = format!("`{text}` believes whatever anybody writes into X-Forwarded-For");
                    let fix = "write the addresses of your proxies alone";
                    section.warn("trusted_proxies", &what, fix);
                }
                proxies.push(net);
            }
            Err(_) => {
                let fix = "write addresses or networks, for example `[\"10.0.0.0/8\", \"::1\"]`";
                section.wrong("trusted_proxies", &format!("`{text}` cannot be parsed"), fix);
            }
        }
    }
    proxies
}
