//! The error that crosses crate edges: who must act, which code explains it, what happened and what to do.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

/// Who has to act on an error. HTTP statuses and exit codes are derived from this, in one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The caller sent something wrong.
    Invalid,
    /// The caller lacks a right.
    Denied,
    /// The named thing does not exist.
    NotFound,
    /// Somebody else was faster: read again and retry.
    Conflict,
    /// Not now: retry later.
    Unavailable,
    /// Stored data contradicts itself: stop.
    Corrupt,
    /// A mistake of ours.
    Internal,
}

/// An error with its kind, its code (`SW0123`, see `seawall explain`), a message and a remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    hint: Option<String>,
    place: Option<Box<Place>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Where on the disk an error was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The byte in it, where one can be named.
    pub byte: Option<u64>,
}

/// A result with the workspace's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a `code` from the register in `docs/errors.md` and a lower-case `message`.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Error { kind, code, message: message.into(), hint: None, place: None, source: None }
    }

    /// Caller's mistake.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// Named thing absent.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    /// Stored data contradicts itself.
    pub fn corrupt(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, code, message)
    }

    /// Our own mistake, or an unexpected failure of the machine.
    pub fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, code, message)
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place on the disk, for programs; the message names it for people.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>, byte: Option<u64>) -> Self {
        self.place = Some(Box::new(Place { file: file.into(), byte }));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The code that `seawall explain` knows.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What happened, without the causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where on the disk it was found, when that is known.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// What to do about it, when there is a remedy.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        let mut cause = self.source.as_deref().map(|e| e as &dyn StdError);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            // Our own errors print their causes themselves.
            if error.is::<Error>() {
                break;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::new(ErrorKind::Unavailable, "SW0901", "a file operation failed").because(error)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::internal("SW0902", "an Arrow operation failed").because(error)
    }
}
