//! How many connections a port takes: one too many is closed at once, instead of waiting for what others hold.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use futures::future::{Ready, ready};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::ingest::{Counters, CutOff};

/// Lets connections in up to a number.
#[derive(Clone)]
pub(super) struct Crowd {
    slots: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Crowd {
    pub fn new(connections_max: usize, counters: Arc<Counters>) -> Crowd {
        Crowd { slots: Arc::new(Semaphore::new(connections_max)), counters }
    }
}

impl<S> Accept<TcpStream, S> for Crowd {
    type Stream = TcpStream;
    type Service = Inside<S>;
    type Future = Ready<io::Result<(TcpStream, Inside<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            self.counters.cut_off(CutOff::Crowded);
            return ready(Err(io::Error::other("too many connections")));
        };
        // Answers are small and must not wait for more to come.
        ready(stream.set_nodelay(true).map(|()| (stream, Inside { service, _slot: Arc::new(slot) })))
    }
}

/// The service of a connection, which has its slot as long as it lives.
#[derive(Clone)]
pub(super) struct Inside<S> {
    service: S,
    _slot: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<R>, R> Service<R> for Inside<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}
