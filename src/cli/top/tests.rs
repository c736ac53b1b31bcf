use std::fs;

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};

use super::*;
use crate::{
    cli::top::{follow::parse_events, seen::EventLine},
    model::Timestamp,
};

const PLAIN: Look = Look { colored: false };

const RUNNING: &str = r#"
metadata: { name: nightly-burst-with-failures, labels: { suite: nightly } }
status:
  observedGeneration: 3f2a9c41d0b7-1
  phase: Running
  startedAt: "2026-11-24T12:00:01.000000Z"
  dagsterVersion: "1.13.27"
  conditions:
  - { type: Accepted, status: "True", reason: Valid, message: the manifest is valid }
  - { type: FaultsHealed, status: "False", reason: Healing, message: 1 faults may be in place }
  load: { planned: 120, due: 60, attempted: 58, acknowledged: 55, rejected: 1, indeterminate: 2, late: 3, dropped: 0 }
  runs: { queued: 4, running: 6, succeeded: 44, failed: 1, canceled: 0 }
  gauges: { queueDepth: 17, workers: 3 }
  faults:
  - { name: "kill#1", what: stop one of workers, state: Healed, intendedAt: "2026-11-24T12:00:11Z", recoveredAt: "2026-11-24T12:00:23Z" }
  - { name: "cut#1", what: cut workers from sqs (new connections), state: InPlace }
  - { name: "kill#2", what: stop one of workers, state: Pending }
  audit:
    verdict: FailedSoFar
    soFar: true
    counts: { duplicated: 1, stepsDuplicated: 2 }
    findings: ["3f2a9c41d0b7-1/7 has 2 runs: r1, r2", { message: "something of another form" }]
"#;

const PASSED: &str = r#"
status:
  observedGeneration: aa-1
  phase: Passed
  load: { planned: 20, attempted: 20, acknowledged: 20 }
  runs: { succeeded: 20 }
  audit:
    verdict: Passed
    message: 20 of 20 acknowledged runs completed exactly once (29 steps)
    counts: { duplicated: 0, stepsDuplicated: 0 }
  history:
  - { generation: aa-1, verdict: Passed, concludedAt: "2026-11-24T11:00:00Z", message: 20 of 20 }
"#;

const WAITING: &str = r#"
weather: sunny
status:
  phase: Waiting
  audit: { verdict: NothingWrongSoFar, soFar: true, counts: { duplicated: 0 } }
  conditions:
  - { type: Ready, status: "False", reason: DagsterUnreachable, message: "nothing answers at http://127.0.0.1:3000/graphql:\n  connection refused" }
"#;

const EVENTS: &str = r#"{"time":"2026-11-24T12:00:11.000000Z","scenario":"nightly-burst-with-failures","type":"Normal","reason":"FaultInjecting","message":"kill#1 on 0123","count":1}
{"time":"2026-11-24T12:00:12.000000Z","scenario":"nightly-burst-with-failures","type":"Normal","reason":"Launched","message":"arrival 17 is run r17","count":5}
{"time":"2026-11-24T12:00:13.000000Z","scenario":"nightly-burst-with-failures","type":"Warning","reason":"DuplicateSeen","message":"arrival 7 has 2 runs","count":1}
"#;

struct Data {
    folder: tempfile::TempDir,
    follower: Follower,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let follower = Follower::new(folder.path().join("data"));
        Self { folder, follower }
    }

    fn full() -> Self {
        let data = Self::new();
        data.write("status/nightly-burst-with-failures.yaml", RUNNING);
        data.write("status/steady.yaml", PASSED);
        data.write("status/waits.yaml", WAITING);
        data.write("status/.steady.yaml.tmp", "half");
        data.write("events.jsonl", EVENTS);
        data.write("lease.json", r#"{"epoch":1,"pid":4711,"host":"host-a","counter":9}"#);
        data
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join("data").join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        let aside = path.with_extension("tmp");
        fs::write(&aside, text).expect("written");
        fs::rename(aside, path).expect("renamed");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join("data").join(name)).expect("removed");
    }

    fn read(&mut self) -> Seen {
        self.follower.read("2026-11-24T12:01:31Z".parse::<Timestamp>().expect("an instant"))
    }

    /// What is missing is said by its path, which differs from test to test.
    fn waiting(&mut self) -> String {
        let root = self.folder.path().display().to_string();
        self.read().waiting.map(|waiting| waiting.replace(&root, "")).unwrap_or_default()
    }
}

