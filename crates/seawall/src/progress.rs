//! Progress of long work: on standard error, and only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use seawall_base::engine::BuildProgress;
use seawall_pipeline::replay;

/// A bar over long work.
#[derive(Clone)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar that moves when standard error is a terminal, and nothing otherwise.
    pub fn new(what: &str) -> Bar {
        if !std::io::stderr().is_terminal() {
            return Bar(None);
        }
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template(
            "{prefix} {bar:32} {human_pos}/{human_len} rows  {per_sec}  {eta} left  {msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(Some(bar))
    }

    /// A count of what was read and how fast, when standard error is a terminal, and nothing otherwise.
    pub fn reading(what: &str) -> Bar {
        if !std::io::stderr().is_terminal() {
            return Bar(None);
        }
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{prefix} {spinner} {binary_bytes}  {binary_bytes_per_sec}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(Some(bar))
    }

    /// Shows how much was read.
    pub fn read(&self, what: &str, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
            bar.set_message(what.to_owned());
        }
    }

    /// Shows how far a replay is.
    pub fn replayed(&self, progress: &replay::Progress) {
        if let Some(bar) = &self.0 {
            bar.set_length(progress.rows_total);
            bar.set_position(progress.rows);
            bar.set_message(format!("{} · {} decisions", progress.now, progress.decisions));
        }
    }

    /// Shows how many rows were loaded.
    pub fn loaded(&self, source: &str, rows: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(rows.max(1));
            bar.set_position(rows);
            bar.set_message(source.to_owned());
        }
    }

    /// Shows how far the build of a training set is.
    pub fn built(&self, progress: &BuildProgress) {
        let (rows, rows_total) = progress.rows();
        if let Some(bar) = &self.0 {
            bar.set_length(rows_total.max(1));
            bar.set_position(rows);
        }
    }

    /// Shows what is being done.
    pub fn says(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
