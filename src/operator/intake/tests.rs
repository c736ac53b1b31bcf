//! The intake on a real file system. Every wait is for a condition; polls are far away where notifications are tried.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    thread,
};

use futures::FutureExt;
use notify::{Event, EventKind, event};
use tempfile::TempDir;

use super::{attachment::Content, *};

const DEADLINE: Duration = Duration::from_secs(30);
const NEVER: Duration = Duration::from_secs(600);

fn intake(root: &Path, watch: Watch, poll_interval: Duration) -> Intake {
    let following = Following { root: root.to_owned(), watch, poll_interval, prune_empty: false };
    Intake { again: Duration::from_millis(30), ..Intake::new(&following) }
}

/// Notifications alone: the next poll is further away than the deadline.
fn notified(root: &Path) -> Intake {
    intake(root, Watch::Auto, NEVER)
}

fn polled(root: &Path) -> Intake {
    intake(root, Watch::Poll, Duration::from_millis(100))
}

/// Reads until the scan is as it should be.
async fn until(intake: &mut Intake, what: &str, holds: impl Fn(&Scan) -> bool) -> Arc<Scan> {
    let mut last = None;
    let waiting = async {
        loop {
            let scan = intake.next().await;
            if holds(&scan) {
                return scan;
            }
            last = Some(scan);
        }
    };
    let ended = timeout(DEADLINE, waiting).await;
    ended.unwrap_or_else(|_| panic!("not seen: {what}; the last scan: {last:?}"))
}

/// Reads until nothing but a notification can lead to the next reading.
async fn calm(intake: &mut Intake) -> Arc<Scan> {
    let far = NEVER / 2;
    let mut scan = intake.next().await;
    while intake.poll_at < Instant::now() + far {
        scan = timeout(DEADLINE, intake.next()).await.expect("a changed folder is read again soon");
    }
    scan
}

/// Names with their contents; an error's content is `!` and the message.
fn contents(scan: &Scan) -> Vec<(&str, String)> {
    let text = |file: &crate::operator::ScannedFile| match &file.content {
        Ok(content) => String::from_utf8_lossy(content).into_owned(),
        Err(message) => format!("!{message}"),
    };
    scan.files.iter().map(|file| (file.name.as_str(), text(file))).collect()
}

fn is(scan: &Scan, expected: &[(&str, &str)]) -> bool {
    let contents = contents(scan);
    contents.len() == expected.len()
        && contents.iter().zip(expected).all(|((name, text), (a, b))| name == a && text == b)
}

fn put(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Replaces a link in one step, as git-sync and the kubelet do.
fn relink(link: &Path, target: &str) {
    let aside = link.with_file_name("..aside");
    symlink(target, &aside).expect("a link");
    fs::rename(aside, link).expect("a link in its place");
}

fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    fs::rename(from, to).expect("a rename");
}

#[tokio::test]
async fn what_editors_write_beside_a_manifest_is_none() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().to_owned();
    let a = root.join("a.yaml");
    put(&a, "0");
    let mut intake = notified(&root);
    calm(&mut intake).await;
    let editor = thread::spawn(move || {
        let at = |name: &str| root.join(name);
        for round in 1..=60 {
            let text = round.to_string();
            match round % 5 {
                // vim: a swap file, a probe, rename away, write anew.
                0 => {
                    put(at(".a.yaml.swp"), "swap");
                    put(at("4913"), "");
                    fs::remove_file(at("4913")).expect("removed");
                    rename(&a, at("a.yaml~"));
                    put(&a, &text);
                    fs::remove_file(at("a.yaml~")).expect("removed");
                    fs::remove_file(at(".a.yaml.swp")).expect("removed");
                }
                // Emacs: a lock that leads to nothing, an autosave, a backup, written in place.
                1 => {
                    symlink("me@host.1:2", at(".#a.yaml")).expect("a link");
                    put(at("#a.yaml#"), "autosave");
                    fs::copy(&a, at("a.yaml~")).expect("copied");
                    put(&a, &text);
                    fs::remove_file(at("#a.yaml#")).expect("removed");
                    fs::remove_file(at(".#a.yaml")).expect("removed");
                    fs::remove_file(at("a.yaml~")).expect("removed");
                }
                // JetBrains: both sides by renames.
                2 => {
                    put(at("a.yaml___jb_tmp___"), &text);
                    rename(&a, at("a.yaml___jb_old___"));
                    rename(at("a.yaml___jb_tmp___"), &a);
                    fs::remove_file(at("a.yaml___jb_old___")).expect("removed");
                }
                3 => {
                    put(at("sedKx81Qz"), &text);
                    rename(at("sedKx81Qz"), &a);
                }
                _ => {
                    put(at(".a.yaml.tmp"), &text);
                    rename(at(".a.yaml.tmp"), &a);
                }
            }
        }
    });
    let last = until(&mut intake, "the last version", |scan| {
        assert!(scan.files.iter().all(|file| file.name == "a.yaml"), "{scan:?}");
        is(scan, &[("a.yaml", "60")])
    });
    assert!(last.await.is_complete);
    editor.join().expect("the editor ends");
}