fn frame(seen: &Seen, chosen: &mut Chosen, size: (u16, u16), look: Look) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("memory");
    terminal.draw(|frame| view::draw(frame, seen, Path::new("data"), chosen, look)).expect("memory");
    terminal.backend().buffer().clone()
}

#[test]
fn a_frame_has_what_its_width_has_room_for() {
    let seen = Data::full().read();
    for size in [(80, 24), (110, 30), (160, 50)] {
        let drawn = text(&frame(&seen, &mut Chosen::default(), size, PLAIN));
        insta::assert_snapshot!(format!("{}x{}", size.0, size.1), drawn);
    }
    insta::assert_snapshot!("plain", plain(&seen, Path::new("data"), 100));
}

#[test]
fn details_are_scrolled_and_help_lies_above() {
    let seen = Data::full().read();
    let mut open = Chosen { is_open: true, ..Chosen::default() };
    insta::assert_snapshot!("details", text(&frame(&seen, &mut open, (80, 40), PLAIN)));
    open.scrolled = 1000;
    let end = text(&frame(&seen, &mut open, (80, 12), PLAIN));
    assert!(end.contains("DuplicateSeen: arrival 7 has 2 runs") && open.scrolled < 100, "{} {end}", open.scrolled);
    let mut helped = Chosen { is_help: true, ..Chosen::default() };
    insta::assert_snapshot!("help", text(&frame(&seen, &mut helped, (80, 24), PLAIN)));
}

#[test]
fn no_size_is_too_small() {
    let seen = Data::full().read();
    for (width, height) in [(1, 1), (2, 3), (10, 2), (30, 5), (79, 8), (300, 3)] {
        for (is_open, is_help) in [(false, false), (true, false), (false, true)] {
            let mut chosen = Chosen { is_open, is_help, ..Chosen::default() };
            frame(&seen, &mut chosen, (width, height), PLAIN);
        }
    }
}

#[test]
fn colors_are_never_the_only_sign() {
    let seen = Data::full().read();
    let colored = frame(&seen, &mut Chosen::default(), (160, 50), Look { colored: true });
    let plain = frame(&seen, &mut Chosen::default(), (160, 50), PLAIN);
    assert_eq!(text(&colored), text(&plain));
    let colors = |buffer: &Buffer| buffer.content.iter().filter(|cell| cell.fg != Color::Reset).count();
    assert!(colors(&colored) > 20, "{}", colors(&colored));
    assert_eq!(colors(&plain), 0);
}

#[test]
fn a_folder_is_waited_for_and_followed() {
    let mut data = Data::new();
    assert_eq!(data.waiting(), "waiting for /data");
    data.write("lease.json", "{}");
    assert_eq!(data.waiting(), "waiting for /data/status");
    assert!(data.read().troubles[0].starts_with("lease.json: missing field `pid`"), "{:?}", data.read().troubles);
    data.remove("lease.json");
    data.write("status/.x.yaml.tmp", "");
    assert_eq!(data.waiting(), "waiting for the first scenario in /data/status");
    let names = |seen: &Seen| seen.scenarios.iter().map(|one| one.name().to_owned()).collect::<Vec<_>>();
    data.write("status/b.yaml", PASSED);
    data.write("status/a.yaml", PASSED);
    let seen = data.read();
    assert_eq!((names(&seen), seen.waiting, seen.troubles.len()), (vec!["a".to_owned(), "b".to_owned()], None, 0));
    // A new version is read; one that cannot be is said, and the last good one stays.
    data.write("status/a.yaml", WAITING);
    assert_eq!(data.read().scenarios[0].status.phase, "Waiting");
    data.write("status/a.yaml", "status: [");
    let seen = data.read();
    assert_eq!((seen.scenarios[0].status.phase.as_str(), seen.troubles.len()), ("Waiting", 1));
    data.write("status/a.yaml", PASSED);
    assert_eq!(data.read().troubles, Vec::<String>::new());
    data.remove("status/a.yaml");
    assert_eq!(names(&data.read()), ["b"]);
    fs::remove_dir_all(data.folder.path().join("data")).expect("removed");
    assert_eq!(data.waiting(), "waiting for /data");
    assert_eq!(names(&data.read()), Vec::<String>::new());
}

#[test]
fn an_event_that_is_half_written_comes_when_it_is_whole() {
    let half = &EVENTS[..EVENTS.len() - 40];
    assert_eq!((parse_events(EVENTS).len(), parse_events(half).len(), parse_events("").len()), (3, 2, 0));
    assert_eq!(parse_events("from another world\n{}\n").len(), 1);
    // Of a long file the end is read, from the begin of a line on.
    let mut data = Data::full();
    data.write("events.jsonl", &EVENTS.repeat(1000));
    let seen = data.read();
    assert!(seen.events.len() > 100 && seen.events.len() < 3000 && seen.troubles.is_empty(), "{}", seen.events.len());
    assert!(seen.events.iter().all(|event| event.time.starts_with("2026")));
}

