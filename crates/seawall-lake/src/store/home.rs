//! Where tables live: a folder of this machine, or a bucket of an S3-style store.
//!
//! Both offer what tables need: reads that see every finished write, and a write that fails when the name is taken
//! (`If-None-Match: *` on S3). Everything above this file is the same code for both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use seawall_base::TableName;
use seawall_base::error::{Error, ErrorKind, Result};
use url::Url;

use super::DurableLocal;
use super::folder::{Folder, HOME_AWAY};
use crate::codes;
use crate::table::{LOG_FOLDER, confine_on_disk, log};

/// How patient calls to an S3-style store are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How often a call that failed for the store's sake is tried again. Whoever called may try longer.
    pub retries_max: usize,
    /// How long one call goes on trying again.
    pub retry_timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Patience { request_timeout: seconds(30), retries_max: 3, retry_timeout: seconds(60) }
    }
}

/// Where tables live.
#[derive(Clone)]
pub struct Home {
    store: Arc<dyn ObjectStore>,
    root: Path,
    url: Url,
    folder: Option<Arc<Folder>>,
    /// Whether the bucket was looked at, and was not found to have its tables.
    not_found: Arc<AtomicBool>,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Home({self})")
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => write!(f, "{}", folder.path().display()),
            None => write!(f, "{}{}", self.url, self.root),
        }
    }
}

impl Home {
    /// A folder, created when missing, on a disk that survives power cuts.
    pub fn folder(folder: &FilePath) -> Result<Home> {
        Home::folder_through(folder, Arc::new(DurableLocal::new()))
    }

    /// A folder that had tables before: when it is missing, tables are away, and no new folder is begun.
    pub fn expected_folder(folder: &FilePath) -> Result<Home> {
        Home::on(Folder::open_expected(folder)?, Arc::new(DurableLocal::new()))
    }

    /// A folder reached through `store`, which is rooted at `/`. Whatever it reports as written must survive a power cut.
    pub fn folder_through(folder: &FilePath, store: Arc<dyn ObjectStore>) -> Result<Home> {
        Home::on(Folder::open(folder)?, store)
    }

    fn on(folder: Folder, store: Arc<dyn ObjectStore>) -> Result<Home> {
        let root = Path::from_absolute_path(folder.path()).map_err(|e| {
            Error::invalid(codes::STORAGE, format!("{} cannot hold tables", folder.path().display()))
                .because(e)
                .hint("choose a data folder whose path is plain UTF-8 text")
        })?;
        let url = Url::parse("file:///").expect("a constant URL parses");
        Ok(Home { store, root, url, folder: Some(Arc::new(folder)), not_found: Arc::default() })
    }

