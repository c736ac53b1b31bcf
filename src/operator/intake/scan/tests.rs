//! One reading: what odd folders hold, what attachments are, and what ten thousand files take.

use std::{
    fs::{File, FileTimes, Permissions},
    io::{Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, Mode};
use tempfile::TempDir;

use super::*;
use crate::operator::intake::{LARGEST_ATTACHMENT, Version};

fn put(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn scan(root: &Path) -> Scan {
    let reading = Scanner::new(root).read(&Scan::default());
    assert!(!reading.in_flux);
    reading.scan
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn manifests_are_found_and_nothing_else_is() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for name in ["b.yaml", "a.yml", "sub/c.json", "dir.yaml/d.yaml", "1/2/3/4/5/6/7/8/deep.yaml"] {
        put(at(name), name);
    }
    for name in ["b.yaml~", ".a.yaml", "#b.yaml#", "~b.yaml", "README.md", ".git/a.yaml", "..data/a.yaml", "b.yaml.bak"]
    {
        put(at(name), name);
    }
    put(at("1/2/3/4/5/6/7/8/9/deeper.yaml"), "too deep");
    put(at("empty.yaml"), "");
    let no_text = folder.path().join(OsStr::from_bytes(b"caf\xe9.yaml"));
    put(&no_text, "latin");
    let scan = scan(folder.path());
    let expected = [
        "1/2/3/4/5/6/7/8/deep.yaml",
        "a.yml",
        "b.yaml",
        "caf\\xe9.yaml",
        "dir.yaml/d.yaml",
        "empty.yaml",
        "sub/c.json",
    ];
    assert_eq!(names(&scan), expected);
    assert!(scan.is_complete);
    assert_eq!(scan.files[3].content.as_deref(), Ok(&b"latin"[..]));
}

#[test]
fn what_is_no_file_is_never_waited_for() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for fifo in ["fifo.yaml", "fifo.csv"] {
        rustix::fs::mkfifoat(CWD, at(fifo), Mode::RUSR | Mode::WUSR).expect("a FIFO");
        assert!(attachment::read(&at(fifo), 1, &mut vec![]).is_err(), "neither when it came in the place of a file");
    }
    symlink("fifo.yaml", at("link.yaml")).expect("a link");
    symlink("/dev/zero", at("zero.yaml")).expect("a link");
    let _socket = UnixListener::bind(at("socket.yaml")).expect("a socket");
    put(at("a.yaml"), "a");
    let scan = scan(folder.path());
    assert_eq!((names(&scan), scan.is_complete, scan.attachments.len()), (vec!["a.yaml"], true, 0));
}

#[test]
fn links_in_circles_end_and_a_folder_is_read_once() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    put(at("beside.yaml"), "not in the root");
    put(at("elsewhere/c.yaml"), "c");
    put(at("root/a.yaml"), "a");
    put(at("root/sub/b.yaml"), "b");
    for (target, link) in [
        ("circle.yaml", "root/circle.yaml"),
        ("nothing", "root/dangling.yaml"),
        ("nothing", "root/dangling"),
        (".", "root/here"),
        ("..", "root/sub/up"),
        ("../..", "root/sub/above"),
        ("sub", "root/a-second-name"),
        ("../elsewhere", "root/linked"),
        ("../../elsewhere", "root/sub/linked"),
        ("../root", "elsewhere/back"),
        ("../elsewhere/c.yaml", "root/c.yaml"),
    ] {
        symlink(target, at(link)).expect("a link");
    }
    let scan = scan(&at("root"));
    assert_eq!(names(&scan), ["a.yaml", "c.yaml", "circle.yaml", "linked/c.yaml", "sub/b.yaml"]);
    assert!(scan.is_complete);
    let error = scan.files[2].content.as_ref().expect_err("a circle has no content");
    assert!(error.contains("links in a circle"), "{error}");
}

