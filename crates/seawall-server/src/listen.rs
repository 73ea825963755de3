//! Listening: plain HTTP on loopback, TLS anywhere else, and a clean end.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use tracing::info;

use crate::App;
use crate::auth::Access;

/// How long requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// Certificate and key, PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key, needed beyond loopback.
    pub tls: Option<Tls>,
}

impl Listen {
    /// Refuses what would be open to strangers: beyond loopback both tokens and TLS are needed.
    pub fn check(&self, access: &Access) -> Result<()> {
        if self.address.ip().is_loopback() {
            return Ok(());
        }
        let missing = match (access, &self.tls) {
            (Access::Tokens, Some(_)) => return Ok(()),
            (Access::Tokens, None) => "TLS",
            (Access::Open(_), Some(_)) => "tokens",
            (Access::Open(_), None) => "tokens and TLS",
        };
        Err(Error::invalid("SW0881", format!("will not listen on {} without {missing}", self.address))
            .hint("create a token with `seawall token create`, and give --tls-certificate and --tls-key; or listen on 127.0.0.1"))
    }
}

/// Serves `app` until `stop` is done. `ready` is told the address once the socket listens.
pub async fn serve(
    app: App,
    listen: &Listen,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    listen.check(&app.access)?;
    let cannot = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "SW0882", format!("cannot listen on {}", listen.address))
            .because(error)
            .hint("another process may hold the port; choose one with --listen, or port 0 for a free one")
    };
    let socket = TcpListener::bind(listen.address).map_err(cannot)?;
    socket.set_nonblocking(true).map_err(cannot)?;
    let address = socket.local_addr().map_err(cannot)?;
    let handle = Handle::new();
    let stopper = handle.clone();
    tokio::spawn(async move {
        stop.await;
        stopper.graceful_shutdown(Some(GRACE));
    });
    let service = crate::http::router(app).into_make_service();
    info!(%address, tls = listen.tls.is_some(), "listening");
    ready(address);
    match &listen.tls {
        None => axum_server::from_tcp(socket).map_err(cannot)?.handle(handle).serve(service).await.map_err(cannot),
        Some(tls) => {
            let config = RustlsConfig::from_pem_file(&tls.certificate, &tls.key).await.map_err(|error| {
                Error::invalid("SW0883", "cannot use the TLS certificate or key")
                    .because(error)
                    .hint("both must be PEM files that belong together")
            })?;
            let server = axum_server::from_tcp_rustls(socket, config).map_err(cannot)?;
            server.handle(handle).serve(service).await.map_err(cannot)
        }
    }
}
