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

fn name(text: &str) -> ScenarioName {
    text.parse().expect("a name")
}

fn told(catalog: &mut Catalog) -> Vec<String> {
    let about = |event: &PersonEvent| event.scenario.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    catalog.take_events().iter().map(|event| format!("{}{} {}", about(event), event.reason, event.message)).collect()
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
        assert_eq!((catalog.desired().len(), catalog.may_hold(&name("a"))), (1, true));
        assert!(catalog.update(nothing, &none, true, at(3)));
        assert_eq!((catalog.desired().len(), catalog.may_hold(&name("a")), catalog.lack()), (0, false, None));
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

#[test]
fn another_tools_file_holds_nothing_back_and_is_no_error() {
    let (a, b) = (scenario("a", "1/s"), scenario("b", "1/s"));
    for (file, text) in [
        ("kustomization.yaml", "resources: [ a.yaml ]\n"),
        (
            "kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [ a.yaml ]\n",
        ),
        ("tsconfig.json", "{ // a comment\n \"compilerOptions\": {} }"),
        ("package.json", "{ \"name\": \"a\" }"),
        ("ci.yaml", ".base: &base { image: x }\njob: { <<: *base }\n"),
        ("templates/a.yaml", "{{- if .Values.on }}\nkind: Deployment\n{{- end }}\n"),
        ("values.yaml", "- one\n- two\n"),
        ("notes.yaml", "only words\n"),
    ] {
        let mut catalog = Catalog::default();
        catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b), (file, text)]), &none, true, at(1));
        assert!(told(&mut catalog).iter().all(|event| event.contains("ManifestAdded")), "{file}");
        let report = catalog.report().into_iter().find(|report| report.file == file).expect("it is named");
        assert!(report.accepted && report.errors.is_empty() && report.documents.is_empty(), "{report:?}");
        assert_eq!(report.ignored.len(), 1, "{report:?}");
        catalog.update(scan(&[("t.yaml", TARGET), ("b.yaml", &b), (file, text)]), &none, true, at(2));
        assert_eq!((catalog.desired().len(), catalog.may_hold(&name("a"))), (1, false), "{file}");
        assert_eq!(seen(&catalog, "b"), (true, None, String::new()), "{file}");
        // Such a file alone is a folder without a manifest: nothing is pruned.
        catalog.update(scan(&[(file, text)]), &none, true, at(3));
        assert_eq!((catalog.desired().len(), catalog.lack()), (1, Some(Lack::Empty)), "{file}");
    }
}

#[test]
fn a_broken_file_keeps_what_it_held_and_nothing_else() {
    let mut catalog = Catalog::default();
    let (a, b) = (scenario("a", "1/s"), scenario("b", "1/s"));
    catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)]), &none, true, at(1));
    for (second, broken) in [
        (2, "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: a\n"),
        (3, "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: A_B }\n"),
        (4, "metadata: { name: a }\nspec: {}\n"),
        (5, "{ not yaml: ["),
    ] {
        let scan = scan(&[("t.yaml", TARGET), ("a.yaml", broken)]);
        catalog.update(scan, &none, true, at(second));
        let (is_wanted, reason, message) = seen(&catalog, "a");
        assert_eq!((is_wanted, reason, catalog.may_hold(&name("a"))), (true, Some("Invalid"), true), "{broken}");
        assert!(message.starts_with("a.yaml:"), "{message}");
        assert!(!catalog.may_hold(&name("b")) && catalog.desired().len() == 1, "{broken}");
        // Also after a restart, which begins with the file broken.
        let mut next = Catalog::default().remembering(catalog.memory().clone());
        next.update(self::scan(&[("t.yaml", TARGET), ("a.yaml", broken)]), &none, true, at(second));
        assert_eq!((next.may_hold(&name("a")), next.may_hold(&name("b"))), (true, false), "{broken}");
    }
}

