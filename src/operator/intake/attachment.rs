//! Files that manifests refer to, such as traces: found with them, read only when they are asked for.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

/// A larger one is not read.
pub const LARGEST_ATTACHMENT: usize = 64 << 20;
/// The content of a smaller one decides whether it has changed.
const SMALL: u64 = 1 << 20;

/// A file beside the manifests, by its name and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Relative to the watched folder.
    pub name: String,
    pub version: Version,
    path: PathBuf,
}

/// What tells two contents apart. While it is equal, a content that was read before is still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Of a small file: SHA-256 of its content.
    Digest([u8; 32]),
    /// Of a larger one, which is not read every few seconds: a change of it without a change of any of these is missed.
    Stamp { size: u64, inode: u64, modified_ns: i128, changed_ns: i128 },
    /// Why it cannot be read.
    Unreadable(String),
}

impl Attachment {
    /// Looks at a file. Fails only when there is no such file.
    ///
    /// # Errors
    /// When there is nothing at `path`.
    pub fn look(name: String, path: PathBuf) -> io::Result<Self> {
        let version = match version(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(error) => Version::Unreadable(error.to_string()),
            Ok(version) => version,
        };
        Ok(Self { name, version, path })
    }

    /// Reads the content as it is now; if it is newer than `version`, the next scan tells so.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is written to meanwhile. The message is for people.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        let mut content = vec![];
        match read(&self.path, LARGEST_ATTACHMENT, &mut content) {
            Ok(Content::Whole) => Ok(content),
            Ok(Content::Changing) => Err("the file is being written".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn version(path: &Path) -> io::Result<Version> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    check_size(metadata.len(), LARGEST_ATTACHMENT)?;
    if metadata.len() >= SMALL {
        return Ok(stamp(&metadata));
    }
    let mut digest = Sha256::new();
    io::copy(&mut file.take(SMALL), &mut digest)?;
    Ok(Version::Digest(digest.finalize().into()))
}

fn stamp(metadata: &Metadata) -> Version {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Version::Stamp {
        size: metadata.len(),
        inode: metadata.ino(),
        modified_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// What a reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Whole,
    /// It was written to while it was read: what was read may be a mixture.
    Changing,
}

/// Reads a regular file of at most `most` bytes. A file that is replaced meanwhile is read as it was.
pub fn read(path: &Path, most: usize, buffer: &mut Vec<u8>) -> io::Result<Content> {
    buffer.clear();
    let file = open(path)?;
    let before = file.metadata()?;
    check_size(before.len(), most)?;
    (&file).take(most as u64 + 1).read_to_end(buffer)?;
    check_size(buffer.len() as u64, most)?;
    let is_whole = stamp(&before) == stamp(&file.metadata()?) && buffer.len() as u64 == before.len();
    Ok(if is_whole { Content::Whole } else { Content::Changing })
}

/// Opens a regular file. It never waits: opening a FIFO would, for its writer.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is no file any more"));
    }
    Ok(file)
}

fn check_size(size: u64, most: usize) -> io::Result<()> {
    if size > most as u64 {
        return Err(io::Error::other(format!("the file has {size} bytes; {most} are read at most")));
    }
    Ok(())
}
