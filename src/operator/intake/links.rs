//! Paths through links: where they lead, and which entries of which folders decide that.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// As the system's own limit.
const MOST_LINKS: usize = 40;

/// Follows an absolute path link by link to a path without any.
///
/// Every link on the way goes to `entries`, and so does what is missing: when one of these changes, the path leads
/// elsewhere. Only the folder that holds a link tells that it was replaced.
pub fn follow(path: &Path, entries: &mut BTreeSet<PathBuf>) -> io::Result<PathBuf> {
    let mut real = PathBuf::new();
    let mut left = parts(path);
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == ".." {
            real.pop();
            continue;
        }
        let next = real.join(part);
        match fs::symlink_metadata(&next) {
            Ok(metadata) if metadata.is_symlink() => {
                links += 1;
                let target = fs::read_link(&next);
                entries.insert(next);
                if links > MOST_LINKS {
                    return Err(io::Error::other("too many links, or links in a circle"));
                }
                left.extend(parts(&target?));
            }
            Ok(_) => real = next,
            Err(error) => {
                entries.insert(next);
                return Err(error);
            }
        }
    }
    Ok(real)
}

/// The parts of a path, the first one last. An absolute path begins with `/`, which replaces what it is joined to.
fn parts(path: &Path) -> Vec<OsString> {
    let is_part = |part: &Component<'_>| *part != Component::CurDir;
    let mut parts: Vec<OsString> = path.components().filter(is_part).map(|part| part.as_os_str().to_owned()).collect();
    parts.reverse();
    parts
}
