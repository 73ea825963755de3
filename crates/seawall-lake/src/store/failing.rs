//! An object store for tests that reports failures for writes, before or after it did them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::DurableLocal;

/// When the failure is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was written.
    Before,
    /// Everything was written, only the answer was lost.
    After,
}

/// Fails writes to paths that end in `suffix`, as often as it is armed to.
#[derive(Debug)]
pub(crate) struct FailingStore {
    inner: DurableLocal,
    suffix: &'static str,
    when: When,
    armed: AtomicUsize,
    pub(crate) failed: AtomicUsize,
}

impl FailingStore {
    pub(crate) fn new(suffix: &'static str, when: When) -> Self {
        let (armed, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        FailingStore { inner: DurableLocal::new(), suffix, when, armed, failed }
    }

    pub(crate) fn arm(&self, times: usize) {
        self.armed.store(times, Ordering::SeqCst);
    }

    fn fails(&self, location: &Path) -> bool {
        let matches = location.as_ref().ends_with(self.suffix);
        let due = || self.armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let fails = matches && due();
        self.failed.fetch_add(usize::from(fails), Ordering::SeqCst);
        fails
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingStore")
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fails = self.fails(location);
        if !fails || self.when == When::After {
            self.inner.put_opts(location, payload, opts).await?;
        }
        if fails {
            return Err(Error::Generic { store: "FailingStore", source: "injected".into() });
        }
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