#[tokio::test]
async fn a_file_that_is_replaced_or_written_slowly_comes_whole() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().to_owned();
    let version = |letter: char| letter.to_string().repeat(300_000);
    put(root.join("a.yaml"), &version('a'));
    for mut intake in [notified(&root), polled(&root)] {
        intake.next().await;
        let path = root.clone();
        let writer = thread::spawn(move || {
            for letter in ('a'..='z').cycle().take(26 * 8) {
                put(path.join(".aside"), &version(letter));
                rename(path.join(".aside"), path.join("a.yaml"));
            }
            let mut slow = File::create(path.join("b.yaml")).expect("a file");
            for part in version('s').as_bytes().chunks(3_000) {
                slow.write_all(part).expect("written");
            }
        });
        until(&mut intake, "the last version", |scan| {
            let contents = contents(scan);
            assert!(contents.iter().all(|(name, text)| *name != "a.yaml" || text.len() == 300_000), "a mixture");
            is(scan, &[("a.yaml", &version('z')), ("b.yaml", &version('s'))])
        })
        .await;
        writer.join().expect("the writer ends");
        fs::remove_file(root.join("b.yaml")).expect("removed");
    }
}

#[test]
fn a_file_that_is_written_while_it_is_read_is_said_to_be() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.yaml");
    put(&path, "");
    let (mut buffer, mut file) = (vec![], File::create(&path).expect("a file"));
    let writer = thread::spawn(move || {
        while file.write_all(&[b'x'; 512]).is_ok() && file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
            file.set_len(1 << 16).expect("cut");
        }
    });
    let began = std::time::Instant::now();
    let seen = || attachment::read(&path, 1 << 20, &mut buffer).is_ok_and(|content| content == Content::Changing);
    let is_seen = std::iter::repeat_with(seen).take_while(|_| began.elapsed() < DEADLINE).any(|seen| seen);
    fs::remove_file(&path).expect("removed");
    writer.join().expect("the writer ends");
    assert!(is_seen);
}

#[tokio::test]
async fn flipped_links_are_followed_and_the_new_tree_is_watched() {
    for (link, root, prefix) in [
        ("git/link", "git/link", ""),
        ("git/link", "git/link/deploy", ""),
        ("root/current", "root", "current/"),
        ("root/current", "root", "current/deploy/"),
    ] {
        let folder = TempDir::new().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        let inside = if root.ends_with("deploy") || prefix.ends_with("deploy/") { "deploy/" } else { "" };
        let tree = |number: u32| at(&format!("trees/{number}/{inside}a.yaml"));
        put(tree(1), "1");
        put(at("git/.keep"), "");
        put(at("root/.keep"), "");
        symlink("../trees/1", at(link)).expect("a link");
        let mut intake = notified(&at(root));
        let name = format!("{prefix}a.yaml");
        assert!(is(&*calm(&mut intake).await, &[(&name, "1")]), "{root}");
        for number in 2..5 {
            put(tree(number), &number.to_string());
            relink(&at(link), &format!("../trees/{number}"));
            until(&mut intake, "the new tree", |scan| is(scan, &[(&name, &number.to_string())])).await;
            fs::remove_dir_all(at(&format!("trees/{}", number - 1))).expect("removed");
            calm(&mut intake).await;
            put(tree(number), "edited");
            until(&mut intake, "an edit in the new tree", |scan| is(scan, &[(&name, "edited")])).await;
            calm(&mut intake).await;
        }
    }
}

