use super::*;
use crate::{
    journal::{Fenced, Trouble},
    model::{RunCounts, Timestamp},
};

fn record(seq: u64) -> Record {
    Record { seq, at: Timestamp::from_micros(0), epoch: 1, event: Event::Counted { runs: RunCounts::default() } }
}

fn head(seq: u64) -> Record {
    Record { event: Event::Compacted { past: vec![] }, ..record(seq) }
}

fn name() -> ScenarioName {
    "a".parse().expect("a name")
}

/// A process with this epoch that never finds out that another one took over: what it does is what a process can do that
/// was stopped in the middle.
fn holder(root: &Path, epoch: u64) -> FileStore {
    FileStore::open(root, Holding::alone(epoch)).expect("a store")
}

async fn append(store: &FileStore, seqs: impl IntoIterator<Item = u64>) {
    let records: Vec<Record> = seqs.into_iter().map(record).collect();
    store.append(&name(), &records).await.expect("appended");
}

async fn read(store: &FileStore) -> Vec<u64> {
    store.read(&name()).await.expect("read").iter().map(|record| record.seq).collect()
}

async fn trouble(store: &FileStore) -> (Trouble, String) {
    let error = store.read(&name()).await.expect_err("unreadable");
    (Trouble::of(&error), error.to_string())
}

fn files(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root.join("a"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn tear(path: &Path) {
    let mut file = OpenOptions::new().append(true).open(path).expect("there");
    file.write_all(b"{\"v\":2,\"crc\":\"00").expect("torn");
}

#[tokio::test]
async fn each_holder_goes_on_where_the_last_one_ended_and_touches_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let first = holder(root, 1);
    assert_eq!(read(&first).await, [0; 0]);
    append(&first, [0, 1]).await;
    append(&first, [2]).await;
    let old = root.join("a/0000000001-00000001.jsonl");
    tear(&old);
    let left = fs::read(&old).expect("there");

    let second = holder(root, 2);
    assert_eq!(second.names().await.expect("names"), [name()]);
    assert_eq!(read(&second).await, [0, 1, 2]);
    assert_eq!(files(root), ["0000000001-00000001.jsonl"], "reading writes nothing");
    append(&second, [3]).await;
    append(&second, [4]).await;
    assert_eq!(files(root), ["0000000001-00000001.jsonl", "0000000002-00000001.jsonl"]);
    tear(&root.join("a/0000000002-00000001.jsonl"));
    let third = holder(root, 5);
    append(&third, [5]).await;
    assert_eq!(read(&third).await, [0, 1, 2, 3, 4, 5], "also by who appends before it reads");
    assert_eq!(read(&holder(root, 6)).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(fs::read(&old).expect("there"), left, "a torn tail is no matter");
    assert_eq!(newest_epoch(root).expect("read"), 5);
}

#[tokio::test]
async fn a_journal_from_before_there_were_fences_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::create_dir(root.join("a")).expect("made");
    let lines: Vec<u8> = (0..3).flat_map(|seq| log::encode(&Record { epoch: 7, ..record(seq) })).collect();
    let lines = String::from_utf8(lines).expect("text").replace("{\"v\":2,", "{\"v\":1,");
    let old = root.join("a/00000001.jsonl");
    for torn in [false, true] {
        fs::write(&old, &lines).expect("written");
        if torn {
            tear(&old);
        }
        assert_eq!(newest_epoch(root).expect("read"), 7, "torn: {torn}");
        assert_eq!(read(&holder(root, 8)).await, [0, 1, 2], "torn: {torn}");
    }
    let left = fs::read(&old).expect("there");
    let store = holder(root, 8);
    append(&store, [3]).await;
    assert_eq!(read(&holder(root, 9)).await, [0, 1, 2, 3]);
    assert_eq!(fs::read(&old).expect("there"), left);
    fs::write(&old, "").expect("written");
    let (found, message) = trouble(&holder(root, 9)).await;
    assert_eq!(found, Trouble::Damaged);
    assert!(message.contains("00000001.jsonl: line 1 is damaged: only 0 bytes are whole"), "{message}");
    fs::remove_file(root.join("a/0000000008-00000001.jsonl")).expect("removed");
    assert_eq!(read(&holder(root, 9)).await, [0; 0], "an empty file was never written to");
}

#[tokio::test]
async fn what_a_superseded_holder_writes_counts_for_nothing_wherever_it_lands() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let (old, idle) = (holder(root, 1), holder(root, 2));
    append(&old, [0, 1]).await;
    // One that had read and not written yet, so that its write would be a new segment.
    assert_eq!(read(&idle).await, [0, 1]);
    let new = holder(root, 3);
    assert_eq!(read(&new).await, [0, 1]);
    append(&old, [2, 3, 4]).await;
    append(&idle, [2]).await;
    assert_eq!(read(&new).await, [0, 1], "what counts was decided by the first reading");
    append(&new, [2, 3]).await;
    append(&old, [5]).await;
    append(&idle, [3, 4]).await;
    assert_eq!(read(&new).await, [0, 1, 2, 3], "by itself");
    for reader in [4, 5] {
        assert_eq!(read(&holder(root, reader)).await, [0, 1, 2, 3], "by the next");
    }
    let whole = fs::read_to_string(root.join("a/0000000003-00000001.jsonl")).expect("there");
    assert_eq!(whole.lines().count(), 3, "a fence and two records: {whole}");
}

