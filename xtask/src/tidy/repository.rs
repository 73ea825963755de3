//! The repository as plain data: what the rules look at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Folders that are never part of the repository, when git cannot say what is.
const OUTSIDE: [&str; 4] = [".git", "target", "data", "node_modules"];

/// What the rules look at.
#[derive(Debug, Default)]
pub struct Repository {
    /// Every text file, by path.
    pub files: Vec<File>,
    /// Every path, binary files and folders included, relative to the root.
    pub paths: BTreeSet<String>,
    /// The workspace's packages with their dependencies.
    pub packages: Vec<Package>,
}

/// A text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Path relative to the root, with forward slashes.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl File {
    /// Whether it holds Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it only serves tests: `tests.rs`, or anything in a folder `tests`.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.path.starts_with("tests/")
    }

    /// The crate folder's name when the file lies in `crates/NAME/src`.
    pub fn crate_source(&self) -> Option<&str> {
        let (name, rest) = self.path.strip_prefix("crates/")?.split_once('/')?;
        rest.starts_with("src/").then_some(name)
    }
}

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Path of its manifest.
    pub manifest: String,
    /// Names of the packages it depends on, whatever the kind and whatever they are renamed to.
    pub dependencies: Vec<Dependency>,
}

/// A dependency as declared.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Name of the package.
    pub name: String,
    /// `normal`, `build` or `dev`.
    pub kind: String,
}

impl Repository {
    /// Reads the checkout at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut repository = Repository { packages: packages(&metadata(root)?, root)?, ..Repository::default() };
        for path in listed_by_git(root).or_else(|_| walked(root))? {
            repository.add(root, path)?;
        }
        Ok(repository)
    }

    /// Takes one path up; a file that is gone but still in git's index is skipped, as is what is not text.
    fn add(&mut self, root: &Path, path: String) -> Result<()> {
        let Ok(bytes) = fs::read(root.join(&path)) else { return Ok(()) };
        for (slash, _) in path.match_indices('/') {
            self.paths.insert(path[..slash].to_owned());
        }
        self.paths.insert(path.clone());
        if bytes.contains(&0) {
            return Ok(());
        }
        if let Ok(text) = String::from_utf8(bytes) {
            self.files.push(File { path, text });
        }
        Ok(())
    }
}

/// Tracked files, and new ones that git does not ignore.
fn listed_by_git(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("running git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let listing = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
    let paths: BTreeSet<String> = listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    Ok(paths.into_iter().collect())
}

/// Every file below `root`, for a checkout without git.
fn walked(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).with_context(|| format!("listing {folder:?}"))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8"))?;
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_file() {
                files.push(path);
            } else if kind.is_dir() && !OUTSIDE.contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn metadata(root: &Path) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("parsing the output of cargo metadata")
}

/// The packages in the output of `cargo metadata --no-deps`.
pub fn packages(metadata: &Value, root: &Path) -> Result<Vec<Package>> {
    let text = |value: &Value, key: &str| -> Result<String> {
        value[key].as_str().map(str::to_owned).with_context(|| format!("cargo metadata: no {key:?} in a package"))
    };
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata: no packages")? {
        let manifest = text(package, "manifest_path")?;
        let manifest = Path::new(&manifest).strip_prefix(root).unwrap_or(Path::new(&manifest)).display().to_string();
        let mut dependencies = Vec::new();
        for dependency in package["dependencies"].as_array().context("cargo metadata: no dependencies")? {
            let kind = dependency["kind"].as_str().unwrap_or("normal").to_owned();
            dependencies.push(Dependency { name: text(dependency, "name")?, kind });
        }
        packages.push(Package { name: text(package, "name")?, manifest, dependencies });
    }
    Ok(packages)
}
