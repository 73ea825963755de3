//! `docs/reliability.md`, made from the scorecards that are kept in `docs/reliability/`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::harness::HARNESSES;
use super::scorecard::{Row, Scorecard};
use super::text::percent;

const OPENING: &str = "\
# Reliability

The promise: nothing that was acknowledged is lost, nothing is there twice, and no answer is wrong without an error. This
page says how often that was tried, and what came of it. It is made by `cargo xtask torture --document` from the scorecards in
[`reliability/`](reliability/); every number comes from a run that happened.

The harnesses drive the real binary from outside and keep their own ledger of what was sent and what was answered. A row
counts as acknowledged once a 200 came back for it. What is *lost* was acknowledged and is not in the table; what is
*twice* is there more than once; what is *silent* differs from what was sent, or is an answer that is wrong, without an
error. The *bound* is the honest form of \"never\": with 95 % confidence, a single trial goes wrong less often than that.
";

const CLOSING: &str = "
## What the harnesses found

| harness | finding | mended by |
|---|---|---|
| `full` | on a full disk SQLite ended a transaction of the catalog by itself; its connection was lent on as if it still were in one, and the table writer stopped until the next start, while events went on being acknowledged | such a connection is closed; `seawall-catalog`, `database/tests.rs` |
| `full` | a disk without room for the log's next segment poisoned the log: nothing was acknowledged until a restart, although there was room again | the log waits for room; `seawall-storage`, `log/tests.rs` |
| keys' own tests | a flipped bit in the installation key's file changed by which hash persons are known, so that an erasure would have found no key to destroy; one in the newest record of the key ring was taken for a torn end and cut off | the line has a checksum; only zeros or part of a record count as torn; `seawall-storage`, `keys/tests.rs` |
| `damage` | a flipped bit in a commit of a table's log or in a checkpoint can turn an `add` action into one that readers pass over; its file's rows are then missing without an error | each commit is sealed since; a checkpoint is compared with its commits by `seawall verify data` |

## What is not proved here

- The power cuts model a disk that keeps every write it was given, in the order of its flushes. A disk that lies about
  its cache is not modelled.
- `strace` counts calls per thread, so the same point can lie at different moments of two runs.
- The catalog is SQLite with its own journal; its files are damaged in their first pages only.
- Trials run on one machine, one file system (ext4, tmpfs where the disk is to be full) and one kernel at a time.
- A call without room is tried for writes of the log and of the catalog, for allocations and for new names; `write`,
  which also wakes the process's own threads, meets a full disk only.
- A row of another commit than the newest proves that commit; what changed since is proved by the short form, which runs
  with every change.

## Running it

```sh
cargo xtask torture --short                    # a few trials of each, and the planted bugs; .ci/run runs it
cargo xtask torture --long                     # hours; resumed when it is started again
cargo xtask torture --long --only kill --budget 600
cargo xtask torture --only kill --seed 4711    # the choices of a seed once more
cargo xtask torture --list                     # the harnesses
```

A finding names its seed and keeps the data folder. What needs root, `strace`, `libfaketime` or a control group says so
where it is missing, and counts nothing.
";

/// Writes the page.
pub fn write(root: &Path) -> Result<()> {
    let page = root.join("docs/reliability.md");
    fs::write(&page, render(&scorecards(root)?)).with_context(|| format!("writing {}", page.display()))
}

/// The kept scorecards, by file name.
pub fn scorecards(root: &Path) -> Result<Vec<Scorecard>> {
    let folder = root.join("docs/reliability");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        paths.push(entry.context("listing scorecards")?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    };
    paths.iter().map(read).collect()
}

/// The page of these scorecards.
pub fn render(cards: &[Scorecard]) -> String {
    let mut page = OPENING.to_owned();
    for card in cards {
        let _ = write!(
            page,
            "\n## The {} form of {}\n\nOn {}; commit {}. {} rows were acknowledged while faults were injected: **{} lost, \
             {} twice, {} silent.**\n\n",
            card.form,
            card.date,
            card.machine,
            card.commits.join(", "),
            thousands(card.acknowledged),
            card.lost,
            card.duplicated,
            card.silent
        );
        page.push_str("| fault | promise | trials | lost | twice | silent | bound |\n|---|---|---|---|---|---|---|\n");
        for row in &card.rows {
            line(&mut page, row);
        }
        notes(&mut page, card);
    }
    page.push_str(
        "\n## The harnesses\n\nA long form that was cut off says so by its trials: these are what each goes for.\n\n",
    );
    for harness in HARNESSES {
        let (short, long) = (thousands(harness.short), thousands(harness.long));
        let _ = writeln!(
            page,
            "- `{}`: {}. Goals: {short} in the short form, {long} in the long.",
            harness.name, harness.fault
        );
    }
    page.push_str(CLOSING);
    page
}

fn line(page: &mut String, row: &Row) {
    let _ = match &row.skipped {
        Some(reason) => writeln!(page, "| {} | {} | skipped: {reason} | | | | |", row.fault, row.promise),
        None => writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.fault,
            row.promise,
            thousands(row.trials),
            row.losses,
            row.duplicates,
            row.silent,
            percent(row)
        ),
    };
}

fn notes(page: &mut String, card: &Scorecard) {
    for row in card.rows.iter().filter(|row| !row.notes.is_empty() || !row.examples.is_empty()) {
        for note in row.notes.iter().chain(&row.examples) {
            let _ = write!(page, "\n- `{}`: {note}", row.name);
        }
    }
    let sabotage = &card.sabotage;
    if sabotage.planted == 0 {
        return;
    }
    let _ = write!(
        page,
        "\n\nA harness that never fails proves nothing. Of {} bugs that were planted on purpose, {} turned a harness \
         red:\n\n| bug | harness | first finding |\n|---|---|---|\n",
        sabotage.planted, sabotage.caught
    );
    for bug in &sabotage.bugs {
        let finding = match bug.caught || bug.skipped {
            true => bug.finding.clone(),
            false => format!("**not caught**: {}", bug.finding),
        };
        let _ = writeln!(page, "| `{}` | `{}` | {} |", bug.name, bug.harness, finding.replace('|', "\\|"));
    }
}

/// 1234567 as 1,234,567.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
