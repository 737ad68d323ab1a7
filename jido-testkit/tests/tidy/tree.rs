//! The files of the workspace, and what is found in them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// A rule that a line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Text files by their path from the workspace's root, with `/` between folders.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Everything in the workspace that is text, without what builds leave behind.
    ///
    /// # Errors
    ///
    /// What the file system says of a folder that can't be read.
    pub(crate) fn of_workspace() -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "")?;
        Ok(tree)
    }

    /// A tree of made-up files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self {
            files: files.collect(),
        }
    }

    fn read(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                continue;
            };
            if matches!(name, ".git" | "target") {
                continue;
            }
            let inner = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.read(&entry.path(), &format!("{inner}/"))?;
                continue;
            }
            match fs::read_to_string(entry.path()) {
                Ok(text) => {
                    self.files.insert(inner, text);
                }
                // What is not UTF-8 is no text, and no rule speaks of it.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// All files, in the order of their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// A file's text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is such a file or, when it ends with `/`, such a folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        if path.ends_with('/') {
            self.files.keys().any(|file| file.starts_with(path))
        } else {
            self.files.contains_key(path)
        }
    }

    /// The folders of the workspace's members: those with a manifest of a package.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.files().filter_map(|(path, text)| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            (!folder.contains('/') && text.contains("[package]")).then_some(folder)
        })
    }
}

#[test]
fn a_folder_is_there_when_a_file_in_it_is() {
    let tree = Tree::of(&[("one/src/lib.rs", "")]);
    assert!(tree.has("one/src/") && tree.has("one/src/lib.rs"));
    assert!(!tree.has("one/tests/") && !tree.has("one/src"));
}
