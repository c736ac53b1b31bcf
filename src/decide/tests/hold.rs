//! Faults that lie in an object until they are taken back.

use indexmap::IndexMap;

use super::*;
use crate::model::{
    Effect, FaultId, NetworkInterface, NetworkView, Object, ObjectsView, PolicyView, Protocol, RulePeer, SecurityGroup,
    SecurityGroupRule, mark::FAULT_TAG,
};

const WHERE: &str = r#"{"name":"local","dagster":{"url":"http://x/graphql","location":"demo","repository":"r",
    "requestTimeout":"5s","settle":"15s"},"ecs":{"cluster":"demo","services":{"workers":"taskiq-worker"}},
    "queue":{"name":"tasks"},
    "network":{"workersGroup":"sg-workers","peers":{"sqs":{"place":{"cidr":"10.0.2.10/32"},"port":443}}}}"#;

fn held(fault: &str) -> Case {
    let scenario = read(&format!(
        "apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: a }}
spec:
  target: local
  load:
    - {{ name: base, for: 60s, arrivals: {{ constant: {{ rate: 6/min }} }}, jobs: {{ fast_job: 1 }} }}
  faults:
    - {{ name: f, after: 5s, for: 10s, {fault} }}
  expect: {{ quiet: 20s }}
"
    ));
    let generation = GenerationId { digest: scenario.digest(), repeat: 1 };
    let plan = plan::compile(&scenario, &generation);
    let mut case = Case::on(scenario, generation, plan, WHERE);
    case.event(0.0, Event::Started { at: at(0.0), dagster_version: "1".to_owned() });
    case.acknowledged(0).dagster(4.9, &[]);
    case.event(4.9, Event::Counted { runs: RunCounts::default() });
    case
}

impl Case {
    /// How many faults cannot be taken back, as looks show.
    fn stalled(&self, second: f64) -> usize {
        stalled(&self.plan, self.state.current.as_ref().unwrap(), &self.observation, at(second)).len()
    }

    fn queue(&mut self, second: f64, denied: bool, marked: bool) -> &mut Self {
        let tags = if marked { self.mark() } else { IndexMap::new() };
        let view = PolicyView { url: "http://q/tasks".to_owned(), denied, tags, ..PolicyView::default() };
        let seen = Timed { asked_at: at(second), answer: Seen::Fresh(view) };
        self.observation.policies.insert("tasks".to_owned(), seen);
        self
    }

    fn mark(&self) -> IndexMap<String, String> {
        [(FAULT_TAG.to_owned(), format!("a/{}/f.1", self.plan.generation))].into_iter().collect()
    }

    fn network(&mut self, second: f64, rules: &[SecurityGroupRule], marked: bool) -> &mut Self {
        let interface = NetworkInterface {
            id: "eni-1".to_owned(),
            description: String::new(),
            status: String::new(),
            interface_type: String::new(),
            requester_managed: true,
            subnet: "subnet-1".to_owned(),
            vpc: None,
            groups: vec!["sg-workers".to_owned()],
            inside: vec!["10.0.1.5/32".parse().unwrap()],
            outside: vec![],
            tags: IndexMap::new(),
        };
        let workers = SecurityGroup {
            id: "sg-workers".to_owned(),
            name: "workers".to_owned(),
            description: String::new(),
            owner: "0".to_owned(),
            vpc: None,
            tags: if marked { self.mark() } else { IndexMap::new() },
        };
        let view = NetworkView {
            workers,
            rules: rules.to_vec(),
            peer: RulePeer::Ipv4("10.0.2.10/32".parse().unwrap()),
            own: None,
            carriers: [("sg-workers".to_owned(), vec![interface])].into(),
            tasks: ["eni-1".to_owned()].into(),
            around: None,
        };
        let named = ObjectsView { groups: vec![view.workers.clone()], rules: rules.to_vec(), ..ObjectsView::default() };
        let seen = Timed { asked_at: at(second), answer: Seen::Fresh(named) };
        self.observation.objects.insert(vec![Object::SecurityGroup("sg-workers".to_owned())], seen);
        let seen = Timed { asked_at: at(second), answer: Seen::Fresh(view) };
        self.observation.networks.insert(("sqs".to_owned(), false), seen);
        self
    }