#[tokio::test]
async fn a_config_map_is_read_once_and_its_swap_is_seen() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    put(at("..2024_1/a.yaml"), "a1");
    put(at("..2024_1/b.yaml"), "b1");
    symlink("..2024_1", at("..data")).expect("a link");
    symlink("..data/a.yaml", at("a.yaml")).expect("a link");
    symlink("..data/b.yaml", at("b.yaml")).expect("a link");
    let mut intake = notified(folder.path());
    assert!(is(&*calm(&mut intake).await, &[("a.yaml", "a1"), ("b.yaml", "b1")]));
    put(at("..2024_2/a.yaml"), "a2");
    relink(&at("..data"), "..2024_2");
    // `b.yaml` leads to nothing for a moment.
    let scan = until(&mut intake, "the swap", |scan| is(scan, &[("a.yaml", "a2")])).await;
    assert!(scan.is_complete, "what a link into nothing meant is gone");
    fs::remove_file(at("b.yaml")).expect("removed");
    fs::remove_dir_all(at("..2024_1")).expect("removed");
    calm(&mut intake).await;
    put(at("..2024_3/a.yaml"), "a3");
    relink(&at("..data"), "..2024_3");
    until(&mut intake, "the next swap", |scan| is(scan, &[("a.yaml", "a3")])).await;
}

#[tokio::test]
async fn polling_alone_sees_everything() {
    let folder = TempDir::new().expect("a folder");
    let limit = || notify::Error::new(notify::ErrorKind::MaxFilesWatch);
    let without = polled(folder.path());
    without.eye.lock().expect("a lock").watching = Watching::with(Err(limit()), &without.signal);
    for mut intake in [polled(folder.path()), without] {
        assert!(is(&*intake.next().await, &[]));
        put(folder.path().join("deep/er/a.yaml"), "1");
        until(&mut intake, "a new file", |scan| is(scan, &[("deep/er/a.yaml", "1")])).await;
        put(folder.path().join("deep/er/a.yaml"), "2");
        until(&mut intake, "an edit", |scan| is(scan, &[("deep/er/a.yaml", "2")])).await;
        fs::remove_dir_all(folder.path().join("deep")).expect("removed");
        until(&mut intake, "a removal", |scan| is(scan, &[])).await;
        assert!(intake.eye.lock().expect("a lock").watching.armed().is_empty());
    }
}

