//! A plain TCP balancer: each connection goes to the next gateway in turn that accepts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};

/// A running balancer; it ends with the process.
pub(crate) struct Balancer {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Balancer {
    /// One that listens; its gateways are told by the sender of the channel.
    pub(crate) fn start(gateways: std::sync::mpsc::Receiver<Vec<String>>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let Ok(gateways) = gateways.recv() else { return };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, gateways.into()));
        });
        Self { url }
    }
}

async fn serve(listener: std::net::TcpListener, gateways: Arc<[String]>) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    while let Ok((mut client, _)) = listener.accept().await {
        let (gateways, next) = (gateways.clone(), next.clone());
        tokio::spawn(async move {
            let first = next.fetch_add(1, Ordering::Relaxed);
            for turn in 0..gateways.len() {
                if let Ok(mut gateway) = TcpStream::connect(&gateways[(first + turn) % gateways.len()]).await
                {
                    // A connection that breaks is both ends' matter.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut gateway).await;
                    return;
                }
            }
        });
    }
}
