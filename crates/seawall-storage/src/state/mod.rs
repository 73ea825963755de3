//! State checkpoints: a text and the files that it needs, made valid all at once.
//!
//! A checkpoint is a manifest; its body is a text that only its owner understands, and it names files with length and
//! hash. Files are written first, the manifest last and atomically, so that a crash leaves the checkpoint before. The two
//! newest manifests are kept with their files: when one of the newest checkpoint's files is damaged, its owner goes on
//! from the one before, and whatever the checkpoints make superfluous may only be removed behind the older one. Files
//! that neither manifest names are removed. A file never changes, and may be part of many checkpoints.

mod check;
mod error;
mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{Hash, durable};

use crate::folder_lock;
pub use check::{check, newest_files};
use manifest::{FileRef, Manifest};

/// Checkpoints that are kept.
const KEPT: usize = 2;

/// A folder with the checkpoints of one state, owned by this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    format: &'static str,
    /// The newest first.
    kept: Vec<Manifest>,
    /// Number of the newest manifest that was ever seen, usable or not.
    number: u64,
    _lock: File,
}

/// One valid manifest. Its files were not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts the checkpoints of a folder, from 1.
    pub number: u64,
    /// What the owner wrote.
    pub body: String,
}

/// A file of the next checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its name, which no file of the folder had before: [`Folder::name`] makes one.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Folder {
    /// Opens the folder of states of `format`, creating it when it is missing, and removes the leftovers of an
    /// interrupted checkpoint. Returns the checkpoints, the newest first, and what is wrong with manifests that cannot
    /// be used. Fails with `SW0400` when another process has it open, `SW0430` when the disk refuses.
    pub fn open(path: &Path, format: &'static str) -> Result<(Folder, Vec<seawall_base::Error>)> {
        let lock = folder_lock::lock(path)?;
        let mut folder = Folder { path: path.to_owned(), format, kept: Vec::new(), number: 0, _lock: lock };
        let mut damages = Vec::new();
        for (number, name) in folder.manifests()? {
            folder.number = folder.number.max(number);
            match Manifest::read(&path.join(&name), format, number) {
                Ok(manifest) => folder.kept.push(manifest),
                Err(damage) => damages.push(damage),
            }
        }
        folder.kept.truncate(KEPT);
        if damages.is_empty() {
            folder.remove_unnamed()?;
        }
        Ok((folder, damages))
    }

    /// The checkpoints, the newest first.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        let of = |manifest: &Manifest| Checkpoint { number: manifest.number, body: manifest.body.clone() };
        self.kept.iter().map(of).collect()
    }

    /// Forgets the newest checkpoint, whose files turned out to be damaged; its files stay until the next one is written.
    pub fn forget_newest(&mut self) {
        if !self.kept.is_empty() {
            self.kept.remove(0);
        }
    }

    /// Reads a file that a checkpoint names; fails with `SW0431` unless it is as it was written.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let Some(named) = self.kept.iter().flat_map(|manifest| &manifest.files).find(|file| file.name == name) else {
            return Err(error::damaged(&path, "no checkpoint names it"));
        };
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(error::damaged(&path, "a checkpoint names it, but it is missing"));
            }
            Err(e) => return Err(error::io("read", &path, e)),
        };
        if content.len() as u64 != named.bytes || Hash::of(&content) != named.hash {
            return Err(error::damaged(&path, "it is not the file that the checkpoint names"));
        }
        Ok(content)
    }

    /// A name for the `n`th file of the next checkpoint.
    pub fn name(&self, n: usize) -> String {
        format!("state-{:012}-{n:06}.bin", self.number + 1)
    }

    /// Writes the next checkpoint: new files, and files of the newest one that it goes on to use. Blocks on the disk. A
    /// failure leaves the checkpoint before as the newest.
    pub fn write(&mut self, body: String, reused: &[String], files: Vec<NewFile>) -> Result<()> {
        let mut named = Vec::with_capacity(reused.len() + files.len());
        for name in reused {
            let known = self.kept.iter().flat_map(|manifest| &manifest.files).find(|file| file.name == *name);
            let known = known.ok_or_else(|| error::damaged(&self.path.join(name), "no checkpoint names it"))?;
            named.push(known.clone());
        }
        for NewFile { name, content } in files {
            let path = self.path.join(&name);
            durable::write_atomic(&path, &content).map_err(|e| error::io("write", &path, e))?;
            named.push(FileRef { name, bytes: content.len() as u64, hash: Hash::of(&content) });
        }
        let manifest = Manifest { number: self.number + 1, body, files: named };
        manifest.write(&self.path, self.format)?;
        self.number = manifest.number;
        self.kept.insert(0, manifest);
        self.kept.truncate(KEPT);
        self.remove_unnamed()
    }

    /// The manifests in the folder, the newest first.
    fn manifests(&self) -> Result<Vec<(u64, String)>> {
        let mut manifests = Vec::new();
        for name in self.names()? {
            manifests.extend(manifest::number_of(&name).map(|number| (number, name)));
        }
        manifests.sort_unstable();
        manifests.reverse();
        Ok(manifests)
    }

    fn names(&self) -> Result<Vec<String>> {
        let failed = |e| error::io("list", &self.path, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Removes what no kept manifest names, and temporary files of a crash.
    fn remove_unnamed(&self) -> Result<()> {
        let mut named: BTreeSet<String> = BTreeSet::from(["lock".to_owned()]);
        for manifest in &self.kept {
            named.insert(manifest::name(manifest.number));
            named.extend(manifest.files.iter().map(|file| file.name.clone()));
        }
        for name in self.names()? {
            let ours = name.starts_with("state-") || name.starts_with("manifest-");
            if ours && !named.contains(&name) {
                let path = self.path.join(name);
                durable::remove_file(&path).map_err(|e| error::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
}
