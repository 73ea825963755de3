//! What `strace` wrote, as calls: who made it, with which arguments, and which lines it lay between.
//!
//! Lines are in the order in which the tracer saw entries and exits, so that of two calls the one whose last line lies
//! before the other's first line had returned before the other began.

use std::collections::HashMap;

use anyhow::{Context, Result};

/// Options that make a trace which [`read`] understands: every thread, paths of descriptors, the beginnings of buffers in
/// hex, long enough for a request, a frame and a commit of few events.
pub const STRACE: [&str; 8] = ["strace", "-f", "-qq", "--seccomp-bpf", "-y", "-xx", "-s", "16384"];

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The thread.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// Its arguments as `strace` wrote them.
    pub arguments: String,
    /// What its first descriptor stands for: a path, or `socket:[5]`.
    pub path: Option<String>,
    /// What it returned; negative for an error.
    pub result: i64,
    /// Line of its entry.
    pub begun: usize,
    /// Line of its exit.
    pub ended: usize,
}

/// The calls of a trace, in the order of their entries. Calls that never returned are left out.
pub fn read(text: &str) -> Result<Vec<Call>> {
    let mut open: HashMap<u32, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, said)) = line.split_once(char::is_whitespace) else { continue };
        let thread: u32 = thread.parse().with_context(|| format!("line {at} of the trace names no thread"))?;
        let said = said.trim_start();
        if let Some(begun) = said.strip_suffix("<unfinished ...>") {
            open.insert(thread, (at, begun.to_owned()));
        } else if let Some(rest) = said.strip_prefix("<... ") {
            let Some((begun, first)) = open.remove(&thread) else { continue };
            let Some((_, rest)) = rest.split_once(" resumed>") else { continue };
            calls.extend(call(thread, &format!("{first}{rest}"), begun, at));
        } else {
            calls.extend(call(thread, said, at, at));
        }
    }
    calls.sort_by_key(|call| call.begun);
    Ok(calls)
}

/// A whole call: `name(arguments) = result ...`; none for signals and exits.
fn call(thread: u32, said: &str, begun: usize, ended: usize) -> Option<Call> {
    let (name, rest) = said.split_once('(')?;
    let (arguments, result) = rest
        .rsplit_once(") = ")
        .or_else(|| rest.rsplit_once(')').map(|(a, r)| (a, r.trim_start_matches([' ', '=']))))?;
    let number = result.split([' ', '<']).next()?;
    let (name, arguments) = (name.to_owned(), arguments.trim_end().to_owned());
    let path = path_of(&arguments);
    Some(Call { thread, name, arguments, path, result: number.parse().ok()?, begun, ended })
}

impl Call {
    /// The strings among the arguments, decoded.
    pub fn strings(&self) -> Vec<Vec<u8>> {
        self.arguments.split('"').skip(1).step_by(2).map(unhex).collect()
    }

    /// The path-like strings among the arguments.
    pub fn paths(&self) -> Vec<String> {
        self.strings().into_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

/// The path in `7</data/log/segment>, ...`, whether it is written in hex or not.
fn path_of(arguments: &str) -> Option<String> {
    let (descriptor, rest) = arguments.split_once('<')?;
    let (path, _) = descriptor.chars().all(|c| c.is_ascii_digit()).then(|| rest.split_once('>'))??;
    Some(if path.starts_with("\\x") { String::from_utf8_lossy(&unhex(path)).into_owned() } else { path.to_owned() })
}

/// The bytes of `\x41\x42`; every byte is four characters.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    text.as_bytes().chunks_exact(4).map(|byte| digit(byte[2]) << 4 | digit(byte[3])).collect()
}

#[cfg(test)]
mod tests;
