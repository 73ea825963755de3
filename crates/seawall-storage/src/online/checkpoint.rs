//! Checkpoints: one file per view, and a manifest that makes them valid all at once.
//!
//! The manifest is written last and atomically, so that a crash leaves the checkpoint before. It names each view's file
//! with the hash of its content; files that no manifest names are removed. A view whose rows did not change keeps its
//! file. A folder without a manifest is an empty store.
//!
//! Views are written one after the other, each as it is at its own moment, so that one of them is in memory twice, and
//! live rows wait only while it is encoded. The manifest's cut is that of the beginning: a view may have received more,
//! which its own cut says, and takes no row of that a second time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Cut, Hash, Instant, VersionedName, durable};
use serde::{Deserialize, Serialize};

use super::check::KeptView;
use super::core::{Core, Gap, Moment, Received, Restored};
use super::error;

mod file;
#[cfg(test)]
mod tests;

pub(super) const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "seawall online checkpoint";
const VERSION: u32 = 1;

/// The folder of a store's checkpoints.
pub(super) struct Folder {
    path: PathBuf,
    /// The valid checkpoint; held while the next one is written.
    current: Mutex<Current>,
}

/// The valid checkpoint.
struct Current {
    manifest: Option<Manifest>,
    /// The last change of each view that this process wrote.
    written: BTreeMap<VersionedName, u64>,
}

/// What a checkpoint holds.
pub(super) struct Loaded {
    pub cut: Cut,
    pub known: Instant,
    pub views: BTreeMap<VersionedName, Restored>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    version: u32,
    checkpoint: Checkpoint,
    /// BLAKE3 of `checkpoint` as compact JSON.
    hash: Hash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    /// Counts the checkpoints of a folder; part of the names of its files.
    number: u64,
    cut: Cut,
    known: Instant,
    views: Vec<ViewFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewFile {
    view: VersionedName,
    definition: Hash,
    cut: Cut,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    gap: Option<Gap>,
    file: String,
    /// Length of the encoded state.
    bytes: u64,
    /// BLAKE3 of the encoded state.
    hash: Hash,
}

impl Folder {
    /// Opens a folder and reads its checkpoint, removing the leftovers of an interrupted one.
    pub fn open(path: &Path) -> Result<(Folder, Loaded)> {
        let current = read_manifest(&path.join(MANIFEST))?;
        let mut loaded = Loaded { cut: Cut::empty(), known: Instant::MIN, views: BTreeMap::new() };
        if let Some(manifest) = &current {
            loaded.cut = manifest.checkpoint.cut.clone();
            loaded.known = manifest.checkpoint.known;
            for view in &manifest.checkpoint.views {
                loaded.views.insert(view.view.clone(), view.load(path)?);
            }
        }
        let current = Current { manifest: current, written: BTreeMap::new() };
        let folder = Folder { path: path.to_owned(), current: Mutex::new(current) };
        folder.remove_unnamed(folder.current.lock().manifest.as_ref())?;
        Ok((folder, loaded))
    }

    /// The number of the valid checkpoint; none when there is none that can be read.
    pub fn number(path: &Path) -> Option<u64> {
        read_manifest(&path.join(MANIFEST)).ok()?.map(|manifest| manifest.checkpoint.number)
    }

    /// Writes the state of `core` as the next checkpoint. Blocks on the disk.
    pub fn checkpoint(&self, core: &Core) -> Result<()> {
        let mut current = self.current.lock();
        let (kept, untouched, cut) = core.kept();
        let number = current.manifest.as_ref().map_or(1, |manifest| manifest.checkpoint.number + 1);
        let before = current.manifest.as_ref().map_or(&[][..], |manifest| &manifest.checkpoint.views);
        let (mut views, mut written) = (Vec::with_capacity(kept.len()), BTreeMap::new());
        for (i, id) in kept.iter().enumerate() {
            let file = before.iter().find(|file| file.view == *id);
            let last = current.written.get(id).copied().filter(|_| file.is_some());
            let Some(moment) = core.moment(id, last)? else { continue };
            written.insert(id.clone(), moment.changed);
            views.push(self.write_view(&format!("state-{number:012}-{i:06}.bin"), id, file, moment)?);
        }
        views.extend(before.iter().filter(|file| untouched.contains(&file.view)).cloned());
        // Read last: a request may have raised it while views were encoded, and K never goes back.
        let checkpoint = Checkpoint { number, cut, known: core.known(), views };
        let hash = Hash::of_json(&checkpoint);
        let manifest = Manifest { format: FORMAT.to_owned(), version: VERSION, checkpoint, hash };
        self.write_manifest(&manifest)?;
        *current = Current { manifest: Some(manifest), written };
        self.remove_unnamed(current.manifest.as_ref())
    }