/// A file that names epoch 2 at the first look, and epoch 3 at the second.
fn overtaken_at_the_second_look(folder: &Path) -> (Holding, std::thread::JoinHandle<()>) {
    let [path, next] = ["epoch", "next"].map(|name| folder.join(name));
    let made = std::process::Command::new("mkfifo").args([&path, &next]).status().expect("mkfifo");
    assert!(made.success());
    let holding = Holding::new(&path, 2);
    let answers = std::thread::spawn(move || {
        // It opens when the holder does. The second look finds the other pipe.
        let mut first = OpenOptions::new().write(true).open(&path).expect("looked at");
        fs::rename(&next, &path).expect("renamed");
        first.write_all(b"2").expect("answered");
        drop(first);
        fs::write(&path, "3").expect("answered");
    });
    (holding, answers)
}

#[tokio::test]
async fn who_is_overtaken_during_a_write_is_told_so_and_removes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("journal");
    let first = holder(&root, 1);
    append(&first, [0, 1]).await;
    let (holding, answers) = overtaken_at_the_second_look(folder.path());
    let store = FileStore::open(&root, holding).expect("a store");
    let error = store.append(&name(), &[head(2), record(3)]).await.expect_err("fenced");
    answers.join().expect("both answers were read");
    assert_eq!(Trouble::of(&error), Trouble::Fenced(Fenced { epoch: 2, newest: 3 }));
    assert_eq!(
        files(&root),
        ["0000000001-00000001.jsonl", "0000000002-00000001.jsonl"],
        "whoever follows may count on it"
    );
    let again = store.append(&name(), &[record(4)]).await.expect_err("fenced");
    assert_eq!(Trouble::of(&again), Trouble::Fenced(Fenced { epoch: 2, newest: 3 }));
    assert_eq!(files(&root).len(), 2);
}

#[tokio::test]
async fn compaction_leaves_one_segment_and_every_step_of_it_may_be_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    append(&holder(root, 1), [0, 1]).await;
    let store = holder(root, 2);
    append(&store, [2]).await;
    let kept: Vec<(PathBuf, Vec<u8>)> = files(root)
        .iter()
        .map(|file| (root.join("a").join(file), fs::read(root.join("a").join(file)).expect("there")))
        .collect();
    store.append(&name(), &[head(3), record(4)]).await.expect("compacted");
    append(&store, [5]).await;
    assert_eq!(files(root), ["0000000002-00000002.jsonl"]);
    assert_eq!(read(&store).await, [3, 4, 5]);
    let newest = root.join("a/0000000002-00000002.jsonl");
    let compacted = fs::read(&newest).expect("there");

    // Crashes: aside and not yet in its place, whole or in part; in its place, and none or some of the old ones removed.
    for bytes in [0, 1, compacted.len() / 2, compacted.len()] {
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("written"));
        let aside = root.join("a/.0000000002-00000002.jsonl.tmp");
        fs::write(&aside, &compacted[..bytes]).expect("written");
        let _ = fs::remove_file(&newest);
        assert_eq!(read(&holder(root, 3)).await, [0, 1, 2], "{bytes} bytes are aside");
        append(&holder(root, 3), [3]).await;
        assert_eq!(read(&holder(root, 4)).await, [0, 1, 2, 3], "and the next write does not mind");
        fs::remove_file(aside).expect("removed");
        fs::remove_file(root.join("a/0000000003-00000001.jsonl")).expect("removed");
    }
    for removed in 0..=kept.len() {
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("written"));
        fs::write(&newest, &compacted).expect("written");
        kept[..removed].iter().for_each(|(path, _)| fs::remove_file(path).expect("removed"));
        assert_eq!(read(&holder(root, 3)).await, [3, 4, 5], "{removed} removed");
    }
    kept[..1].iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("written"));
    holder(root, 3).append(&name(), &[head(6), record(7)]).await.expect("compacted");
    assert_eq!(files(root), ["0000000003-00000001.jsonl"], "what was left behind goes with the next one");
}