    /// Takes the intents of a decision in, as the reconciler does, and returns the effects that it sends.
    fn follow(&mut self, second: f64) -> Vec<Effect> {
        let current = self.state.current.as_ref().unwrap();
        let decision = decide(&self.plan, current, &self.observation, at(second));
        let of_faults = |event: &Event| !matches!(event, Event::SubmitIntended { .. } | Event::Counted { .. });
        for event in decision.notes.into_iter().chain(decision.intents).filter(of_faults) {
            self.event(second, event);
        }
        let acts = decision.acts.into_iter().filter(|act| !matches!(act.purpose, Purpose::Submit { .. }));
        acts.map(|act| act.effect).collect()
    }

    fn injected(&mut self, second: f64, effect: u32, outcome: Outcome) -> &mut Self {
        self.event(second, Event::InjectTried { fault: id(), effect, outcome })
    }

    fn healed(&mut self, second: f64, effect: u32, outcome: Outcome) -> &mut Self {
        self.event(second, Event::HealTried { fault: id(), effect, outcome })
    }

    fn fault(&self) -> &crate::journal::FaultState {
        &self.state.current.as_ref().unwrap().faults[&id()]
    }
}

/// The mark was set and seen, and the denial is sent.
fn denying() -> Case {
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    case.follow(5.0);
    case.injected(5.1, 0, done()).queue(5.15, false, true);
    case.follow(5.2);
    case
}

fn id() -> FaultId {
    "f#1".parse().unwrap()
}

fn done() -> Outcome {
    Outcome::Done(Receipt::Changed)
}

fn unknown() -> Outcome {
    Outcome::Unknown { reason: "timed out".to_owned() }
}

fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| {
        let json = serde_json::to_value(effect).unwrap();
        json.as_object().unwrap().keys().next().unwrap().clone()
    };
    effects.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn it_is_injected_in_order_taken_back_in_order_and_proved() {
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    assert_eq!(words(&case.follow(5.0)), "mark", "the mark comes first, and alone");
    assert_eq!(words(&case.follow(5.1)), "", "it is not answered yet");
    case.injected(5.2, 0, done());
    assert_eq!(words(&case.follow(5.2)), "", "nothing is changed before the mark is seen on the object");
    case.queue(5.25, false, true);
    assert_eq!(words(&case.follow(5.3)), "denyQueue");
    case.injected(5.4, 1, done()).queue(6.0, true, true);
    assert_eq!(words(&case.follow(6.1)), "");
    assert_eq!(case.fault().seen_at, Some(at(6.0)));
    assert_eq!(words(&case.follow(14.9)), "", "its time is not over");
    case.queue(14.9, true, true);
    case.follow(15.0);
    assert_eq!(case.fault().heal.as_ref().unwrap().reason, "its time is over");
    assert_eq!(words(&case.follow(15.0)), "allowQueue");
    case.healed(15.1, 0, done());
    case.queue(75.2, false, true);
    assert_eq!(words(&case.follow(75.2)), "", "what was sent last may still come about: the mark tells of it");
    assert_eq!(words(&case.follow(75.3)), "", "a look has to show that nothing but the mark is left");
    case.queue(75.3, false, true);
    assert_eq!(words(&case.follow(75.3)), "unmark", "a policy takes a minute to be in force");
    case.healed(75.4, 1, done()).queue(75.3, false, false);
    case.follow(75.5);
    assert_eq!(case.fault().steady_at, None, "that look was asked before it was taken back");
    case.queue(75.4, false, false);
    case.follow(75.5);
    assert_eq!(case.fault().steady_at, Some(at(75.4)));
    assert_eq!(case.fault().stage, FaultStage::Healed(at(75.4)));
}

#[test]
fn who_stood_still_looks_again_before_anything_is_sent() {
    let mut case = denying();
    case.injected(5.3, 1, done()).queue(6.0, true, true);
    case.follow(6.1);
    case.queue(15.0, true, true);
    case.follow(15.0);
    // Its way back is due at once, and the process goes on a minute later.
    assert_eq!(words(&case.follow(75.1)), "", "somebody else may have changed it meanwhile");
    case.queue(75.1, true, true);
    assert_eq!(words(&case.follow(75.2)), "allowQueue");
}

#[test]
fn after_a_standstill_a_change_waits_for_a_later_look() {
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    case.follow(5.0);
    case.injected(5.1, 0, done()).queue(5.2, false, true);
    case.observation.awoke_at = Some(at(5.3));
    assert_eq!(words(&case.follow(5.4)), "", "it is not injected");
    case.queue(5.4, false, true);
    assert_eq!(words(&case.follow(5.5)), "denyQueue");
    case.injected(5.6, 1, done()).queue(15.0, true, true);
    case.follow(15.0);
    case.observation.awoke_at = Some(at(15.1));
    assert_eq!(words(&case.follow(15.2)), "", "nor taken back");
    case.queue(15.2, true, true);
    assert_eq!(words(&case.follow(15.3)), "allowQueue");
}