#[test]
fn a_target_stays_while_its_file_cannot_be_read() {
    let mut catalog = Catalog::default();
    let a = scenario("a", "1/s");
    catalog.update(scan(&[("t.yaml", TARGET), ("a.yaml", &a)]), &none, true, at(1));
    catalog.update(
        scan(&[("t.yaml", "kind: Target\napiVersion: dagstorm.dev/v1alpha1\nspec: ["), ("a.yaml", &a)]),
        &none,
        true,
        at(2),
    );
    assert_eq!((seen(&catalog, "a").1, catalog.targets().count()), (None, 1));
    catalog.update(scan(&[("a.yaml", &a)]), &none, true, at(3));
    assert_eq!((seen(&catalog, "a").1, catalog.targets().count()), (Some("TargetNotFound"), 0));
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table is long")]
fn what_a_commit_did_is_told() {
    let mut catalog = Catalog::default();
    let (a, b) = (scenario("a", "1/s"), scenario("b", "1/s"));
    let edited = scenario("a", "2/s");
    let suspended = edited.replace("spec:\n", "spec:\n  suspend: true\n");
    let broken = edited.replace("rate: 2/s", "rate: fast");
    let renamed = edited.replace("name: a }", "name: c }");
    for (second, files, expected) in [
        (
            1,
            vec![("t.yaml", TARGET), ("a.yaml", &a), ("b.yaml", &b)],
            vec!["a: ManifestAdded in a.yaml", "b: ManifestAdded in b.yaml"],
        ),
        (2, vec![("t.yaml", TARGET), ("a.yaml", &edited), ("b.yaml", &b)], vec!["a: ManifestEdited in a.yaml"]),
        (3, vec![("t.yaml", TARGET), ("a.yaml", &broken), ("b.yaml", &b)], vec!["a: ManifestRejected a.yaml:7:61: "]),
        (
            4,
            vec![("t.yaml", TARGET), ("a.yaml", &edited), ("b.yaml", &b)],
            vec!["a: ManifestAccepted the manifest is good again"],
        ),
        (
            5,
            vec![("t.yaml", TARGET), ("c.yaml", &edited), ("b.yaml", &b)],
            vec!["a: ManifestMoved from a.yaml to c.yaml"],
        ),
        (
            6,
            vec![("t.yaml", TARGET), ("c.yaml", &suspended), ("b.yaml", &b)],
            vec!["a: Suspended its manifest c.yaml says `suspend: true`"],
        ),
        (
            7,
            vec![("t.yaml", TARGET), ("c.yaml", &edited), ("b.yaml", &b)],
            vec!["a: Resumed its manifest c.yaml says `suspend: false`"],
        ),
        (
            8,
            vec![("t.yaml", TARGET), ("c.yaml", &renamed), ("b.yaml", &b)],
            vec!["c: ManifestAdded in c.yaml; but for its name it is `a`, which is gone"],
        ),
        (
            9,
            vec![("t.yaml", "kind: Target\napiVersion: dagstorm.dev/v1alpha1\n"), ("c.yaml", &renamed), ("b.yaml", &b)],
            vec!["ManifestRejected t.yaml:1:1: "],
        ),
        (
            10,
            vec![("t.yaml", TARGET), ("c.yaml", &renamed), ("b.yaml", &b)],
            vec!["ManifestAccepted t.yaml is good again"],
        ),
        (11, vec![("t.yaml", TARGET), ("c.yaml", &renamed)], vec![]),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (*file, &**text)).collect();
        catalog.update(scan(&files), &none, true, at(second));
        let told = told(&mut catalog);
        assert_eq!(told.len(), expected.len(), "{second}: {told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{second}: {told}");
        }
        assert!(
            !catalog.update(scan(&files), &none, true, at(second)) && catalog.take_events().is_empty(),
            "said once"
        );
    }
    catalog.delete(&[name("b"), name("a")], at(12));
    assert_eq!(
        told(&mut catalog),
        ["b: ManifestDeleted b.yaml is gone", "a: ManifestDeleted c.yaml does not hold it any more"]
    );
    // A restart tells nothing that was told.
    let mut next = Catalog::default().remembering(catalog.memory().clone());
    next.update(scan(&[("t.yaml", TARGET), ("c.yaml", &renamed)]), &none, true, at(13));
    assert_eq!(told(&mut next), Vec::<String>::new());
    next.update(scan(&[("t.yaml", TARGET), ("c.yaml", &renamed), ("b.yaml", &b)]), &none, true, at(14));
    assert_eq!(told(&mut next), ["b: ManifestAdded in b.yaml"]);
}
