//! Listening: HTTP and Flight, plain on loopback, with TLS anywhere else; limits of connections; a clean end.

mod crowd;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use tokio::sync::SetOnce;
use tracing::info;

use self::crowd::Crowd;
use crate::auth::Access;
use crate::ingest::Counters;
use crate::{App, Front};

/// How long requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// Connections that a port has at the same time.
const CONNECTIONS_MAX: usize = 4_096;
/// How long the head of a request may take, also on a connection that is kept open for more.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Calls that one Flight connection may make at the same time.
const STREAMS_MAX: u32 = 64;
/// How often a Flight client that says nothing is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

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

/// The sockets of a server: HTTP, and Flight when it has an address too.
pub struct Ports {
    http: Port,
    flight: Option<Port>,
}

impl Ports {
    /// Listens; nothing is answered before [`Ports::serve`].
    pub async fn open(access: &Access, http: &Listen, flight: Option<&Listen>) -> Result<Ports> {
        let http = Port::open(access, http, Protocol::Http).await?;
        let flight = match flight {
            Some(listen) => Some(Port::open(access, listen, Protocol::Flight).await?),
            None => None,
        };
        Ok(Ports { http, flight })
    }

    /// Where they listen: HTTP, then Flight.
    pub fn addresses(&self) -> (SocketAddr, Option<SocketAddr>) {
        (self.http.address, self.flight.as_ref().map(|flight| flight.address))
    }

    /// Serves what `front` leads to until `stop` is done. Flight waits for the app.
    pub async fn serve(self, front: Front, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let handle = Handle::new();
        let (stopper, stopped) = (handle.clone(), Arc::new(SetOnce::new()));
        let told = stopped.clone();
        tokio::spawn(async move {
            stop.await;
            // Nobody else sets it.
            let _ = told.set(());
            stopper.graceful_shutdown(Some(GRACE));
        });
        let http = self.http.serve(front.clone(), handle.clone());
        let Some(flight) = self.flight else { return http.await };
        let flight = async {
            tokio::select! {
                app = front.app() => flight.serve_app(app, handle).await,
                () = async { stopped.wait().await; } => Ok(()),
            }
        };
        let (first, second) = tokio::join!(http, flight);
        first.and(second)
    }
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// HTTP/1.1.
    Http,
    /// gRPC, which is HTTP/2.
    Flight,
}

/// A socket that listens.
struct Port {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<RustlsConfig>,
    protocol: Protocol,
}

impl Port {
    async fn open(access: &Access, listen: &Listen, protocol: Protocol) -> Result<Port> {
        listen.check(access)?;
        let cannot = |error: std::io::Error| cannot_listen(listen.address, error);
        let socket = TcpListener::bind(listen.address).map_err(cannot)?;
        socket.set_nonblocking(true).map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?;
        let tls = match &listen.tls {
            Some(tls) => Some(tls.config(protocol).await?),
            None => None,
        };
        info!(%address, ?protocol, tls = tls.is_some(), "listening");
        Ok(Port { socket, address, tls, protocol })
    }

    async fn serve(self, front: Front, handle: Handle<SocketAddr>) -> Result<()> {
        let counters = front.counters.clone();
        self.serve_routes(front.router(), counters, handle).await
    }

    async fn serve_app(self, app: App, handle: Handle<SocketAddr>) -> Result<()> {
        let counters = app.counters.clone();
        self.serve_routes(crate::flight::router(app), counters, handle).await
    }

    async fn serve_routes(self, routes: Router, counters: Arc<Counters>, handle: Handle<SocketAddr>) -> Result<()> {
        let Port { socket, address, tls, protocol } = self;
        let cannot = |error: std::io::Error| cannot_listen(address, error);
        let crowd = Crowd::new(CONNECTIONS_MAX, counters);
        let service = routes.into_make_service();
        let server = limited(axum_server::from_tcp(socket).map_err(cannot)?, protocol).handle(handle);
        match tls {
            None => server.acceptor(crowd).serve(service).await.map_err(cannot),
            Some(config) => {
                let acceptor = RustlsAcceptor::new(config).acceptor(crowd);
                server.acceptor(acceptor).serve(service).await.map_err(cannot)
            }
        }
    }
}

/// A server that speaks one protocol and does not wait for slow heads or dead peers.
fn limited(server: Server<SocketAddr>, protocol: Protocol) -> Server<SocketAddr> {
    let mut server = match protocol {
        Protocol::Http => server.http1_only(),
        Protocol::Flight => server.http2_only(),
    };
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Some(PING_INTERVAL))
        .keep_alive_timeout(PING_INTERVAL);
    server
}

impl Tls {
    async fn config(&self, protocol: Protocol) -> Result<RustlsConfig> {
        let loaded = RustlsConfig::from_pem_file(&self.certificate, &self.key).await.map_err(|error| {
            Error::invalid("SW0883", "cannot use the TLS certificate or key")
                .because(error)
                .hint("both must be PEM files that belong together")
        })?;
        let mut config = rustls::ServerConfig::clone(&loaded.get_inner());
        config.alpn_protocols = match protocol {
            Protocol::Http => vec![b"http/1.1".to_vec()],
            Protocol::Flight => vec![b"h2".to_vec()],
        };
        Ok(RustlsConfig::from_config(Arc::new(config)))
    }
}

fn cannot_listen(address: SocketAddr, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0882", format!("cannot listen on {address}"))
        .because(error)
        .hint("another process may hold the port; choose another one, or port 0 for a free one")
}