    /// `s3://BUCKET/PREFIX`, with the settings of `environment`: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ALLOW_HTTP`, and
    /// credentials from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, from the profile `AWS_PROFILE` of the file
    /// `AWS_SHARED_CREDENTIALS_FILE`, or from `AWS_WEB_IDENTITY_TOKEN_FILE` and its kind.
    pub fn s3(address: &str, environment: &BTreeMap<String, String>, patience: Patience) -> Result<Home> {
        let (url, bucket, root) = parse_address(address)?;
        let environment = with_credentials(environment)?;
        let mut builder = AmazonS3Builder::new();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("AWS_")) {
            // Variables of other programs that share the prefix say nothing to this one.
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value.as_str());
            }
        }
        let allow_http = environment.get("AWS_ALLOW_HTTP").is_some_and(|value| value == "true" || value == "1");
        let client = ClientOptions::new().with_timeout(patience.request_timeout).with_allow_http(allow_http);
        let Patience { retries_max, retry_timeout, .. } = patience;
        let retry = RetryConfig { max_retries: retries_max, retry_timeout, ..RetryConfig::default() };
        let store = builder
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client)
            .with_retry(retry)
            .build()
            .map_err(|e| unusable(address, "cannot be opened").because(e))?;
        Ok(Home { store: Arc::new(store), root, url, folder: None, not_found: Arc::default() })
    }

    /// A whole store.
    #[cfg(test)]
    pub(crate) fn of(store: Arc<dyn ObjectStore>) -> Home {
        Home {
            store,
            root: Path::default(),
            url: Url::parse("s3://memory").expect("a constant URL parses"),
            folder: None,
            not_found: Arc::default(),
        }
    }

    /// Where bytes go.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// What the engine calls the store.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Where tables lie in the store.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where one table lies in the store.
    pub(crate) fn table(&self, table: &str) -> Path {
        self.root.clone().join(table)
    }

    /// The folder of tables, when they lie on this machine.
    pub fn on_disk(&self) -> Option<&FilePath> {
        self.folder.as_ref().map(|folder| folder.path())
    }

    /// Takes the place for the right one if it has tables of these names; which one it lacks is the answer otherwise, and
    /// everything fails with `Unavailable` until it was found.
    pub(crate) async fn find(&self, known: &[TableName]) -> Result<Option<TableName>> {
        if let Some(folder) = self.folder.clone() {
            let known = known.to_vec();
            let found = tokio::task::spawn_blocking(move || folder.find(&known)).await;
            return found.map_err(|e| Error::internal(codes::STORAGE, "looking for tables died").because(e))?;
        }
        self.not_found.store(true, Ordering::Release);
        // The bucket must answer, also when nothing is known to be there.
        let first = self.store.list(Some(&self.root)).next().await.transpose();
        first.map_err(|e| log::storage("looking for tables", e))?;
        for table in known {
            let prefix = self.table(table.as_str()).join(LOG_FOLDER);
            let first = self.store.list(Some(&prefix)).next().await.transpose();
            if first.map_err(|e| log::storage("looking for tables", e))?.is_none() {
                return Ok(Some(table.clone()));
            }
        }
        self.not_found.store(false, Ordering::Release);
        Ok(None)
    }

    /// Fails with `Unavailable` while the place is not the one that has the tables.
    pub(crate) async fn check(&self) -> Result<()> {
        match &self.folder {
            Some(folder) => folder.check().await,
            None if self.not_found.load(Ordering::Acquire) => {
                let message = format!("tables are away: {self} does not answer, or lacks some that it had");
                Err(Error::new(ErrorKind::Unavailable, HOME_AWAY, message).hint(
                    "`seawall status` tells the cause; what was acknowledged waits in the log and is committed then",
                ))
            }
            None => Ok(()),
        }
    }

    /// Fails when a file of a table, if it is there, is a symbolic link out of the table's folder.
    pub(crate) fn confine(&self, table: &str, relative: &str) -> Result<()> {
        let Some(folder) = self.on_disk() else { return Ok(()) };
        let table_folder = folder.join(table);
        let file = table_folder.join(relative);
        if file.exists() {
            confine_on_disk(table, folder, &table_folder)?;
            confine_on_disk(table, &table_folder, &file)?;
        }
        Ok(())
    }

    /// Fails when a file of a table's log is a symbolic link: Seawall makes none.
    pub(crate) fn refuse_link(&self, table: &str, location: &Path) -> Result<()> {
        if self.folder.is_none() {
            return Ok(());
        }
        let file = FilePath::new("/").join(location.as_ref());
        match std::fs::symlink_metadata(&file) {
            Ok(found) if found.is_symlink() => {
                let message = format!("{} of table {table} is a link", file.display());
                Err(Error::corrupt(codes::PATH_ESCAPES, message)
                    .hint("replace the link by the file it leads to, if that file belongs to the table"))
            }
            Ok(_) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn parse_address(address: &str) -> Result<(Url, String, Path)> {
    let url = Url::parse(address).map_err(|e| unusable(address, "is no URL").because(e))?;
    let bucket = url.host_str().unwrap_or_default().to_owned();
    if url.scheme() != "s3" || bucket.is_empty() {
        return Err(unusable(address, "does not name a bucket"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(unusable("the address", "carries more than a bucket and a prefix"));
    }
    let root = Path::from_url_path(url.path()).map_err(|e| unusable(address, "has an unusable prefix").because(e))?;
    let store = Url::parse(&format!("s3://{bucket}")).map_err(|e| unusable(address, "is no URL").because(e))?;
    Ok((store, bucket, root))
}

/// The environment with the credentials of a shared file, when it names one and has none itself.
fn with_credentials(environment: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut settings = environment.clone();
    let has = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    if has("AWS_ACCESS_KEY_ID") || has("AWS_WEB_IDENTITY_TOKEN_FILE") || has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Ok(settings);
    }
    let Some(file) = environment.get("AWS_SHARED_CREDENTIALS_FILE") else {
        return Err(Error::invalid(codes::HOME, "there are no credentials for the store of the tables")
            .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file with AWS_SHARED_CREDENTIALS_FILE"));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::invalid(codes::HOME, format!("cannot read the credentials in {file}")).because(e))?;
    let profile = environment.get("AWS_PROFILE").map_or("default", String::as_str);
    let found = credentials_of(&text, profile);
    for (key, name) in [
        ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("aws_session_token", "AWS_SESSION_TOKEN"),
    ] {
        match found.get(key) {
            Some(value) => settings.insert(name.to_owned(), value.clone()),
            None if name == "AWS_SESSION_TOKEN" => None,
            None => {
                let message = format!("the profile {profile:?} in {file} has no {key}");
                return Err(Error::invalid(codes::HOME, message).hint("AWS_PROFILE names the profile to use"));
            }
        };
    }
    Ok(settings)
}

/// The lines `key = value` below `[profile]`.
fn credentials_of(text: &str, profile: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => inside = name.trim() == profile,
            None if inside && !line.starts_with('#') => {
                if let Some((key, value)) = line.split_once('=') {
                    found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
                }
            }
            None => {}
        }
    }
    found
}

fn unusable(address: &str, why: &str) -> Error {
    Error::invalid(codes::HOME, format!("{address} {why}, so it cannot hold tables"))
        .hint("write s3://BUCKET or s3://BUCKET/PREFIX; endpoint and credentials come from the environment")
}
