//! The SQL database under the catalog, and everything about it that is SQLite's own.
//!
//! The rest of the crate speaks portable SQL (`$1` parameters, `BIGINT` and `TEXT` columns, `ON CONFLICT DO UPDATE`)
//! through the aliases of this file, so that a second database needs a second version of this file only. Hashes are
//! hexadecimal text, instants and counts are `BIGINT`, structured values are JSON text.
//!
//! Every change runs in one `BEGIN IMMEDIATE` transaction. Writers of one process queue in order behind
//! [`Database::begin`]; writers of other processes wait up to [`BUSY_TIMEOUT`], then get `Unavailable`. A transaction
//! that is dropped without [`Write::commit`] leaves no trace. SQLite syncs its own files (WAL, `synchronous=FULL`): a
//! committed change survives a power cut.

use std::path::Path;
use std::time::Duration;

use seawall_base::{Error, ErrorKind, Instant, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

mod migrations;
mod row;

#[cfg(test)]
mod tests;

pub(crate) use row::{DuringResult, Fields, stored, stored_json};

/// One open connection; a transaction lends one too.
pub(crate) type Connection = sqlx::SqliteConnection;
/// One row of a result.
pub(crate) type Row = sqlx::sqlite::SqliteRow;
/// A connection lent for reading, in a transaction: all of its statements see one state. Given back when dropped.
pub(crate) type Reader = Transaction<'static, Sqlite>;

/// How long a writer waits for a writer of another process.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of a catalog on disk; one of them writes at a time.
const CONNECTIONS_MAX: u32 = 8;
/// Compiled statements that a connection keeps.
const STATEMENTS_MAX: usize = 128;

/// The database of one catalog.
pub(crate) struct Database {
    pool: sqlx::SqlitePool,
    writer: Mutex<()>,
}

/// A change in the making: one transaction, alone in this database.
pub(crate) struct Write<'a> {
    transaction: Transaction<'static, Sqlite>,
    // Declared after the transaction: the next writer begins when this one's connection is back.
    _turn: MutexGuard<'a, ()>,
}

impl Database {
    /// Opens the file, creating it readable by its owner only, and brings its schema up to date.
    pub(crate) async fn open(file: &Path, now: Instant) -> Result<Database> {
        create_private(file)?;
        let options = common_options()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        // On a full disk SQLite rolls back by itself, and the pool's own rollback then fails: such a connection believes
        // for ever to be in a transaction. It is closed instead of lent again.
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(3 * BUSY_TIMEOUT)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
        let opened = pool.connect_with(options).await;
        let database = Database { pool: opened.during("opening the catalog")?, writer: Mutex::new(()) };
        database.migrate(now).await?;
        Ok(database)
    }

    /// Opens an existing file to read it as it is: nothing is created and the schema is not changed.
    pub(crate) async fn open_to_read(file: &Path) -> Result<Database> {
        let options = common_options().filename(file).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(3 * BUSY_TIMEOUT);
        let opened = pool.connect_with(options).await;
        let database = Database { pool: opened.during("opening the catalog")?, writer: Mutex::new(()) };
        let mut reader = database.read().await?;
        migrations::check_current(&mut reader).await?;
        drop(reader);
        Ok(database)
    }

    /// A database that lives as long as this value.
    pub(crate) async fn in_memory(now: Instant) -> Result<Database> {
        // Every connection to `:memory:` is a database of its own, so there is one, and it never goes idle.
        let pool = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        let opened = pool.connect_with(common_options().filename(":memory:").in_memory(true)).await;
        let database = Database { pool: opened.during("opening a catalog in memory")?, writer: Mutex::new(()) };
        database.migrate(now).await?;
        Ok(database)
    }

    /// Writes all of the database as it stands at one moment into a new file, also while others write to it. The file is
    /// not synced.
    pub(crate) async fn copy_to(&self, file: &str) -> Result<()> {
        let mut connection = self.pool.acquire().await.during("copying the catalog")?;
        sqlx::query("VACUUM INTO $1")
            .bind(file)
            .execute(&mut *connection)
            .await
            .during("copying the catalog")
            .map(|_| ())
    }

    /// Closes every connection: the file then holds everything, and no journal is left beside it.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins to read. Must not be held while [`Database::begin`] is awaited.
    pub(crate) async fn read(&self) -> Result<Reader> {
        self.pool.begin().await.during("beginning to read the catalog")
    }

    /// Begins a change, after every change that asked before.
    pub(crate) async fn begin(&self) -> Result<Write<'_>> {
        let turn = self.writer.lock().await;
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.during("beginning a change of the catalog")?;
        Ok(Write { transaction, _turn: turn })
    }

    async fn migrate(&self, now: Instant) -> Result<()> {
        let mut write = self.begin().await?;
        migrations::run(write.connection(), now).await?;
        write.commit().await
    }
}

impl Write<'_> {
    /// The transaction's connection.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.transaction
    }

    /// Makes the change durable and visible.
    pub(crate) async fn commit(self) -> Result<()> {
        self.transaction.commit().await.during("committing a change of the catalog")
    }
}

/// Runs statements that take no parameters and give no rows.
pub(crate) async fn execute_all(connection: &mut Connection, statements: &'static str) -> Result<(), sqlx::Error> {
    connection.execute(statements).await.map(|_| ())
}

fn common_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .foreign_keys(true)
        .statement_cache_capacity(STATEMENTS_MAX)
        .thread_name(|n| format!("catalog-sqlite-{n}"))
}

/// Creates the file with mode 0600 when it is missing; SQLite gives its journals the mode of the file.
fn create_private(file: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match opened {
        Ok(_) => Ok(seawall_base::durable::sync_parent(file)?),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::new(ErrorKind::Unavailable, "SW0601", format!("opening the catalog {}", file.display()))
            .because(e)
            .hint("check that the folder exists and may be written to")),
    }
}

/// Says who has to act on a failure of the database.
pub(crate) fn classify(doing: &str, failure: sqlx::Error) -> Error {
    let code = match &failure {
        sqlx::Error::Database(e) => e.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    // The low byte of an extended result code is the primary one, https://sqlite.org/rescode.html.
    let kind = match (&failure, code.map(|code| code & 0xff)) {
        (sqlx::Error::PoolTimedOut, _) | (_, Some(5 | 6)) => (ErrorKind::Unavailable, "SW0602"),
        (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), _) | (_, Some(11 | 26)) => {
            (ErrorKind::Corrupt, "SW0603")
        }
        (sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed, _)
        | (_, Some(7 | 8 | 10 | 13 | 14)) => (ErrorKind::Unavailable, "SW0601"),
        _ => (ErrorKind::Internal, "SW0600"),
    };
    let error = Error::new(kind.0, kind.1, format!("{doing} failed")).because(failure);
    match kind.1 {
        "SW0602" => error.hint("another process holds the catalog; retry in a moment"),
        "SW0603" => error.hint("stop writing and restore the catalog from its newest backup"),
        "SW0601" => error.hint("check free space and permissions of the catalog's folder"),
        _ => error,
    }
}
