//! Where bytes of tables go: [`Home`] says where, [`DurableLocal`] is a local object store that survives a power cut.
//!
//! `object_store` 0.13 never syncs: after a power cut, files that were reported as written may be missing or empty.
//! [`DurableLocal`] reads through [`LocalFileSystem`] and writes through [`seawall_base::durable`]: whatever it reports
//! as written has its bytes and its name on the disk. A file gets its name only after its bytes are synced, so a cut
//! during a write leaves the old file or none, never an empty one.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode,
    Result, UploadPart,
};
use seawall_base::durable;

mod bucket;
#[cfg(test)]
pub(crate) mod failing;
mod folder;
mod home;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of the binary use more of it")]
pub(crate) mod s3_server;
#[cfg(test)]
mod tests;

pub use bucket::Bucket;
pub use home::{Home, Patience};

const STORE: &str = "DurableLocal";
/// Files that are removed before their folders are synced.
const REMOVALS_PER_SYNC_MAX: usize = 256;

/// The file system, rooted at `/`, with every write synced before it is reported.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    inner: Arc<LocalFileSystem>,
    uploads: Arc<AtomicU64>,
}

impl Default for DurableLocal {
    fn default() -> Self {
        DurableLocal::new()
    }
}

impl DurableLocal {
    /// The whole file system.
    pub fn new() -> Self {
        DurableLocal { inner: Arc::new(LocalFileSystem::new()), uploads: Arc::default() }
    }

    fn file(&self, location: &Path) -> Result<PathBuf> {
        self.inner.path_to_filesystem(location)
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let file = self.file(location)?;
        let shown = location.to_string();
        match opts.mode {
            PutMode::Overwrite => blocking(shown, move || put(&file, &payload, false)).await?,
            PutMode::Create => blocking(shown, move || put(&file, &payload, true)).await?,
            PutMode::Update(_) => return Err(unsupported("put with PutMode::Update")),
        }
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        // The store below makes folders too, but does not sync them.
        if let Some(folder) = self.file(location)?.parent().map(FilePath::to_owned) {
            blocking(location.to_string(), move || durable::create_dir_all(&folder)).await?;
        }
        let staged = Path::parse(format!("{location}.{}-{number}.uploading", std::process::id()))?;
        let inner = self.inner.put_multipart_opts(&staged, opts).await?;
        Ok(Box::new(DurableUpload { inner, staged: self.file(&staged)?, target: self.file(location)? }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let removed = locations.ready_chunks(REMOVALS_PER_SYNC_MAX).then(move |some| {
            let store = store.clone();
            async move { stream::iter(store.delete_durably(some).await) }
        });
        removed.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.inner.get(from).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put_opts(to, PutPayload::from_bytes(bytes), mode.into()).await?;
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.copy_opts(from, to, CopyOptions { mode, extensions: options.extensions }).await?;
        self.delete(from).await
    }
}

impl DurableLocal {
    /// Removes files with one sync per folder; what became of each.
    async fn delete_durably(&self, locations: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let files =
            locations.into_iter().map(|location| location.and_then(|location| Ok((self.file(&location)?, location))));
        let (files, refused): (Vec<_>, Vec<_>) = files.partition(Result::is_ok);
        let (files, locations): (Vec<PathBuf>, Vec<Path>) = files.into_iter().flatten().unzip();
        let shown = locations.first().map_or_else(String::new, Path::to_string);
        let removed = match files.is_empty() {
            true => Ok(Vec::new()),
            false => blocking(shown, move || durable::remove_files(&files)).await,
        };
        let outcomes = match removed {
            Ok(were_there) => locations
                .into_iter()
                .zip(were_there)
                .map(|(location, was_there)| outcome(location, was_there))
                .collect(),
            Err(error) => vec![Err(error)],
        };
        outcomes.into_iter().chain(refused.into_iter().filter_map(|refused| refused.err().map(Err))).collect()
    }
}

/// A missing object is an error here, as in every object store.
fn outcome(location: Path, was_there: bool) -> Result<Path> {
    match was_there {
        true => Ok(location),
        false => Err(Error::NotFound {
            path: location.to_string(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound).into(),
        }),
    }
}

/// A multipart upload beside its target: the target gets its name only once every byte is synced.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    staged: PathBuf,
    target: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let (staged, target) = (self.staged.clone(), self.target.clone());
        blocking(target.display().to_string(), move || durable::rename_synced(&staged, &target)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

fn put(file: &FilePath, payload: &PutPayload, create: bool) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        durable::create_dir_all(folder)?;
    }
    let bytes: Bytes = payload.clone().into();
    if create { durable::write_new(file, &bytes) } else { durable::write_shared(file, &bytes) }
}

/// Runs file operations where they cannot delay other tasks.
async fn blocking<T: Send + 'static>(
    path: String,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let outcome = done.map_err(|e| Error::Generic { store: STORE, source: e.into() })?;
    outcome.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: e.into() },
        std::io::ErrorKind::NotFound => Error::NotFound { path, source: e.into() },
        _ => Error::Generic { store: STORE, source: format!("{path}: {e}").into() },
    })
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}
