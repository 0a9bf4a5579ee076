//! HTTP below the handlers: connections, TLS, heads and bodies. Nothing here knows a route.

pub(crate) mod bounded_body;
mod certificate_expiry;
mod drain;
pub(crate) mod head;
pub(crate) mod html;
mod http1;
mod http2;
mod idle_timeout;
pub(crate) mod json;
pub(crate) mod listener;
pub(crate) mod places;
mod raw_heads;
pub(crate) mod request_body;
pub(crate) mod request_id;
pub(crate) mod security_headers;
pub(crate) mod tls;
pub(crate) mod trusted_proxy;
