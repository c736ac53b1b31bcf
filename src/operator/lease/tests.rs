use super::*;
use crate::journal::Fenced;

/// A clock that is set by hand: the test does not wait.
struct Clock(Instant);

impl Clock {
    fn after(&mut self, millis: u64) -> Instant {
        self.0 += Duration::from_millis(millis);
        self.0
    }
}

/// A holder as it looks to others when it is stopped: the lock is held, and nothing renews.
fn stopped(data: &Path, epoch: u64) -> (File, Holding) {
    let lock = lock_in_place(data).expect("locked").expect("free");
    fs::write(data.join("epoch"), format!("{epoch}\n")).expect("written");
    renew(data, &Ticket { epoch, pid: 17, host: "host-a".to_owned(), counter: 0, ended: false }).expect("renewed");
    (lock, Holding::new(&data.join("epoch"), epoch))
}

fn watch(data: &Path) -> (Watcher, Clock) {
    let watcher = Watcher::new(data).expect("a watcher");
    let clock = Clock(watcher.since);
    (watcher, clock)
}

fn fenced(holding: &Holding) -> Option<Fenced> {
    let error = holding.check().err()?;
    match Trouble::of(&error) {
        Trouble::Fenced(fenced) => Some(fenced),
        Trouble::Full | Trouble::Damaged | Trouble::Newer | Trouble::Unusable => panic!("{error}"),
    }
}

#[test]
fn one_holder_at_a_time_and_a_higher_epoch_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Lease::acquire(folder.path()).expect("free");
    assert_eq!(first.holding.epoch(), 1);
    let held = Lease::acquire(folder.path()).expect_err("held").to_string();
    let named = format!("(process {} on ", std::process::id());
    assert!(held.contains("another dagstorm holds the data folder") && held.contains(&named), "{held}");
    let (mut watcher, mut clock) = watch(folder.path());
    assert!(watcher.look(clock.after(250)).expect("looked").is_none());
    let holding = first.holding.clone();
    drop(first);
    let second = watcher.look(clock.after(250)).expect("looked").expect("free again: no need to wait");
    assert_eq!(second.holding.epoch(), 2);
    assert_eq!(fenced(&holding), Some(Fenced { epoch: 1, newest: 2 }));
    assert_eq!(fenced(&second.holding), None);
}

#[test]
fn an_epoch_is_higher_than_every_trace_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    fs::create_dir_all(data.join("journal/a")).expect("made");
    fs::write(data.join("journal/a/0000000008-00000001.jsonl"), "").expect("written");
    assert_eq!(Lease::acquire(data).expect("free").holding.epoch(), 9);
    let ticket = Ticket { epoch: 20, pid: 1, host: "host-a".to_owned(), counter: 0, ended: false };
    renew(data, &ticket).expect("renewed");
    assert_eq!(Lease::acquire(data).expect("free").holding.epoch(), 21);
    fs::write(data.join("epoch"), "30").expect("written");
    assert_eq!(Lease::acquire(data).expect("free").holding.epoch(), 31);
    fs::write(data.join("epoch"), "many").expect("written");
    let error = Lease::acquire(data).expect_err("no number").to_string();
    assert!(error.contains("epoch holds no number: \"many\""), "{error}");
}

#[test]
fn a_silent_holder_is_followed_after_the_expiry_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, holding) = stopped(folder.path(), 3);
    let (mut watcher, mut clock) = watch(folder.path());
    assert_eq!(watcher.holder(), " (process 17 on host-a)");
    for _ in 0..5 {
        assert!(watcher.look(clock.after(1_000)).expect("looked").is_none());
    }
    assert!(watcher.look(clock.after(999)).expect("looked").is_none(), "5.999 s");
    assert_eq!(fenced(&holding), None);
    let silent = watcher.seen.clone();
    let lease = watcher.look(clock.after(1)).expect("looked").expect("6 s");
    assert_eq!(fenced(&holding), Some(Fenced { epoch: 3, newest: 4 }));
    let late = take(folder.path(), Some(&silent)).expect("looked");
    assert!(late.is_none(), "whoever comes second looks once more, and finds another lease");
    // The old one's death lets nobody in: its lock is not the one that lies there.
    drop(old);
    assert!(matches!(Lease::acquire(folder.path()), Err(LeaseError::Held { .. })));
    assert_eq!(fenced(&lease.holding), None);
}

#[test]
fn who_never_renews_is_not_followed_as_long_as_it_has_the_lock() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    // As versions did before there were leases; the second time one was left by a version in between.
    for left in [None, Some(Ticket { epoch: 3, pid: 17, host: "host-a".to_owned(), counter: 9, ended: false })] {
        let lock = lock_in_place(data).expect("locked").expect("free");
        fs::write(data.join("epoch"), "4\n").expect("written");
        left.iter().for_each(|ticket| renew(data, ticket).expect("renewed"));
        let (mut watcher, mut clock) = watch(data);
        assert!((0..20).all(|_| watcher.look(clock.after(1_000)).expect("looked").is_none()));
        drop(lock);
        assert_eq!(watcher.look(clock.after(1_000)).expect("looked").expect("free").holding.epoch(), 5);
        fs::remove_file(data.join("lease.json")).expect("removed");
    }
}

