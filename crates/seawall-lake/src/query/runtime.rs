//! A runtime of its own for work that keeps processors busy.

use std::future::Future;
use std::sync::Arc;

use seawall_base::error::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::codes;

/// Threads for queries. Dropping the last handle stops them without waiting.
#[derive(Debug, Clone)]
pub(crate) struct QueryRuntime(Arc<Owned>);

#[derive(Debug)]
struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        // A runtime must not be dropped the waiting way inside of another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Stops its task when the caller stops waiting.
pub(crate) struct StopOnDrop<T>(JoinHandle<T>);

impl<T> Drop for StopOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl QueryRuntime {
    /// `threads` threads, at least one.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("seawall-query")
            .enable_all()
            .build()
            .map_err(|e| Error::internal(codes::ENGINE_STOPPED, "starting the query threads").because(e))?;
        Ok(QueryRuntime(Arc::new(Owned(Some(runtime)))))
    }

    /// Begins `work` on the query threads; it is stopped when what is returned is dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<StopOnDrop<()>> {
        let stopped = || Error::new(ErrorKind::Unavailable, codes::ENGINE_STOPPED, "the query threads have stopped");
        Ok(StopOnDrop(self.0.0.as_ref().ok_or_else(stopped)?.spawn(work)))
    }

    /// Runs `work` on the query threads; it is stopped when the returned future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let stopped = || Error::new(ErrorKind::Unavailable, codes::ENGINE_STOPPED, "the query threads have stopped");
        let Some(runtime) = &self.0.0 else { return Err(stopped()) };
        let mut task = StopOnDrop(runtime.spawn(work));
        (&mut task.0).await.map_err(|e| {
            if e.is_panic() {
                Error::internal(codes::ENGINE_STOPPED, "a query failed in an unexpected way").because(e)
            } else {
                stopped()
            }
        })?
    }
}
