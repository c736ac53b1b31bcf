//! `folder.json` in the data folder: what is remembered of the watched folder over a restart.

use std::{fs, io, path::Path};

use super::Memory;
use crate::publish::write_atomically;

const NAME: &str = "folder.json";

/// Reads what was remembered. Where there is nothing, or nothing that can be read, nothing is known.
pub fn read(data: &Path) -> Memory {
    let path = data.join(NAME);
    let read = fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            let path = path.display();
            tracing::warn!(%error, "{path} cannot be read: a file that cannot be read may hold every scenario until it can");
        }
        Memory::default()
    })
}

/// Writes what is to be remembered, durably.
///
/// # Errors
/// When it cannot be written.
pub fn write(data: &Path, memory: &Memory) -> io::Result<()> {
    write_atomically(&data.join(NAME), &serde_json::to_vec_pretty(memory)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_what_is_damaged_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()), Memory::default());
        let mut memory = Memory::default();
        memory.files.insert("a.yaml".to_owned(), Default::default());
        memory.deleted.insert("x".parse().expect("a name"), crate::model::Timestamp::from_micros(7));
        write(folder.path(), &memory).expect("written");
        assert_eq!(read(folder.path()), memory);
        fs::write(folder.path().join(NAME), "{ half").expect("written");
        assert_eq!(read(folder.path()), Memory::default());
    }
}