#[tokio::test]
async fn what_others_count_on_and_is_not_there_is_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    append(&holder(root, 1), [0, 1]).await;
    append(&holder(root, 2), [2]).await;
    let (old, new) = (root.join("a/0000000001-00000001.jsonl"), root.join("a/0000000002-00000001.jsonl"));
    let (old_bytes, new_bytes) = (fs::read(&old).expect("there"), fs::read(&new).expect("there"));
    let lines: Vec<&[u8]> = new_bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let mut flipped = old_bytes.clone();
    flipped[old_bytes.len() - 20] ^= 1;
    for (what, old_now, new_now, words) in [
        ("cut", Some(&old_bytes[..old_bytes.len() - 1]), new_bytes.clone(), "line 3 is damaged: only "),
        ("a bit", Some(flipped.as_slice()), new_bytes.clone(), "line 3 is damaged: "),
        ("gone", None, new_bytes.clone(), "the file is missing, and later segments count on it"),
        ("no fence", Some(&old_bytes), lines[1].to_vec(), "line 1 is damaged: it is no fence"),
        ("no line", Some(&old_bytes), vec![], "line 1 is damaged: it is no fence"),
        (
            "two",
            Some(&old_bytes),
            [lines[0], lines[0], lines[1]].concat(),
            "line 2 is damaged: a fence is a first line",
        ),
    ] {
        match old_now {
            Some(bytes) => fs::write(&old, bytes).expect("written"),
            None => fs::remove_file(&old).expect("removed"),
        }
        fs::write(&new, new_now).expect("written");
        let (found, message) = trouble(&holder(root, 3)).await;
        assert!(found == Trouble::Damaged && message.contains(words), "{what}: {message}");
    }
    fs::write(&old, &old_bytes).expect("written");
    let newer = String::from_utf8(new_bytes).expect("text").replace("{\"v\":2,", "{\"v\":3,");
    fs::write(&new, newer).expect("written");
    let (found, message) = trouble(&holder(root, 3)).await;
    assert!(found == Trouble::Newer && message.contains("upgrade dagstorm"), "{message}");
    let error = holder(root, 3).append(&name(), &[record(3)]).await.expect_err("what cannot be read is not added to");
    assert_eq!(Trouble::of(&error), Trouble::Newer);
    assert_eq!(files(root).len(), 2);
}

/// Puts another file in the place of the open one.
fn swap(store: &FileStore, device: &str) {
    let journal = store.journal(&name());
    let mut journal = journal.lock().expect("no panic");
    let file = OpenOptions::new().append(true).open(device).expect("a device");
    journal.own.as_mut().expect("written to").file = file;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn after_a_failed_fsync_only_a_new_process_goes_on() {
    // Writing to the first succeeds and its fsync fails; to the second nothing can be written, and it cannot be cut back.
    for (device, words) in [("/dev/null", "Invalid argument"), ("/dev/full", "No space left on device")] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = holder(folder.path(), 1);
        append(&store, [0, 1]).await;
        swap(&store, device);
        let error = store.append(&name(), &[record(2)]).await.expect_err("failed");
        assert_eq!(Trouble::of(&error), Trouble::Unusable, "{device}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("not known before a restart"), "{device}: {text}");
        // Never again, whatever lies beneath now.
        let own = folder.path().join("a/0000000001-00000001.jsonl");
        swap(&store, own.to_str().expect("text"));
        assert_eq!(store.append(&name(), &[record(2)]).await.expect_err("failed").to_string(), text);
        assert_eq!(store.read(&name()).await.expect_err("failed").to_string(), text);
        assert_eq!(read(&holder(folder.path(), 2)).await, [0, 1]);
    }
}

#[tokio::test]
async fn a_segment_that_cannot_be_begun_leaves_all_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    append(&holder(root, 1), [0, 1]).await;
    let store = holder(root, 2);
    // In the way of the file aside.
    let aside = root.join("a/.0000000002-00000001.jsonl.tmp");
    fs::create_dir(&aside).expect("made");
    assert!(store.append(&name(), &[record(2)]).await.is_err());
    assert_eq!(read(&store).await, [0, 1]);
    fs::remove_dir(&aside).expect("removed");
    append(&store, [2]).await;
    assert_eq!(read(&store).await, [0, 1, 2]);
    assert_eq!(files(root), ["0000000001-00000001.jsonl", "0000000002-00000001.jsonl"]);
    store.room(&name()).await.expect("there is room");
    assert_eq!(files(root).len(), 2);
}
