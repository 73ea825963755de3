//! How others talk to the table writer: what they ask for, how far it has come, and how long they wait.
//!
//! Who waits for tables does not wait for ever: once the table store has been away for a while, or the caller's own
//! deadline has passed, the answer is that rows are safe in the log and not in tables yet.

use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, Offset, Span};
use tokio::sync::{mpsc, oneshot, watch};

use crate::dependency::{Timer, scope};

/// How long the table store may be away before whoever waits for tables is told so.
const PATIENCE: Span = Span(30 * Span::SECOND.0);

/// How far the writer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Log entries whose effects are committed.
    pub committed_entries: u64,
    /// The offset after their last row.
    pub committed_end: Offset,
    /// Rows that the writer has in memory.
    pub waiting_rows: u64,
    /// Since when the table store is away, on the dependencies' timer.
    pub away_since: Option<Instant>,
    /// Arrival of the oldest row that is not committed, or when the lag was noticed; none when there is no lag.
    pub behind_since: Option<Instant>,
    /// Whether tables were there since the start. Until then nobody knows how far they are.
    pub is_attached: bool,
    /// Whether everything is committed that was durable when the writer started.
    pub is_resumed: bool,
}

pub(super) enum Message {
    Flush { entries: u64, done: oneshot::Sender<()> },
    SchemasChanged { done: oneshot::Sender<()> },
}

/// Somebody who waits for the writer.
pub(super) struct Waiting {
    /// Log entries that must be committed; none when cached schemas must be forgotten.
    entries: Option<u64>,
    done: Option<oneshot::Sender<()>>,
}

impl From<Message> for Waiting {
    fn from(message: Message) -> Self {
        match message {
            Message::Flush { entries, done } => Waiting { entries: Some(entries), done: Some(done) },
            Message::SchemasChanged { done } => Waiting { entries: None, done: Some(done) },
        }
    }
}

impl Waiting {
    /// The writer itself, for its last commit.
    pub(super) fn end(entries: u64) -> Self {
        Waiting { entries: Some(entries), done: None }
    }

    pub(super) fn is_for_schemas(&self) -> bool {
        self.entries.is_none()
    }

    /// Whether a commit is wanted once `read` entries are read.
    pub(super) fn wants_commit(&self, read: u64) -> bool {
        self.entries.is_none_or(|entries| entries <= read)
    }

    /// Answers when what was wanted is done; whether this is settled.
    pub(super) fn answer(&mut self, committed: u64, has_schemas: bool) -> bool {
        let is_done = match self.entries {
            Some(entries) => committed >= entries,
            None => !has_schemas,
        };
        let Some(done) = self.done.take() else { return is_done };
        if done.is_closed() {
            return true;
        }
        if is_done {
            // Whoever gave up waiting needs no answer.
            let _ = done.send(());
        } else {
            self.done = Some(done);
        }
        is_done
    }
}

/// Talks to the writer's task.
#[derive(Clone)]
pub struct Handle {
    mailbox: mpsc::Sender<Message>,
    progress: watch::Receiver<Progress>,
    timer: Arc<dyn Timer>,
}

impl Handle {
    pub(super) fn new(
        mailbox: mpsc::Sender<Message>,
        progress: watch::Receiver<Progress>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Handle { mailbox, progress, timer }
    }

    /// Commits everything up to `entries` log entries and waits for it.
    pub async fn flush(&self, entries: u64) -> Result<()> {
        self.ask(|done| Message::Flush { entries, done }).await
    }

    /// Commits what waits and forgets cached schemas, after tables evolved.
    pub async fn schemas_changed(&self) -> Result<()> {
        self.ask(|done| Message::SchemasChanged { done }).await
    }

    /// Waits until tables were there once since the start.
    pub async fn attached(&self) -> Result<()> {
        let mut progress = self.progress.clone();
        progress.wait_for(|progress| progress.is_attached).await.map(|_| ()).map_err(|_| stopped())
    }

    /// How far the writer has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    async fn ask(&self, message: impl FnOnce(oneshot::Sender<()>) -> Message) -> Result<()> {
        let (done, mut answer) = oneshot::channel();
        let work = async {
            self.mailbox.send(message(done)).await.map_err(|_| stopped())?;
            (&mut answer).await.map_err(|_| stopped())
        };
        tokio::select! {
            outcome = work => outcome,
            () = self.patience_ends() => Err(away()),
        }
    }

    /// Returns when nobody should wait any longer.
    async fn patience_ends(&self) {
        let mut progress = self.progress.clone();
        loop {
            let away_since = progress.borrow_and_update().away_since;
            let at = away_since.map_or(Instant::MAX, |since| since + PATIENCE).min(scope::deadline());
            tokio::select! {
                changed = progress.changed() => match changed {
                    Ok(()) => {}
                    // The writer has stopped, which the answer tells.
                    Err(_) => std::future::pending().await,
                },
                () = self.timer.wait_until(at) => return,
            }
        }
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "SW0830", "the table writer has stopped")
}

fn away() -> Error {
    let message = "tables are away, so what was acknowledged is in the log and not in tables yet";
    Error::new(ErrorKind::Unavailable, "SW1304", message).hint(
        "nothing is lost: rows are committed by themselves once the table store answers; `seawall status` shows how it is",
    )
}
