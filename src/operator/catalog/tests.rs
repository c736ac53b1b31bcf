//! The catalog, scan by scan.

use super::*;

fn none(_: &str) -> Option<Attachment> {
    None
}

const TARGET: &str = "apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: { name: local }
spec: { dagster: { url: 'http://127.0.0.1:3000/graphql', location: demo } }
";

fn scenario(name: &str, rate: &str) -> String {
    format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: {name} }}
spec:
  target: local
  load:
    - {{ name: base, for: 10s, arrivals: {{ constant: {{ rate: {rate} }} }}, jobs: {{ fast_job: 1 }} }}
"
    )
}

fn scan(files: &[(&str, &str)]) -> Vec<ScannedFile> {
    files
        .iter()
        .map(|(name, text)| ScannedFile { name: (*name).to_owned(), content: Ok(text.as_bytes().into()) })
        .collect()
}

fn seen(catalog: &Catalog, name: &str) -> (bool, Option<&'static str>, String) {
    match catalog.desired().get(&name.parse().expect("a name")) {
        Some(Desired::Present { wanted, rejection }) => (
            wanted.is_some(),
            rejection.as_ref().map(|rejection| rejection.reason),
            rejection.as_ref().map(|rejection| rejection.message.clone()).unwrap_or_default(),
        ),
        other => panic!("{name} is {other:?}"),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

#[test]
fn a_bad_edit_keeps_the_last_good_version_and_the_others_go_on() {
    let mut catalog = Catalog::default();
    let (a, b) = (scenario("a", "1/s"), scenario("b", "1/s"));
    assert!(catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]), &none, true, at(1)));
    assert!(
        !catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]), &none, true, at(2)),
        "nothing changed"
    );
    for broken in [scenario("a", "fast"), scenario("a", "1/s").replace("target", "targett"), "{ not yaml: [".to_owned()]
    {
        assert!(catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &broken), ("b.yaml", &b)]), &none, true, at(3)));
        let (wanted, reason, message) = seen(&catalog, "a");
        assert_eq!((wanted, reason), (true, Some("Invalid")), "{broken}");
        assert!(message.starts_with("a.yaml:"), "{message}");
        assert!(!catalog.report()[0].accepted);
        assert_eq!(catalog.is_complete(), !broken.contains("not yaml"), "a nameless document may be any scenario");
        if broken.contains("not yaml") {
            continue;
        }
        assert_eq!(seen(&catalog, "b"), (true, None, String::new()));
    }
    catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &scenario("a", "2/s")), ("b.yaml", &b)]), &none, true, at(4));
    assert_eq!(seen(&catalog, "a"), (true, None, String::new()));
}

#[test]
fn an_empty_folder_prunes_nothing_and_a_deleted_file_prunes_its_own() {
    let mut catalog = Catalog::default();
    let all = [("t.yaml", TARGET), ("a.yaml", &scenario("a", "1/s"))];
    assert!(catalog.update(vec![], &none, true, at(1)));
    assert!(!catalog.is_read());
    assert!(catalog.update(scan(&all), &none, true, at(1)));
    for (nothing, is_complete, lack) in [
        (scan(&[]), true, Lack::Empty),
        (scan(&[("t.yaml", "# nothing\n---\n"), ("a.yaml", "")]), true, Lack::Empty),
        (scan(&[]), false, Lack::Incomplete),
    ] {
        assert!(catalog.update(nothing.clone(), &none, is_complete, at(2)));
        assert_eq!((catalog.desired().len(), catalog.report().len(), catalog.lack()), (1, 2, Some(lack)));
        assert!(!catalog.update(nothing, &none, is_complete, at(2)), "it is said once");
        assert!(catalog.update(scan(&all), &none, true, at(3)), "what was said is over");
        assert_eq!((catalog.desired().len(), catalog.lack()), (1, None));
    }
    assert!(catalog.update(scan(&[("t.yaml", TARGET)]), &none, true, at(3)));
    assert_eq!((catalog.desired().len(), catalog.lack()), (0, None));
}

#[test]
fn an_empty_folder_prunes_everything_if_it_shall_and_if_it_is_there() {
    let all = [("t.yaml", TARGET), ("a.yaml", &scenario("a", "1/s"))];
    for nothing in [scan(&[]), scan(&[("a.yaml", "# nothing")])] {
        let mut catalog = Catalog::default().pruning_empty();
        assert!(catalog.update(scan(&[]), &none, false, at(1)));
        assert!(!catalog.is_read(), "a missing folder says nothing of what the journals hold");
        catalog.update(scan(&all), &none, true, at(1));
        catalog.update(nothing.clone(), &none, false, at(2));
        assert_eq!((catalog.desired().len(), catalog.is_complete()), (1, false));
        assert!(catalog.update(nothing, &none, true, at(3)));
        assert_eq!((catalog.desired().len(), catalog.is_complete(), catalog.lack()), (0, true, None));
    }
    let mut catalog = Catalog::default().pruning_empty();
    assert!(catalog.update(scan(&[]), &none, true, at(1)));
    assert!(catalog.is_read(), "empty from the start: what the journals hold is deleted");
    assert!(!catalog.update(scan(&[]), &none, true, at(2)));
}

#[test]
fn one_name_in_two_files_is_applied_from_neither() {
    let mut catalog = Catalog::default();
    let (one, two) = (scenario("a", "1/s"), scenario("a", "2/s"));
    catalog.update(scan(&[("t.yaml", TARGET), ("one.yaml", &one), ("two.yaml", &two)]), &none, true, at(1));
    let (wanted, reason, message) = seen(&catalog, "a");
    assert_eq!((wanted, reason), (false, Some("DuplicateName")));
    assert!(message.contains("one.yaml, two.yaml"), "{message}");
}

#[test]
fn a_missing_target_is_named() {
    let mut catalog = Catalog::default();
    catalog.update(scan(&[("a.yaml", &scenario("a", "1/s"))]), &none, true, at(1));
    let (wanted, reason, message) = seen(&catalog, "a");
    assert_eq!((wanted, reason), (false, Some("TargetNotFound")));
    assert!(message.contains("`local`"), "{message}");
}
