//! HTTP/2, TLS and connections, down to the frame.

mod connections;
mod http2;
mod http2_abuse;
mod tls;
mod transports;
