//! Room for requests that carry events: bytes in flight, shared fairly among producers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};

use super::shares::Shares;
use super::{INFLIGHT_BYTES_MAX, REQUEST_BYTES};

/// Gives room out.
#[derive(Clone)]
pub struct Room {
    shares: Arc<Mutex<Shares>>,
}

impl Default for Room {
    fn default() -> Self {
        Room::new(INFLIGHT_BYTES_MAX)
    }
}

impl Room {
    /// Room for `bytes_max`.
    pub fn new(bytes_max: usize) -> Room {
        Room { shares: Arc::new(Mutex::new(Shares::new(bytes_max))) }
    }

    /// Room for a request of `producer` whose body has `bytes`, as far as that is known yet.
    ///
    /// # Errors
    /// `SW0884` when there is none.
    pub fn take(&self, producer: &str, bytes: usize) -> Result<Taken> {
        let mut taken = Taken { shares: self.shares.clone(), producer: producer.into(), bytes: 0 };
        taken.grow(REQUEST_BYTES + bytes)?;
        Ok(taken)
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> usize {
        locked(&self.shares).taken()
    }
}

fn locked(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room that a request has taken; dropping it gives it back.
pub struct Taken {
    shares: Arc<Mutex<Shares>>,
    producer: Arc<str>,
    bytes: usize,
}

impl Taken {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// `SW0884` when there is no room for them.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        if !locked(&self.shares).take(&self.producer, bytes) {
            let message = format!("too many events of {} are on their way at the moment", self.producer);
            return Err(Error::new(ErrorKind::Unavailable, "SW0884", message)
                .hint("send again after the time that Retry-After tells; nothing of this request was kept"));
        }
        self.bytes += bytes;
        Ok(())
    }
}

/// The error for a request with more than [`BODY_BYTES_MAX`](super::BODY_BYTES_MAX).
pub(crate) fn too_large() -> Error {
    let message = format!("the body is larger than {} bytes", super::BODY_BYTES_MAX);
    Error::invalid("SW0889", message).hint("send several smaller requests")
}

impl Drop for Taken {
    fn drop(&mut self) {
        locked(&self.shares).give_back(&self.producer, self.bytes);
    }
}
