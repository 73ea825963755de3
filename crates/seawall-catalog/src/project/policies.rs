//! The policy files of a project: `policies/*.cedar`, read as text.

use std::path::Path;

use super::diagnostic::Report;
use super::model::PolicyFile;
use super::source::{Place, SourceFile};

/// Folder of a project, in which its policies stand.
const FOLDER: &str = "policies";
/// Largest policy file, in bytes.
const FILE_BYTES_MAX: usize = 256 << 10;
/// Policy files of one project.
const FILES_MAX: usize = 64;

/// Whether the file at `path` holds policies.
pub(crate) fn is_policy_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "cedar")
}

/// The policies among `files`, ordered by path. A file that would silently not hold is reported.
pub(crate) fn policies(files: &[SourceFile], report: &mut Report) -> Vec<PolicyFile> {
    let mut policies = Vec::new();
    for (index, file) in files.iter().enumerate().filter(|(_, file)| is_policy_file(&file.path)) {
        let place = Place { file: index, start: 0, end: 0 };
        if file.path.parent() != Some(Path::new(FOLDER)) {
            report
                .error("SW0183", "policies are read from the folder `policies` only", place)
                .help("move this file there, or give it another ending");
            continue;
        }
        if file.text.len() > FILE_BYTES_MAX {
            report
                .error("SW0183", format!("this policy file is larger than {} KiB", FILE_BYTES_MAX >> 10), place)
                .help("split it");
        }
        if policies.len() == FILES_MAX {
            report
                .error("SW0183", format!("the project has more than {FILES_MAX} policy files"), place)
                .help("join some of them: a file holds any number of policies");
        }
        let parts: Vec<_> = file.path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        policies.push(PolicyFile { path: parts.join("/"), text: file.text.to_string() });
    }
    policies.sort_by(|a, b| a.path.cmp(&b.path));
    policies
}