#[tokio::test]
async fn a_folder_that_goes_and_comes_back_is_followed_again() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().join("not/yet/here");
    let mut intake = notified(&root);
    let scan = calm(&mut intake).await;
    assert!(is(&scan, &[]) && !scan.is_complete, "nothing is known without the folder");
    for round in 0..6 {
        put(root.join("sub/a.yaml"), "1");
        until(&mut intake, "a folder that comes", |scan| scan.is_complete && is(scan, &[("sub/a.yaml", "1")])).await;
        calm(&mut intake).await;
        put(root.join("sub/a.yaml"), "2");
        until(&mut intake, "an edit in it", |scan| is(scan, &[("sub/a.yaml", "2")])).await;
        calm(&mut intake).await;
        match round % 3 {
            0 => fs::remove_dir_all(&root).expect("removed"),
            1 => fs::remove_dir_all(folder.path().join("not")).expect("removed"),
            // The very same folder comes back: its watch was dropped all the same.
            _ => {
                rename(&root, folder.path().join("away"));
                until(&mut intake, "a folder that goes", |scan| is(scan, &[]) && !scan.is_complete).await;
                calm(&mut intake).await;
                rename(folder.path().join("away"), &root);
                until(&mut intake, "a folder that comes back", |scan| is(scan, &[("sub/a.yaml", "2")])).await;
                calm(&mut intake).await;
                put(root.join("sub/a.yaml"), "3");
                until(&mut intake, "an edit after that", |scan| is(scan, &[("sub/a.yaml", "3")])).await;
                fs::remove_dir_all(&root).expect("removed");
            }
        }
        until(&mut intake, "a folder that goes", |scan| is(scan, &[]) && !scan.is_complete).await;
        calm(&mut intake).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_away_for_an_instant_is_still_followed() {
    let folder = TempDir::new().expect("a folder");
    let (root, away) = (folder.path().join("root"), folder.path().join("away"));
    let file = root.join("sub/deep/a.yaml");
    put(&file, "1");
    let mut intake = notified(&root);
    calm(&mut intake).await;
    for moved in [root.clone(), root.join("sub"), root.join("sub/deep")] {
        for text in ["2", "3"] {
            // No reading sees it gone, yet the system's watches on it and below it are.
            rename(&moved, &away);
            rename(&away, &moved);
            calm(&mut intake).await;
            put(&file, text);
            until(&mut intake, "an edit after that", |scan| is(scan, &[("sub/deep/a.yaml", text)])).await;
            calm(&mut intake).await;
        }
        fs::remove_dir_all(&moved).expect("removed");
        put(&file, "anew");
        until(&mut intake, "a new folder", |scan| is(scan, &[("sub/deep/a.yaml", "anew")])).await;
        calm(&mut intake).await;
    }
}

#[tokio::test]
async fn lost_notifications_lead_to_a_full_reading_and_to_new_watches() {
    let folder = TempDir::new().expect("a folder");
    let a = folder.path().join("a.yaml");
    let overflow = || Ok(Event::new(EventKind::Other).set_flag(event::Flag::Rescan));
    let failure = || Err(notify::Error::generic("broken"));
    let mut blind = intake(folder.path(), Watch::Poll, NEVER);
    calm(&mut blind).await;
    for (loss, text) in [(overflow(), "1"), (failure(), "2")] {
        put(&a, text);
        blind.signal.hear(loss);
        until(&mut blind, "what was not notified", |scan| is(scan, &[("a.yaml", text)])).await;
        calm(&mut blind).await;
    }
    let mut intake = notified(folder.path());
    calm(&mut intake).await;
    let armed = intake.eye.lock().expect("a lock").watching.armed();
    intake.signal.hear(overflow());
    calm(&mut intake).await;
    assert_eq!(intake.eye.lock().expect("a lock").watching.armed(), armed);
    put(&a, "3");
    until(&mut intake, "an edit after that", |scan| is(scan, &[("a.yaml", "3")])).await;
}

#[tokio::test]
async fn what_does_not_matter_is_no_hint() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().canonicalize().expect("a path").join("root");
    let other = root.with_file_name("elsewhere.yaml");
    put(&other, "1");
    put(root.join("sub/b.yaml"), "1");
    symlink("../elsewhere.yaml", root.join("a.yaml")).expect("a link");
    let mut intake = notified(&root);
    calm(&mut intake).await;
    let written = EventKind::Access(event::AccessKind::Close(event::AccessMode::Write));
    let opened = EventKind::Access(event::AccessKind::Open(event::AccessMode::Any));
    let read = EventKind::Access(event::AccessKind::Close(event::AccessMode::Read));
    let made = EventKind::Create(event::CreateKind::File);
    for (kind, path, is_hint) in [
        (opened, root.join("a.yaml"), false),
        (read, root.join("a.yaml"), false),
        (opened, root.clone(), false),
        (made, root.with_file_name("operator.log"), false),
        (written, root.with_file_name("operator.log"), false),
        (written, other, true),
        (made, root.join("anything"), true),
        (written, root.join("sub/b.yaml"), true),
        (EventKind::Remove(event::RemoveKind::Folder), root.clone(), true),
    ] {
        intake.signal.hear(Ok(Event::new(kind).add_path(path.clone())));
        assert_eq!(intake.signal.hint().now_or_never().is_some(), is_hint, "{kind:?} {}", path.display());
    }
}