    /// Writes a view's state to the file `name`, unless the file before holds the same.
    fn write_view(
        &self,
        name: &str,
        view: &VersionedName,
        before: Option<&ViewFile>,
        moment: Moment,
    ) -> Result<ViewFile> {
        let Received { cut, gap } = moment.received;
        let Some(Restored { definition, bytes, .. }) = moment.restored else {
            let unchanged = before.cloned().expect("a view that has not changed since it was written has a file");
            return Ok(ViewFile { cut, gap, ..unchanged });
        };
        let hash = Hash::of(&bytes);
        let file = match before.filter(|file| file.hash == hash) {
            Some(unchanged) => unchanged.file.clone(),
            None => {
                let path = self.path.join(name);
                let pieces = file::pieces(&bytes, hash);
                durable::write_atomic_pieces(&path, pieces).map_err(|e| error::io("write", &path, e))?;
                name.to_owned()
            }
        };
        Ok(ViewFile { view: view.clone(), definition, cut, gap, file, bytes: bytes.len() as u64, hash })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        let path = self.path.join(MANIFEST);
        let mut json = serde_json::to_vec_pretty(manifest).expect("a manifest has only string keys");
        json.push(b'\n');
        durable::write_atomic(&path, &json).map_err(|e| error::io("write", &path, e))
    }

    /// Removes the state files that `manifest` does not name, and temporary files of a crash.
    fn remove_unnamed(&self, manifest: Option<&Manifest>) -> Result<()> {
        let failed = |e| error::io("list", &self.path, e);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            let ours = name.starts_with("state-") || name.starts_with("manifest.json#") || name == "manifest.json.tmp";
            let named = manifest.is_some_and(|manifest| manifest.checkpoint.views.iter().any(|view| view.file == name));
            if ours && !named {
                let path = self.path.join(name);
                durable::remove_file(&path).map_err(|e| error::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
}

/// The files that the valid checkpoint in `folder` names.
pub(super) fn files(folder: &Path) -> Result<Vec<ViewFile>> {
    Ok(read_manifest(&folder.join(MANIFEST))?.map_or_else(Vec::new, |manifest| manifest.checkpoint.views))
}

impl ViewFile {
    /// Its name in the folder.
    pub(super) fn name(&self) -> &str {
        &self.file
    }

    /// Length of the encoded state.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The state with what the manifest says of it, every byte checked.
    pub(super) fn kept(&self, folder: &Path) -> Result<KeptView> {
        let Restored { definition, received, bytes } = self.load(folder)?;
        let backfilling = received.gap.is_some();
        Ok(KeptView { view: self.view.clone(), definition, cut: received.cut, backfilling, state: bytes })
    }

    fn load(&self, folder: &Path) -> Result<Restored> {
        let path = folder.join(&self.file);
        let plain = Path::new(&self.file).file_name().is_some_and(|name| name == self.file.as_str());
        if !plain {
            return Err(error::damaged(&path, "its name leads out of the folder"));
        }
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(error::damaged(&path, "the manifest names it, but it is missing"));
            }
            Err(e) => return Err(error::io("read", &path, e)),
        };
        let bytes = file::decode(&path, content)?;
        if bytes.len() as u64 != self.bytes || Hash::of(&bytes) != self.hash {
            return Err(error::damaged(&path, "it is not the file that the manifest names"));
        }
        let received = Received { cut: self.cut.clone(), gap: self.gap.clone() };
        Ok(Restored { definition: self.definition, received, bytes })
    }
}

fn read_manifest(path: &Path) -> Result<Option<Manifest>> {
    let json = match fs::read(path) {
        Ok(json) => json,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(error::io("read", path, e)),
    };
    let value: serde_json::Value =
        serde_json::from_slice(&json).map_err(|e| error::damaged(path, format!("it is not JSON ({e})")))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if let Some(other) = version.filter(|version| *version != u64::from(VERSION)) {
        return Err(error::other_version(path, u32::try_from(other).unwrap_or(u32::MAX)));
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|e| error::damaged(path, format!("it is not a manifest ({e})")))?;
    if manifest.format != FORMAT || Hash::of_json(&manifest.checkpoint) != manifest.hash {
        return Err(error::damaged(path, "its hash does not match its content"));
    }
    Ok(Some(manifest))
}
