//! The client's address and scheme: from the connection, or from a trusted proxy in front.
//! Invariant: a client's own headers are never believed.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use crate::state::AppState;

/// The connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Every hop that we know of is encrypted.
    pub(crate) https: bool,
}

/// Adds the client to the request, and tells a browser that came over TLS to stay there.
pub(crate) async fn identify(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().copied();
    let client = connection.map(|connection| client(connection, request.headers(), &app.trusted_proxies));
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let mut response = next.run(request).await;
    if client.is_some_and(|client| client.https) {
        // RFC 6797; one year, this host alone.
        let stay = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert("strict-transport-security", stay);
    }
    response
}

/// The nearest address that is not a trusted proxy. Each proxy appends the address it was called from to `X-Forwarded-For`, so
/// anything before that may be forged. The scheme is what the nearest proxy reports.
fn client(connection: Connection, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let trusts = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut address = connection.peer.ip().to_canonical();
    let mut https = connection.tls;
    if !trusts(&address) {
        return Client { address, https };
    }
    let list = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|item| item.trim().to_owned()).collect()
    };
    if let Some(scheme) = list("x-forwarded-proto").last() {
        https = scheme.eq_ignore_ascii_case("https");
    }
    for item in list("x-forwarded-for").iter().rev() {
        let Some(before) = address_of(item) else { break };
        address = before.to_canonical();
        if !trusts(&address) {
            break;
        }
    }
    Client { address, https }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).to_vec();
        for (peer, forwarded, scheme, expected) in [
            ("192.0.2.7:1", "", "", "192.0.2.7 http"),
            ("192.0.2.7:1", "198.51.100.1", "https", "192.0.2.7 http"),
            ("10.0.0.1:1", "", "", "10.0.0.1 http"),
            ("10.0.0.1:1", "198.51.100.1", "https", "198.51.100.1 https"),
            ("10.0.0.1:1", "1.1.1.1, 198.51.100.1", "http", "198.51.100.1 http"),
            ("10.0.0.1:1", "1.1.1.1, 198.51.100.1, 10.9.9.9", "https", "198.51.100.1 https"),
            ("10.0.0.1:1", "10.1.1.1, 10.2.2.2", "https", "10.1.1.1 https"),
            ("10.0.0.1:1", "198.51.100.1, unknown", "https", "10.0.0.1 https"),
            ("10.0.0.1:1", "198.51.100.1:4711", "HTTPS", "198.51.100.1 https"),
            ("[::1]:1", "[2001:db8::1]:4711", "https", "2001:db8::1 https"),
            ("[::1]:1", "[2001:db8::1]", "https, http", "2001:db8::1 http"),
            ("[::ffff:10.0.0.1]:1", "2001:db8::1", "", "2001:db8::1 http"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("x-forwarded-for", forwarded), ("x-forwarded-proto", scheme)] {
                if !value.is_empty() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            let connection = Connection { peer: peer.parse().unwrap(), tls: false };
            let found = client(connection, &headers, &trusted);
            let found = format!("{} {}", found.address, if found.https { "https" } else { "http" });
            assert_eq!(found, expected, "{peer} {forwarded:?} {scheme:?}");
        }
    }
}