#[test]
fn a_mark_that_does_not_show_or_is_another_ones_is_no_licence() {
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    case.follow(5.0);
    case.injected(5.1, 0, done()).queue(14.0, false, false);
    assert_eq!(words(&case.follow(14.9)), "", "somebody took it away, or it does not show");
    case.state.current.as_mut().unwrap().faults.get_mut(&id()).unwrap().intended_at = at(19.0);
    case.queue(20.0, false, false);
    case.follow(20.1);
    assert_eq!(case.fault().heal.as_ref().unwrap().reason, "its mark is not on the object");
    assert_eq!(words(&case.follow(20.1)), "allowQueue");
    // Another fault's mark is there by now: it is none of ours to take away.
    case.healed(20.2, 0, done());
    case.queue(90.0, false, false);
    assert_eq!(words(&case.follow(90.1)), "");
    assert_eq!(case.fault().heal.as_ref().unwrap().undone_at(), Some(at(90.1)));
    case.queue(91.0, false, false);
    case.follow(91.1);
    assert_eq!(case.fault().stage, FaultStage::Healed(at(91.0)));
}

#[test]
fn what_is_gone_needs_no_way_back() {
    let mut case = denying();
    case.injected(5.3, 1, done()).queue(6.0, true, true);
    case.follow(6.1);
    let why = Why { kind: WhyKind::NotFound, message: "NonExistentQueue".to_owned() };
    let gone = |second: f64| Timed { asked_at: at(second), answer: Seen::Unavailable(why.clone()) };
    case.observation.policies.insert("tasks".to_owned(), gone(20.0));
    case.follow(20.1);
    assert_eq!(words(&case.follow(20.1)), "", "there is nothing that could be asked");
    assert_eq!(case.fault().stage, FaultStage::Open, "it may be a look that was mistaken");
    case.observation.policies.insert("tasks".to_owned(), gone(76.0));
    case.follow(76.1);
    assert_eq!(case.fault().stage, FaultStage::Healed(at(76.0)));
}

#[test]
fn what_is_not_known_is_sent_again_and_what_is_refused_is_taken_back() {
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    case.follow(5.0);
    case.injected(5.1, 0, unknown());
    assert_eq!(words(&case.follow(5.2)), "", "a moment later");
    case.queue(6.0, false, false);
    assert_eq!(words(&case.follow(7.2)), "mark");
    case.injected(7.3, 0, done()).queue(7.35, false, true);
    assert_eq!(words(&case.follow(7.4)), "denyQueue");
    let refused = Outcome::Refused { reason: "AccessDenied".to_owned(), retry: false };
    case.injected(7.5, 1, refused.clone()).queue(7.6, false, true);
    case.follow(7.6);
    assert_eq!(case.fault().heal.as_ref().unwrap().reason, "it could not be injected: AccessDenied");
    assert_eq!(words(&case.follow(7.7)), "allowQueue", "it is taken back whatever was done of it");
    // A way back that is refused is tried for ever, less and less often.
    case.healed(7.8, 0, refused);
    assert_eq!(words(&case.follow(9.7)), "");
    case.queue(9.0, false, true);
    assert_eq!(words(&case.follow(9.8)), "allowQueue");
}

#[test]
fn what_is_in_the_way_of_the_way_back_is_taken_back_again() {
    let narrow = rule((443, 443), "10.0.2.10/32", "to the queues");
    let wide = rule((400, 500), "10.0.2.10/32", "wide");
    let rules = [narrow, wide];
    let mut case = held("partition: { between: workers, and: sqs }");
    case.network(4.9, &rules, false);
    case.follow(5.0);
    case.injected(5.0, 0, done());
    case.follow(5.0);
    case.injected(5.1, 1, done()).network(15.0, &rules, true);
    case.follow(15.0);
    assert_eq!(words(&case.follow(15.0)), "authorizeRules");
    case.healed(15.1, 0, done());
    let busy = || Outcome::Refused { reason: "DependencyViolation".to_owned(), retry: true };
    for (second, seen) in [(15.1, 15.0), (17.2, 17.2), (21.3, 21.3)] {
        case.network(seen, &rules, true);
        assert_eq!(words(&case.follow(second)), "revokeRules", "{second}");
        case.healed(second + 0.1, 1, busy());
    }
    case.network(30.0, &rules, true);
    case.follow(30.1);
    assert_eq!(words(&case.follow(30.1)), "authorizeRules", "from the first on");
}

