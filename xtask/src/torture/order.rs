//! The order audit: reads a trace of the running server and checks the order of its effects, without any luck.
//!
//! - No 2xx leaves before a sync, begun after the event was written to the log, has succeeded; and none for what was
//!   written to a file of which a sync had failed.
//! - No name appears for a file whose bytes are not synced.
//! - Whoever makes a name syncs the folder before it makes another one or answers anybody.
//! - No commit of a table appears before the data files that it adds have their names, synced.
//!
//! Events are found by their notes, whatever the formats of wire and log are.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::book::Findings;
use super::trace::Call;

/// What an audit looked at, and what was wrong.
#[derive(Debug, Default)]
pub struct Audited {
    /// Acknowledgements that were checked.
    pub answers: u64,
    /// Names that were checked.
    pub names: u64,
    /// What was wrong.
    pub findings: Findings,
}

/// Audits the calls of a server with its data in `data`. `notes` are those of the events that were sent, each in a
/// request of its own.
pub fn audit(calls: &[Call], data: &Path, notes: &[String]) -> Audited {
    let mut audited = Audited::default();
    let files = Files::of(calls);
    check_answers(calls, &files, &Notes::of(notes), &mut audited);
    check_names(calls, &files, data, &mut audited);
    audited
}

/// The notes of all events, which have one length.
struct Notes<'a> {
    all: HashSet<&'a [u8]>,
    length: usize,
}

impl<'a> Notes<'a> {
    fn of(notes: &'a [String]) -> Notes<'a> {
        let length = notes.first().map_or(1, |note| note.len().max(1));
        Notes { all: notes.iter().map(String::as_bytes).collect(), length }
    }

    /// The notes in `bytes`, in their order.
    fn within<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + 'b {
        let may_be = |window: &&[u8]| window[0].is_ascii_alphanumeric() && window[self.length - 1] != 0;
        bytes.windows(self.length).filter(may_be).filter_map(|window| self.all.get(window).copied())
    }
}

/// Writes, syncs and names, by path.
struct Files<'a> {
    writes: HashMap<&'a str, Vec<&'a Call>>,
    syncs: HashMap<&'a str, Vec<&'a Call>>,
}

impl<'a> Files<'a> {
    fn of(calls: &'a [Call]) -> Files<'a> {
        let (mut writes, mut syncs) = (HashMap::new(), HashMap::new());
        for call in calls {
            let by_path: &mut HashMap<&str, Vec<&Call>> = match call.name.as_str() {
                "write" | "pwrite64" | "writev" | "pwritev" => &mut writes,
                "fsync" | "fdatasync" => &mut syncs,
                _ => continue,
            };
            by_path.entry(call.path.as_deref().unwrap_or_default()).or_default().push(call);
        }
        Files { writes, syncs }
    }

    /// The first sync of `path` that succeeded between the lines `after` and `before`.
    fn sync(&self, path: &str, after: usize, before: usize) -> Option<&'a Call> {
        let mut syncs = self.syncs.get(path).into_iter().flatten();
        syncs.find(|sync| sync.result == 0 && sync.begun > after && sync.ended < before).copied()
    }

    /// Whether `path` was synced between the lines `after` and `before`.
    fn synced(&self, path: &str, after: usize, before: usize) -> bool {
        self.sync(path, after, before).is_some()
    }

    /// Whether a sync of `path` had failed before the line `before`.
    fn failed(&self, path: &str, before: usize) -> bool {
        self.syncs.get(path).into_iter().flatten().any(|sync| sync.result < 0 && sync.ended < before)
    }
}

fn is_socket(call: &Call) -> bool {
    call.path.as_ref().is_some_and(|path| path.starts_with("socket:"))
}

/// Follows each event from the socket to the log and back.
fn check_answers(calls: &[Call], files: &Files<'_>, notes: &Notes<'_>, audited: &mut Audited) {
    let logged = logged(files, notes);
    let mut asked: HashMap<&str, &[u8]> = HashMap::new();
    for call in calls.iter().filter(|call| is_socket(call)) {
        let socket = call.path.as_deref().unwrap_or_default();
        let bytes = call.strings().concat();
        match call.name.as_str() {
            "recvfrom" | "recvmsg" => {
                // A request may come in pieces; the piece with the note names it.
                if let Some(note) = notes.within(&bytes).next() {
                    asked.insert(socket, note);
                }
            }
            "sendto" | "write" | "writev" | "sendmsg" if bytes.starts_with(b"HTTP/1.1 2") => {
                let Some(note) = asked.remove(socket) else { continue };
                audited.answers += 1;
                let name = String::from_utf8_lossy(note);
                check_answer(call, &name, logged.get(note), files, &mut audited.findings);
            }
            _ => {}
        }
    }
}