#[test]
fn any_sign_of_life_and_a_sleep_of_its_own_begin_the_wait_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_old, _) = stopped(folder.path(), 3);
    let (mut watcher, mut clock) = watch(folder.path());
    let mut wait = |watcher: &mut Watcher, seconds: u64| {
        (0..seconds).find_map(|_| watcher.look(clock.after(1_000)).expect("looked"))
    };
    assert!(wait(&mut watcher, 5).is_none());
    renew(folder.path(), &Ticket { epoch: 3, pid: 17, host: "host-a".to_owned(), counter: 1, ended: false })
        .expect("renewed");
    assert!(wait(&mut watcher, 6).is_none(), "it was renewed: the next look sees it, and six seconds count from there");
    let lease = folder.path().join("lease.json");
    File::options().write(true).open(lease).expect("there").set_modified(SystemTime::UNIX_EPOCH).expect("touched");
    assert!(wait(&mut watcher, 6).is_none(), "touched is renewed: there may be no room for more");
    let mut late = Clock(watcher.looked);
    assert!(watcher.look(late.after(60_000)).expect("looked").is_none(), "it slept itself");
    assert!(watcher.look(late.after(1_999)).expect("looked").is_none());
    assert!(watcher.look(late.after(1_999)).expect("looked").is_none());
    assert!(watcher.look(late.after(1_999)).expect("looked").is_none());
    assert!(watcher.look(late.after(3)).expect("looked").is_some());
}

#[test]
fn of_many_that_want_to_follow_exactly_one_does() {
    for round in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let old = (round % 2 == 0).then(|| stopped(folder.path(), 3));
        let mut watchers: Vec<Watcher> = (0..8).map(|_| watch(folder.path()).0).collect();
        let over = Instant::now() + EXPIRY * 2;
        for watcher in &mut watchers {
            watcher.looked = over - Duration::from_secs(1);
        }
        let barrier = std::sync::Barrier::new(watchers.len());
        let leases: Vec<Lease> = thread::scope(|scope| {
            let looks: Vec<_> = watchers
                .iter_mut()
                .map(|watcher| {
                    scope.spawn(|| {
                        barrier.wait();
                        watcher.look(over).expect("looked")
                    })
                })
                .collect();
            looks.into_iter().filter_map(|look| look.join().expect("no panic")).collect()
        });
        assert_eq!(leases.len(), 1, "round {round}");
        assert_eq!(fenced(&leases[0].holding), None);
        drop(old);
    }
}

#[tokio::test]
async fn the_holder_renews_until_it_is_overtaken() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let lease = Lease::acquire(data).expect("free");
    let ticket = || sight(data).expect("read").ticket().expect("a ticket");
    until(|| ticket().counter > 1).await;
    fs::write(data.join("epoch"), "2").expect("overtaken");
    // The renewals are the only ones that look.
    until(|| lease.holding.confirm().is_err()).await;
    let last = sight(data).expect("read");
    assert!(!keep(data, &ticket(), &lease.holding), "a superseded holder ends its renewals");
    assert_eq!(sight(data).expect("read"), last);
}

#[test]
fn where_there_is_no_room_the_old_ticket_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let ticket = |counter| Ticket { epoch: 1, pid: 1, host: "host-a".to_owned(), counter, ended: false };
    renew(data, &ticket(0)).expect("renewed");
    let before = sight(data).expect("read");
    // In the way of the file aside, as good as a full disk.
    fs::create_dir(data.join(".lease-1.tmp")).expect("made");
    renew(data, &ticket(1)).expect("touched");
    let after = sight(data).expect("read");
    assert!(before.content == after.content && before != after, "{after:?}");
}

async fn until(holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("within 20 s");
}

#[test]
fn a_holder_that_lets_go_says_so_and_one_that_was_followed_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let ticket = || sight(data).expect("read").ticket().expect("a ticket");
    let lease = Lease::acquire(data).expect("free");
    assert!(!ticket().ended);
    drop(lease);
    assert_eq!((ticket().ended, ticket().epoch), (true, 1));
    let lease = Lease::acquire(data).expect("free again");
    assert_eq!((ticket().ended, ticket().epoch), (false, 2));
    // Somebody takes over.
    fs::write(data.join("epoch"), "3\n").expect("written");
    renew(data, &Ticket { epoch: 3, pid: 17, host: "host-a".to_owned(), counter: 0, ended: false }).expect("renewed");
    drop(lease);
    assert_eq!((ticket().ended, ticket().epoch), (false, 3));
}