#[test]
fn a_crash_changes_nothing() {
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    case.follow(5.0);
    // The answer is lost with the process.
    assert_eq!(words(&case.follow(19.9)), "", "its time is over: nothing is injected any more");
    case.queue(20.0, false, true);
    assert_eq!(words(&case.follow(20.1)), "allowQueue");
    let mut case = denying();
    case.injected(5.3, 1, done()).queue(15.0, true, true);
    case.follow(15.0);
    case.follow(15.0);
    case.queue(20.0, true, true);
    assert_eq!(words(&case.follow(29.9)), "", "the call may be in flight");
    assert_eq!(words(&case.follow(30.0)), "", "it is not any more, and what others do meanwhile was not looked at");
    case.queue(29.5, true, true);
    assert_eq!(words(&case.follow(30.0)), "allowQueue");
}

#[test]
fn a_stop_and_an_end_of_the_process_take_back_at_once() {
    for leaving in [false, true] {
        let mut case = denying();
        if leaving {
            case.observation.leaving = Some(at(0.0));
        } else {
            case.event(5.3, Event::StopRequested { reason: "edited".to_owned(), terminate: false });
        }
        case.queue(5.3, true, true);
        case.follow(5.4);
        let reason = if leaving { "dagstorm ends" } else { "edited" };
        assert_eq!(case.fault().heal.as_ref().unwrap().reason, reason);
        // The call that is in flight may land after the way back: it is looked at once more, and taken back again.
        assert_eq!(words(&case.follow(5.5)), "allowQueue");
        case.healed(5.6, 0, done());
        assert_eq!(words(&case.follow(5.6)), "", "the mark stays until then");
        case.queue(8.0, true, true);
        assert!(!case.fault().heal.as_ref().unwrap().reason.contains("again"));
        case.follow(8.1);
        assert_eq!(case.fault().heal.as_ref().unwrap().reason, "what was taken back is there again");
        assert_eq!(words(&case.follow(8.1)), "allowQueue");
    }
}

#[test]
fn a_process_that_ends_does_not_wait_long_for_what_was_refused() {
    let mut case = denying();
    case.injected(5.3, 1, done()).queue(15.0, true, true);
    case.follow(15.0);
    let refused = || Outcome::Refused { reason: "throttled".to_owned(), retry: true };
    for second in [15.1, 17.3, 21.5, 29.7] {
        case.queue(second, true, true);
        assert_eq!(words(&case.follow(second)), "allowQueue", "{second}");
        case.healed(second + 0.1, 0, refused());
    }
    case.queue(33.0, true, true);
    assert_eq!(words(&case.follow(33.0)), "", "it waits for 16 s");
    case.observation.leaving = Some(at(33.0));
    assert_eq!(words(&case.follow(33.0)), "allowQueue");
    case.healed(33.1, 0, refused()).queue(35.0, true, true);
    assert_eq!(words(&case.follow(35.0)), "", "a moment later");
    assert_eq!(words(&case.follow(35.2)), "allowQueue");
}

#[test]
fn what_somebody_else_took_back_is_healed() {
    let mut case = denying();
    case.injected(5.3, 1, done()).queue(6.0, true, true);
    case.follow(6.1);
    case.queue(9.0, false, false);
    case.follow(9.1);
    assert_eq!(case.fault().heal, None, "a change may not show yet");
}

fn rule(ports: (i32, i32), peer: &str, description: &str) -> SecurityGroupRule {
    SecurityGroupRule {
        group: "sg-workers".to_owned(),
        egress: true,
        protocol: Protocol::Tcp,
        from_port: Some(ports.0),
        to_port: Some(ports.1),
        peer: RulePeer::Ipv4(peer.parse().unwrap()),
        description: Some(description.to_owned()),
        tags: IndexMap::new(),
        rule_id: None,
    }
}

