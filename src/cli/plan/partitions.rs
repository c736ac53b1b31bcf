//! What Dagster says to a plan about the partitions and the assets of its launches.

use super::looks::{PartitionLook, TargetLooks};
use crate::{
    decide::partitions,
    journal::{ResolvedChoice, ResolvedPartition},
    model::{PartitionAsk, Partitioning, PartitionsView, Query, Seen, Target, Timed, Why, WhyKind},
    plan::Plan,
    spec::Scenario,
    world::{LiveWorld, World},
};

/// So many of the keys that are launched first are named.
const FIRST_KEYS: u32 = 3;

/// What Dagster says of one ask.
pub(super) struct Answer {
    pub choice: u32,
    /// `None` where it cannot be launched.
    pub resolved: Option<ResolvedChoice>,
}

impl Answer {
    /// What the first arrival is launched with, besides what the manifest says.
    pub(super) fn first<'a>(&'a self, plan: &Plan) -> Option<&'a ResolvedPartition> {
        let resolved = self.resolved.as_ref()?;
        let planned = plan.choices[self.choice as usize].partition.as_ref()?;
        let key = resolved.keys.get(planned.partitioning.position(planned.stream, 0, resolved.keys.len()))?;
        resolved.partitions.get(key)
    }
}

/// Asks for each choice alone, so that all that is wrong is said at once.
pub(super) async fn look_at_partitions(
    world: &LiveWorld,
    target: &Target,
    scenario: &Scenario,
    asks: Vec<PartitionAsk>,
    looks: &mut TargetLooks,
) -> Vec<Answer> {
    let answers = asks.iter().map(|ask| async move {
        let seen = world.look(target, &Query::Partitions { asks: vec![ask.clone()] }).await.partitions;
        seen.expect("a look at partitions answers for them")
    });
    let answers = futures::future::join_all(answers).await;
    asks.iter().zip(answers).map(|(ask, seen)| take(looks, scenario, ask, &seen)).collect()
}

/// Says what is there, or what is wrong.
fn take(looks: &mut TargetLooks, scenario: &Scenario, ask: &PartitionAsk, seen: &Timed<Vec<PartitionsView>>) -> Answer {
    let resolved = match partitions::read(seen).answer {
        Seen::Fresh(resolved) => resolved.into_iter().next(),
        Seen::Unavailable(why) => {
            fail(looks, scenario, why);
            None
        }
    };
    if let (Seen::Fresh(views), Some(resolved)) = (&seen.answer, &resolved) {
        looks.partitions.push(PartitionLook {
            scenario: scenario.name.clone(),
            job: ask.job.clone(),
            assets: ask.assets.clone(),
            partition: ask.partitioning.as_ref().map(|partitioning| partitioning.describe()),
            keys: views.iter().find_map(|view| view.there.clone()),
            first: first_keys(ask, resolved),
        });
    }
    Answer { choice: ask.choice, resolved }
}

/// The keys of the first arrivals.
fn first_keys(ask: &PartitionAsk, resolved: &ResolvedChoice) -> Vec<String> {
    let Some(partitioning) = &ask.partitioning else { return vec![] };
    let most = match partitioning {
        Partitioning::Key(_) => 0,
        Partitioning::Latest => 1,
        Partitioning::Each(_) | Partitioning::Draw(_) => FIRST_KEYS,
    };
    let position = |turn| partitioning.position(ask.stream, turn, resolved.keys.len());
    (0..ask.turns.min(most)).filter_map(|turn| resolved.keys.get(position(turn)).cloned()).collect()
}

/// Dagster's own errors, and its users', stand in the way of the start: they are no matter of who can be reached.
fn fail(looks: &mut TargetLooks, scenario: &Scenario, why: Why) {
    match why.kind {
        WhyKind::NotFound | WhyKind::Mismatch | WhyKind::ServerError => {
            looks.problems.push(format!("{}: {}", scenario.name, why.message));
        }
        WhyKind::Unauthorized
        | WhyKind::Protocol
        | WhyKind::NotLoaded
        | WhyKind::Unreachable
        | WhyKind::TimedOut
        | WhyKind::Throttled
        | WhyKind::Awaited => looks.fail("Dagster", why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::plan::tests::scenario,
        model::{GenerationId, KeyRange, PartitionView, Timestamp},
        plan,
    };

    const LOAD: &str = "load: [ { name: base, for: 60s, arrivals: { constant: { rate: 1/s } }, jobs: { daily: { weight: 1, partition: { each: all }, runConfig: { own: 1 } } } } ]\n";

    fn looks() -> TargetLooks {
        let target: Target = serde_json::from_str(
            r#"{"name":"t","dagster":{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}}"#,
        )
        .expect("a target");
        TargetLooks::of(&target)
    }

    #[test]
    fn what_is_there_is_said_and_what_is_wrong_stands_in_the_way() {
        let scenario = scenario(LOAD);
        let plan = plan::compile(&scenario, &GenerationId { digest: scenario.digest(), repeat: 1 });
        let [ask] = &plan.asks[..] else { panic!("{:?}", plan.asks) };
        let view = |config: &str| PartitionsView {
            choice: 0,
            there: Some(KeyRange { first: "a".to_owned(), last: "b".to_owned(), count: 2 }),
            keys: vec!["a".to_owned(), "b".to_owned()],
            partitions: ["a", "b"]
                .map(|key| PartitionView { key: key.to_owned(), config: config.to_owned(), tags: [].into() })
                .to_vec(),
        };
        let why = |kind| Seen::Unavailable(Why { kind, message: "so".to_owned() });
        for (answer, problems, is_resolved) in [
            (Seen::Fresh(vec![view("day: 1\n")]), &[][..], true),
            (Seen::Fresh(vec![view("day: .inf\n")]), &["a: the run config that Dagster has for partition `a`"], false),
            (why(WhyKind::NotFound), &["a: so"], false),
            (why(WhyKind::Mismatch), &["a: so"], false),
            (why(WhyKind::ServerError), &["a: so"], false),
            (why(WhyKind::Unreachable), &[], false),
        ] {
            let mut looks = looks();
            let seen = Timed { asked_at: Timestamp::from_seconds(1.0), answer };
            let found = take(&mut looks, &scenario, ask, &seen);
            let begin = |problem: &String| problems.iter().any(|begin| problem.starts_with(begin));
            assert!(looks.problems.len() == problems.len() && looks.problems.iter().all(begin), "{:?}", looks.problems);
            assert_eq!((found.resolved.is_some(), looks.partitions.len()), (is_resolved, usize::from(is_resolved)));
            if let Some(look) = looks.partitions.first() {
                assert_eq!(look.first, ["a", "b", "a"]);
                let (config, _) = partitions::merged(&plan.choices[0], found.first(&plan));
                assert_eq!(config, serde_json::json!({ "day": 1, "own": 1 }));
            }
        }
    }
}
