//! The files of a project: which ones are read, and how much of them.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::diagnostic::Report;
use super::parse::{PROJECT_FILE, is_yaml_file};
use super::policies::is_policy_file;
use super::source::{Place, SourceFile};

/// Largest file, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// All files together, in bytes.
const TOTAL_BYTES_MAX: u64 = 10 << 20;
/// Files and folders that are looked at.
const ENTRIES_MAX: usize = 10_000;
/// Folders within folders.
const DEPTH_MAX: usize = 32;
/// Folders that hold no declarations.
const SKIPPED: [&str; 3] = ["data", "target", "node_modules"];

/// The project's files below `folder`, by path; files that cannot be read are reported and stand there empty.
pub(crate) fn read(folder: &Path) -> (Vec<SourceFile>, Report) {
    let mut walk = Walk { root: folder, paths: Vec::new(), failures: Vec::new(), entries: 0 };
    walk.folder(Path::new(""), 0);
    walk.paths.sort();
    let mut loading = Loading::default();
    for path in walk.paths {
        loading.file(folder, path);
    }
    for (path, message) in walk.failures {
        loading.fail(path, message, "check the path and its permissions");
    }
    loading.finish()
}

/// The same for texts in memory, within the same limits.
pub(crate) fn from_memory(files: &[(PathBuf, String)]) -> (Vec<SourceFile>, Report) {
    let mut sorted: Vec<&(PathBuf, String)> = files.iter().filter(|(path, _)| is_read(path)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut loading = Loading::default();
    for (path, text) in sorted {
        loading.text(path.clone(), text.clone());
    }
    loading.finish()
}

fn is_read(path: &Path) -> bool {
    is_yaml_file(path) || is_policy_file(path) || path.extension().is_some_and(|extension| extension == "sql")
}

struct Walk<'f> {
    root: &'f Path,
    paths: Vec<PathBuf>,
    failures: Vec<(PathBuf, String)>,
    entries: usize,
}

impl Walk<'_> {
    /// Looks at one folder. Links to folders are not followed, so a walk always ends; links to files are.
    fn folder(&mut self, folder: &Path, depth: usize) {
        let listing = match fs::read_dir(self.root.join(folder)) {
            Ok(listing) => listing,
            Err(error) => {
                self.failures.push((shown(folder), format!("this folder cannot be read: {error}")));
                return;
            }
        };
        for entry in listing {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                if self.entries == ENTRIES_MAX + 1 {
                    let message = format!("the project has more than {ENTRIES_MAX} files and folders");
                    self.failures.push((shown(folder), message));
                }
                return;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.failures.push((shown(folder), format!("this folder cannot be read: {error}")));
                    return;
                }
            };
            self.entry(folder, &entry, depth);
        }
    }

    fn entry(&mut self, folder: &Path, entry: &fs::DirEntry, depth: usize) {
        let name = entry.file_name();
        let path = folder.join(&name);
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            return;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth < DEPTH_MAX && !SKIPPED.contains(&name.as_ref()) {
            self.folder(&path, depth + 1);
        }
        let is_file = fs::metadata(self.root.join(&path)).is_ok_and(|metadata| metadata.is_file());
        if is_file && is_read(&path) {
            self.paths.push(path);
        }
    }
}

fn shown(folder: &Path) -> PathBuf {
    if folder.components().next().is_none() { PathBuf::from(Component::CurDir.as_os_str()) } else { folder.to_owned() }
}

/// Files so far.
#[derive(Default)]
struct Loading {
    files: Vec<SourceFile>,
    report: Report,
    bytes: u64,
}

impl Loading {
    fn file(&mut self, folder: &Path, path: PathBuf) {
        let mut bytes = Vec::new();
        // One byte more than the limit shows that there is more, without reading it all.
        let read = fs::File::open(folder.join(&path)).and_then(|file| {
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            Ok(())
        });
        if let Err(error) = read {
            self.fail(path, format!("this file cannot be read: {error}"), "check its permissions");
            return;
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.text(path, text),
            // A cut in the middle of a character is not the author's mistake.
            Err(error) if error.as_bytes().len() as u64 > FILE_BYTES_MAX => self.fail_size(path),
            Err(_) => self.fail(path, "this file is not UTF-8 text".to_owned(), "save it as UTF-8"),
        }
    }

    fn text(&mut self, path: PathBuf, text: String) {
        self.bytes += text.len() as u64;
        if text.len() as u64 > FILE_BYTES_MAX {
            self.fail_size(path);
            return;
        }
        if self.bytes > TOTAL_BYTES_MAX {
            let message = format!("the project's files are larger than {} MiB together", TOTAL_BYTES_MAX >> 20);
            self.fail(path, message, "keep data out of the project, or in its folder `data`");
            return;
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        self.files.push(SourceFile { path, text: text.into() });
    }

    fn fail_size(&mut self, path: PathBuf) {
        let message = format!("this file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        self.fail(path, message, "keep data out of the project, or in its folder `data`");
    }

    fn fail(&mut self, path: PathBuf, message: String, help: &str) {
        let file = self.files.len();
        self.files.push(SourceFile { path, text: "".into() });
        self.report.error("SW0131", message, Place { file, start: 0, end: 0 }).help(help);
    }

    fn finish(mut self) -> (Vec<SourceFile>, Report) {
        if !self.files.iter().any(|file| file.path == Path::new(PROJECT_FILE)) {
            let place = Place { file: self.files.len(), start: 0, end: 0 };
            self.files.push(SourceFile { path: PROJECT_FILE.into(), text: "".into() });
            self.report
                .error("SW0130", "this folder is no project: it has no seawall.yaml", place)
                .help("run `seawall init` in it, or go to the folder that has one");
        }
        (self.files, self.report)
    }
}