#[test]
fn what_never_came_about_needs_no_way_back() {
    let refused = || Outcome::Refused { reason: "UnauthorizedOperation".to_owned(), retry: false };
    let rules = [rule((400, 500), "10.0.2.10/32", "wide")];
    let mut case = held("partition: { between: workers, and: sqs }");
    case.network(4.9, &rules, false);
    assert_eq!(words(&case.follow(5.0)), "rehearseRules");
    case.injected(5.1, 0, refused());
    assert_eq!(words(&case.follow(5.2)), "");
    assert_eq!(words(&case.follow(5.3)), "", "nothing is sent, which could be refused as well");
    assert_eq!(case.fault().stage, FaultStage::Healed(at(4.9)));
    // A mark that may have been set after all is taken back, whatever was answered to the last try.
    let mut case = held("denyQueue: {}");
    case.queue(4.9, false, false);
    assert_eq!(words(&case.follow(5.0)), "mark");
    case.injected(5.1, 0, Outcome::Unknown { reason: "timed out".to_owned() }).queue(7.1, false, false);
    assert_eq!(words(&case.follow(7.2)), "mark");
    case.injected(7.3, 0, refused()).queue(7.3, false, false);
    case.follow(7.3);
    assert_eq!(words(&case.follow(7.3)), "allowQueue");
    assert_eq!(case.fault().stage, FaultStage::Open);
}

#[test]
fn a_rule_that_somebody_else_changed_is_never_overwritten() {
    let narrow = rule((443, 443), "10.0.2.10/32", "to the queues");
    let wide = rule((400, 500), "10.0.2.10/32", "wide");
    let others = rule((5432, 5432), "10.0.4.0/24", "database");
    let mut case = held("partition: { between: workers, and: sqs }");
    case.network(4.9, &[narrow.clone(), wide.clone(), others.clone()], false);
    assert_eq!(words(&case.follow(5.0)), "rehearseRules", "it is asked first whether all of it is permitted");
    case.injected(5.0, 0, done());
    assert_eq!(words(&case.follow(5.0)), "mark");
    case.injected(5.1, 1, done()).network(5.15, &[narrow.clone(), wide.clone(), others.clone()], true);
    let pieces = case.follow(5.2);
    assert_eq!(words(&pieces), "authorizeRules", "what stays reachable comes before what is cut");
    let Effect::AuthorizeRules { rules: pieces } = &pieces[0] else { panic!() };
    let pieces = pieces.clone();
    assert_eq!(pieces.len(), 2);
    case.injected(5.25, 2, done());
    case.network(5.3, &[&[narrow.clone(), wide.clone(), others.clone()], &pieces[..]].concat(), true);
    let cut = case.follow(5.3);
    assert_eq!(cut, [Effect::RevokeRules { rules: vec![narrow.clone(), wide.clone()] }]);
    case.injected(5.4, 3, done());
    let in_place = [&pieces[..], std::slice::from_ref(&others)].concat();
    case.network(6.0, &in_place, true);
    case.follow(6.1);
    assert_eq!(case.fault().seen_at, Some(at(6.0)));
    // Somebody puts the rule back in his own words.
    let foreign = rule((443, 443), "10.0.2.10/32", "mended by hand");
    case.network(15.0, &[in_place.clone(), vec![foreign]].concat(), true);
    case.follow(15.0);
    assert_eq!(words(&case.follow(15.1)), "", "nothing is sent");
    let difference = case.fault().stalled.clone().unwrap();
    assert!(difference.contains("\"mended by hand\", and it was \"to the queues\""), "{difference}");
    assert_eq!(words(&case.follow(15.2)), "", "and it is said once");
    assert_eq!(case.stalled(15.3), 1, "a look shows it");
    let seen = std::mem::take(&mut case.observation);
    assert_eq!(case.stalled(15.3), 0, "another process has not looked yet");
    case.observation = seen;
    assert_eq!(case.stalled(80.0), 0, "the look is an old one");
    case.observation.leaving = Some(at(15.1));
    assert_eq!(case.stalled(15.3), 0, "a process that ends asks again");
    case.observation.leaving = None;
    // He takes it away again: dagstorm goes on by itself.
    case.network(20.0, &in_place, true);
    assert_eq!(case.stalled(20.0), 0, "it is written down, and not so any more");
    let back = case.follow(20.1);
    assert_eq!(back, [Effect::AuthorizeRules { rules: vec![narrow.clone(), wide.clone()] }]);
    assert_eq!(case.fault().stalled, None);
    case.healed(20.2, 0, done());
    assert_eq!(case.follow(20.2), [Effect::RevokeRules { rules: pieces }]);
    case.healed(20.3, 1, done());
    case.network(20.3, &[narrow.clone(), wide.clone(), others.clone()], true);
    assert_eq!(words(&case.follow(20.3)), "unmark");
    case.healed(20.4, 2, done()).network(21.0, &[narrow, wide, others], false);
    case.follow(21.1);
    assert_eq!(case.fault().stage, FaultStage::Healed(at(21.0)));
}
