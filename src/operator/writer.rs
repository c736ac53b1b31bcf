//! The identity of a data folder: runs name it, so that two dagstorms can tell their work apart.

use std::{fs, io, path::Path};

use rand::RngExt;

use crate::{model::WriterId, publish::write_atomically};

/// Where it is kept in the data folder.
const FILE: &str = "writer";
/// So many bits are drawn: two folders of one account have the same id once in a hundred million years.
const BITS: u32 = 48;

/// Reads the id of a data folder; draws it when the folder is new.
///
/// # Errors
/// When it cannot be read or written, or when what is there is no id.
pub fn writer_id(data: &Path) -> io::Result<WriterId> {
    let path = data.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|error| {
            let message = format!("{}: {error}; remove the file, and a new id is drawn", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let number = rand::rng().random::<u64>() >> (u64::BITS - BITS);
            let id: WriterId = format!("{number:012x}").parse().expect("hexadecimal digits are an id");
            write_atomically(&path, format!("{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id_and_no_two_have_the_same() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let id = writer_id(one.path()).expect("an id");
        assert_eq!(writer_id(one.path()).expect("the same"), id);
        assert_ne!(writer_id(other.path()).expect("another"), id);
        fs::write(one.path().join(FILE), "NOT AN ID").expect("written");
        let error = writer_id(one.path()).expect_err("no id").to_string();
        assert!(error.contains("is not the id of a data folder") && error.contains("remove the file"), "{error}");
    }
}