#[test]
fn what_others_wrote_moves_no_cursor() {
    let mut data = Data::full();
    let evil = EVENTS.replace("kill#1 on 0123", "\\u001b[2J\\u001b]0;owned\\u0007\\nnext line");
    data.write("events.jsonl", &evil);
    let drawn = plain(&data.read(), Path::new("data"), 120);
    assert!(drawn.contains("owned") && drawn.contains("next line"), "{drawn}");
    assert!(drawn.chars().all(|letter| letter == '\n' || !letter.is_control()), "{drawn:?}");
}

#[test]
fn an_operator_that_fell_silent_is_said() {
    let mut seen = Data::full().read();
    let head = |seen: &Seen| plain(seen, Path::new("data"), 160).lines().next().expect("a line").to_owned();
    assert!(head(&seen).ends_with("· operator 4711 on host-a"), "{}", head(&seen));
    seen.operator.as_mut().expect("one").silent_s = 75;
    assert!(head(&seen).ends_with("· ! no operator for 1m15s"), "{}", head(&seen));
}

const HALTED: &str = r#"
status:
  phase: Passed
  next: { at: "2026-11-24T13:01:31Z" }
  audit: { verdict: Passed, counts: { duplicated: 0 } }
  faults:
  - { name: "kill#1", state: Healed }
  - { name: "kill#2", state: Healed }
  conditions:
  - { type: Ready, status: "False", reason: Halted, message: "everything is halted: incident 42 (by ann@laptop, since 2026-11-24T12:00:00Z)" }
"#;