fn check_answer(answer: &Call, note: &str, written: Option<&&Call>, files: &Files<'_>, findings: &mut Findings) {
    let Some(written) = written.filter(|written| written.ended < answer.begun) else {
        return findings.deceive(format!("the event {note} was acknowledged before it was written to the log"));
    };
    let path = written.path.as_deref().unwrap_or_default();
    match files.sync(path, written.ended, answer.begun) {
        None => findings.deceive(format!("the event {note} was acknowledged before a sync of {path} that holds it")),
        // After a failure the kernel may report success for pages that it dropped.
        Some(sync) if files.failed(path, sync.begun) => {
            findings.deceive(format!("the event {note} was acknowledged although a sync of {path} had failed"));
        }
        Some(_) => {}
    }
}

/// The first write to a segment of the log that holds each note.
fn logged<'a>(files: &Files<'a>, notes: &Notes<'a>) -> HashMap<&'a [u8], &'a Call> {
    let mut logged: HashMap<&[u8], &Call> = HashMap::new();
    for (_, writes) in files.writes.iter().filter(|(path, _)| path.contains("/log/")) {
        for write in writes {
            for note in notes.within(&write.strings().concat()) {
                let first = logged.entry(note).or_insert(write);
                if write.begun < first.begun {
                    *first = write;
                }
            }
        }
    }
    logged
}

/// A name that a link or a rename made.
struct Named<'a> {
    call: &'a Call,
    from: String,
    to: String,
}

/// Checks every name that appears in `data`. The catalog's own names are SQLite's business.
fn check_names(calls: &[Call], files: &Files<'_>, data: &Path, audited: &mut Audited) {
    let data = data.display().to_string();
    let ours = |path: &str| path.starts_with(&data) && !path.contains("/catalog/");
    let named: Vec<Named<'_>> = calls.iter().filter_map(named).filter(|named| ours(&named.to)).collect();
    for (at, name) in named.iter().enumerate() {
        audited.names += 1;
        let (to, findings) = (&name.to, &mut audited.findings);
        let written = files.writes.get(name.from.as_str()).into_iter().flatten();
        let last = written.filter(|write| write.begun < name.call.begun).map(|write| write.ended).max();
        if last.is_some_and(|last| !files.synced(&name.from, last, name.call.begun)) {
            findings.deceive(format!("{to} got its name before its bytes were synced"));
        }
        let folder = to.rsplit_once('/').map_or("", |(folder, _)| folder);
        let next = named[at + 1..].iter().find(|next| next.call.thread == name.call.thread);
        let until = next.map_or(usize::MAX, |next| next.call.begun);
        if !files.synced(folder, name.call.ended, until) {
            findings.deceive(format!("the folder of {to} was not synced after the name was made"));
        }
        if to.contains("/_delta_log/") && to.ends_with(".json") {
            check_commit(name, &named[..], files, findings);
        }
    }
}

fn named(call: &Call) -> Option<Named<'_>> {
    let names = ["link", "linkat", "rename", "renameat", "renameat2"].contains(&call.name.as_str());
    if !names || call.result != 0 {
        return None;
    }
    let mut paths = call.paths().into_iter();
    Some(Named { call, from: paths.next()?, to: paths.next()? })
}

/// The data files that a commit adds have their names, and their folders are synced, before the commit appears.
fn check_commit(commit: &Named<'_>, named: &[Named<'_>], files: &Files<'_>, findings: &mut Findings) {
    let Some((root, _)) = commit.to.split_once("/_delta_log/") else { return };
    let writes = files.writes.get(commit.from.as_str()).into_iter().flatten();
    let bytes: Vec<u8> =
        writes.filter(|write| write.begun < commit.call.begun).flat_map(|write| write.strings().concat()).collect();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for path in lines.filter_map(|line| Some(line["add"]["path"].as_str()?.to_owned())) {
        let path = format!("{root}/{path}");
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let made = named.iter().find(|name| name.to == path && name.call.ended < commit.call.begun);
        match made {
            Some(name) if files.synced(folder, name.call.ended, commit.call.begun) => {}
            Some(_) => findings.deceive(format!("{} was committed before the folder of {path} was synced", commit.to)),
            None => findings.deceive(format!("{} was committed before {path} was there", commit.to)),
        }
    }
}

#[cfg(test)]
mod tests;