#[test]
fn a_large_file_is_not_read() {
    let folder = TempDir::new().expect("a folder");
    put(folder.path().join("a.yaml"), &"x".repeat(LARGEST_FILE));
    put(folder.path().join("b.yaml"), &"x".repeat(LARGEST_FILE + 1));
    let huge = File::create(folder.path().join("c.yaml")).expect("a file");
    huge.set_len(1 << 40).expect("a hole");
    let scan = scan(folder.path());
    assert!(scan.files[0].content.is_ok());
    for file in &scan.files[1..] {
        let error = file.content.as_ref().expect_err("too large");
        assert!(error.contains("1048576 are read at most"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_deletes_nothing() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    put(at("open.yaml"), "open");
    put(at("shut.yaml"), "shut");
    put(at("shut.csv"), "shut");
    put(at("shut/a.yaml"), "a");
    for path in ["shut.yaml", "shut.csv", "shut"] {
        fs::set_permissions(at(path), Permissions::from_mode(0o000)).expect("shut");
    }
    let is_all_seeing = fs::read(at("shut.yaml")).is_ok();
    let scan = scan(folder.path());
    fs::set_permissions(at("shut"), Permissions::from_mode(0o700)).expect("open again");
    // Root reads everything: there is nothing to see then.
    if !is_all_seeing {
        assert_eq!((names(&scan), scan.is_complete), (vec!["open.yaml", "shut.yaml"], false));
        assert!(scan.files[1].content.as_ref().expect_err("shut").contains("ermission denied"));
        assert!(matches!(scan.attachments[0].version, Version::Unreadable(_)));
    }
    let file = at("file");
    put(&file, "no folder");
    for root in [at("missing"), file] {
        let scan = self::scan(&root);
        assert_eq!((scan.files.len(), scan.is_complete), (0, false));
    }
}

#[test]
fn attachments_are_told_apart_and_read_when_asked_for() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for name in ["traces/small.csv", "b.jsonl", "c.ndjson", "d.tsv"] {
        put(at(name), "123");
    }
    let mut large = File::create(at("large.csv")).expect("a file");
    large.set_len(2 << 20).expect("a size");
    File::create(at("too-large.csv")).and_then(|file| file.set_len(LARGEST_ATTACHMENT as u64 + 1)).expect("a size");
    symlink("large.csv", at("linked.csv")).expect("a link");
    let before = scan(folder.path());
    let found: Vec<&str> = before.attachments.iter().map(|found| found.name.as_str()).collect();
    let expected = ["b.jsonl", "c.ndjson", "d.tsv", "large.csv", "linked.csv", "too-large.csv", "traces/small.csv"];
    assert_eq!((found.as_slice(), names(&before).len()), (&expected[..], 0));
    assert_eq!(before, scan(folder.path()));
    let [.., linked, too_large, small] = &before.attachments[..] else { panic!("seven were found") };
    assert_eq!(small.read(), Ok(b"123".to_vec()));
    assert_eq!(linked.read().map(|content| content.len()), Ok(2 << 20));
    let error = too_large.read().expect_err("too large");
    assert_eq!(too_large.version, Version::Unreadable(error));

    // Same size, same instant, other content: the content decides.
    let instant = fs::metadata(at("traces/small.csv")).and_then(|metadata| metadata.modified()).expect("an instant");
    let mut file = File::options().write(true).open(at("traces/small.csv")).expect("a file");
    file.write_all(b"321").and_then(|()| file.set_times(FileTimes::new().set_modified(instant))).expect("written");
    large.rewind().and_then(|()| large.write_all(b"1")).expect("written");
    let after = scan(folder.path());
    let changed = before.attachments.iter().zip(&after.attachments).filter(|(a, b)| a.version != b.version);
    let changed: Vec<&str> = changed.map(|(a, _)| a.name.as_str()).collect();
    assert_eq!(changed, ["large.csv", "linked.csv", "traces/small.csv"]);
    fs::remove_file(at("d.tsv")).expect("removed");
    assert!(before.attachments[2].read().is_err());
}

#[test]
fn ten_thousand_files_are_read_again_without_keeping_them_twice() {
    let folder = TempDir::new().expect("a folder");
    let text = "x".repeat(1_000);
    for number in 0..10_000 {
        let path = folder.path().join(format!("{}/{number}.yaml", number % 20));
        if number < 20 {
            put(path, &text);
        } else {
            fs::write(path, &text).expect("a file");
        }
    }
    let mut scanner = Scanner::new(folder.path());
    let first = scanner.read(&Scan::default()).scan;
    put(folder.path().join("7/7.yaml"), "changed");
    let began = Instant::now();
    let second = scanner.read(&first).scan;
    // 70 ms in a debug build. Ten times that would be another algorithm, not another machine.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "10,000 files were read again in {took:?}");
    assert_eq!(second.files.len(), 10_000);
    let shared = |a: &ScannedFile, b: &ScannedFile| {
        matches!((&a.content, &b.content), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b)) && a.name == b.name
    };
    let changed: Vec<&str> =
        (first.files.iter().zip(&second.files)).filter(|(a, b)| !shared(a, b)).map(|(a, _)| a.name.as_str()).collect();
    assert_eq!(changed, ["7/7.yaml"]);
}