#[test]
fn a_halt_a_next_turn_and_what_is_deleted_are_shown() {
    let mut data = Data::new();
    data.write("status/nightly.yaml", HALTED);
    data.write("status/chained.yaml", &PASSED.replace("phase: Passed", "phase: Passed\n  next: { after: [nightly] }"));
    data.write("status/old.yaml", &PASSED.replace("phase: Passed", "phase: Passed\n  deleted: true"));
    data.write("lease.json", r#"{"epoch":1,"pid":4711,"host":"host-a","counter":9,"ended":true}"#);
    insta::assert_snapshot!(
        "halted",
        plain(&data.read(), Path::new("data"), 120).replace(" ended 1s ago", " ended 0s ago")
    );
}

#[test]
fn launches_are_folded_until_something_else_happens() {
    let line = |scenario: &str, reason: &str, message: &str, count: u64| EventLine {
        scenario: scenario.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        count,
        ..EventLine::default()
    };
    let mut folded = vec![];
    let events = [
        line("a", "Launched", "1", 2),
        line("b", "Launched", "2", 1),
        line("a", "Launched", "3", 3),
        line("a", "FaultInjecting", "4", 1),
        line("a", "Launched", "5", 1),
        line("b", "Launched", "6", 0),
        line("", "Halted", "7", 1),
        line("b", "Launched", "8", 1),
    ];
    seen::fold(&mut folded, events);
    let shown: Vec<String> =
        folded.iter().map(|one| format!("{} {} {}×{}", one.scenario, one.reason, one.message, one.count)).collect();
    let expected = ["a Launched 3×5", "a FaultInjecting 4×1", "a Launched 5×1", " Halted 7×1", "b Launched 8×3"];
    assert_eq!(shown, expected);
}

#[test]
fn events_are_read_on_from_where_they_were_read() {
    let mut data = Data::full();
    let path = data.folder.path().join("data/events.jsonl");
    assert_eq!(data.read().events.len(), 3);
    let more = EVENTS.replace("12:00:1", "12:10:1");
    let (first, second) = more.split_at(100);
    for (part, count) in [(first, 3), (second, 6)] {
        use std::io::Write;
        fs::OpenOptions::new().append(true).open(&path).expect("opened").write_all(part.as_bytes()).expect("written");
        assert_eq!(data.read().events.len(), count);
    }
    // Another file in its place begins anew.
    data.write("events.jsonl", EVENTS);
    assert_eq!(data.read().events.len(), 3);
    data.remove("events.jsonl");
    assert_eq!(data.read().events.len(), 0);
}

#[test]
fn one_frame_says_by_its_exit_code_what_it_sees() {
    let failed = PASSED.replace("verdict: Passed", "verdict: Failed");
    let unknown = PASSED.replace("verdict: Passed", "verdict: Unknown");
    let deleted = failed.replace("phase: Passed", "phase: Failed\n  deleted: true");
    let suspended = WAITING.replace("DagsterUnreachable", "Suspended");
    for (what, statuses, expected) in [
        ("nothing", &[][..], Exit::Unknown),
        ("passed", &[PASSED], Exit::Passed),
        ("suspended", &[PASSED, &suspended], Exit::Passed),
        ("failed so far", &[PASSED, RUNNING, WAITING], Exit::Failed),
        ("failed", &[&failed, &unknown], Exit::Failed),
        ("a deleted one", &[PASSED, &deleted], Exit::Passed),
        ("kept from going on", &[&unknown, WAITING], Exit::Environment),
        ("halted", &[HALTED], Exit::Environment),
        ("unknown", &[PASSED, &unknown], Exit::Unknown),
    ] {
        let mut data = Data::new();
        for (number, status) in statuses.iter().enumerate() {
            data.write(&format!("status/s{number}.yaml"), status);
        }
        assert_eq!(verdict(&data.read()), expected, "{what}");
    }
    let mut seen = Data::full().read();
    seen.keep(|name| name == "steady");
    assert_eq!(verdict(&seen), Exit::Passed);
    seen.operator.as_mut().expect("one").silent_s = 75;
    assert_eq!(verdict(&seen), Exit::Environment, "nobody is there any more");
    seen.operator.as_mut().expect("one").ended = true;
    assert_eq!(verdict(&seen), Exit::Passed, "it has ended by itself");
}

#[test]
fn a_slash_filters_by_name() {
    let seen = Data::full().read();
    let mut chosen = Chosen::default();
    let press = |chosen: &mut Chosen, code| chosen.press(KeyEvent::new(code, KeyModifiers::NONE), &seen);
    for code in [KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace, KeyCode::Char('s'), KeyCode::Char('t')] {
        assert_eq!(press(&mut chosen, code), Action::GoOn);
    }
    assert_eq!((chosen.filter.as_str(), chosen.is_typing), ("st", true));
    let drawn = text(&frame(&seen, &mut chosen, (80, 24), PLAIN));
    assert!(drawn.contains("/st▏"), "{drawn}");
    press(&mut chosen, KeyCode::Enter);
    assert_eq!((chosen.filter.as_str(), chosen.is_typing), ("st", false));
    press(&mut chosen, KeyCode::Char('?'));
    press(&mut chosen, KeyCode::Esc);
    assert_eq!((chosen.filter.as_str(), chosen.is_help), ("st", false), "the help goes first");
    press(&mut chosen, KeyCode::Esc);
    assert_eq!(chosen.filter, "");
    assert_eq!(press(&mut chosen, KeyCode::Char('q')), Action::End);
}

#[test]
fn keys_do_what_the_help_says() {
    let seen = Data::full().read();
    let mut chosen = Chosen::default();
    let press = |chosen: &mut Chosen, code| chosen.press(KeyEvent::new(code, KeyModifiers::NONE), &seen);
    let rows: Vec<usize> = [
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Char('j'),
        KeyCode::Char('j'),
        KeyCode::Char('k'),
        KeyCode::Home,
        KeyCode::Char('G'),
        KeyCode::PageUp,
    ]
    .map(|code| {
        press(&mut chosen, code);
        chosen.row
    })
    .to_vec();
    assert_eq!(rows, [0, 1, 2, 2, 1, 0, 2, 0]);
    press(&mut chosen, KeyCode::Enter);
    press(&mut chosen, KeyCode::Down);
    assert_eq!((chosen.is_open, chosen.row, chosen.scrolled), (true, 0, 1));
    press(&mut chosen, KeyCode::Char('?'));
    press(&mut chosen, KeyCode::Esc);
    assert_eq!((chosen.is_help, chosen.is_open), (false, true), "the help goes first");
    press(&mut chosen, KeyCode::Esc);
    assert!(!chosen.is_open);
    assert_eq!(press(&mut chosen, KeyCode::Char('x')), Action::GoOn);
    assert_eq!(press(&mut chosen, KeyCode::Char('q')), Action::End);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(chosen.press(control_c, &seen), Action::End);
    // The chosen one goes away.
    chosen.row = 2;
    chosen.is_open = true;
    chosen.keep_within(&Seen::at(Timestamp::from_micros(0)));
    assert_eq!((chosen.row, chosen.is_open), (0, false));
}
