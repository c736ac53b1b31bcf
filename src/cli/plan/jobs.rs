//! What Dagster says to a plan: the code location, its jobs, their run configs, and the right to launch them.

use super::{
    looks::{DagsterLook, TargetLooks},
    partitions::look_at_partitions,
};
use crate::{
    decide::partitions::merged,
    model::{LocationState, LocationView, PARTITION_TAG, PartitionAsk, Query, Seen, Target, Why},
    plan::{Choice, Plan},
    spec::Scenario,
    world::{JobCheck, LiveWorld, World},
};

/// Looks at Dagster for each scenario, and asks it to judge each job's run config.
pub(super) async fn look_at_dagster(
    world: &LiveWorld,
    target: &Target,
    scenarios: &[(&Scenario, &Plan)],
    looks: &mut TargetLooks,
) {
    for (scenario, plan) in scenarios {
        let jobs = plan.jobs();
        let query = Query::Dagster {
            scenario: scenario.name.clone(),
            generation: plan.generation.clone(),
            jobs: jobs.clone(),
            since: None,
        };
        let seen = world.look(target, &query).await.dagster.map(|seen| seen.answer);
        let view = match seen.expect("a look at Dagster answers for Dagster") {
            Seen::Fresh(view) => view,
            Seen::Unavailable(why) => return looks.fail("Dagster", why),
        };
        if !view.runs.is_empty() {
            let runs = if view.runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", view.runs.len()) };
            looks.notes.push(format!(
                "Dagster holds {runs} of {}/{} already: a new data folder adopts them instead of launching",
                scenario.name, plan.generation
            ));
        }
        let missing = take_location(looks, scenario, &jobs, view.location.unwrap_or_default());
        let mut unfit = missing.clone();
        unfit.extend(check_launches(world, target, (scenario, plan), &missing, looks).await);
        let there = looks.dagster.get_or_insert_with(|| DagsterLook {
            version: view.version.clone(),
            location: target.dagster.location.clone(),
            jobs: vec![],
        });
        there.jobs.extend(jobs.into_iter().filter(|job| !unfit.contains(job)));
        there.jobs.sort();
        there.jobs.dedup();
    }
}

/// Asks for the partitions and assets of the launches, and whether Dagster would take their run configs. Returns the jobs
/// that cannot be launched. `missing`: those that are not there.
async fn check_launches(
    world: &LiveWorld,
    target: &Target,
    (scenario, plan): (&Scenario, &Plan),
    missing: &[String],
    looks: &mut TargetLooks,
) -> Vec<String> {
    let is_there = |job: &String| !missing.contains(job);
    let asks: Vec<PartitionAsk> = plan.asks.iter().filter(|ask| is_there(&ask.job)).cloned().collect();
    let resolved = look_at_partitions(world, target, scenario, asks, looks).await;
    let of = |number: u32| resolved.iter().find(|answer| answer.choice == number);
    let unresolved = resolved.iter().filter(|answer| answer.resolved.is_none());
    let mut unfit: Vec<String> = unresolved.map(|answer| plan.choices[answer.choice as usize].job.clone()).collect();
    let numbered = (0..).zip(&plan.choices).filter(|(_, choice)| is_there(&choice.job));
    let asked: Vec<_> = numbered
        .filter(|(number, _)| of(*number).is_none_or(|answer| answer.resolved.is_some()))
        .map(|(number, choice)| (choice, merged(choice, of(number).and_then(|answer| answer.first(plan)))))
        .collect();
    let answers =
        asked.iter().map(|(choice, (run_config, _))| world.check_job(target, &choice.job, &choice.assets, run_config));
    let answers = futures::future::join_all(answers).await;
    for ((choice, _), answer) in asked.into_iter().zip(answers) {
        if !take_check(looks, scenario, choice, answer) {
            unfit.push(choice.job.clone());
        }
    }
    unfit
}

/// Says what is wrong with the location. Returns the jobs that cannot be launched for it.
fn take_location(looks: &mut TargetLooks, scenario: &Scenario, jobs: &[String], location: LocationView) -> Vec<String> {
    let mut problem = |message: String| {
        if !looks.problems.contains(&message) {
            looks.problems.push(message);
        }
    };
    if let Some(message) = location.forbidden {
        problem(message);
    }
    match location.state {
        LocationState::Ready => vec![],
        LocationState::Lacks { jobs, message, known } => {
            problem(format!("{}: {message}: {known}", scenario.name));
            jobs
        }
        LocationState::NotLoaded(message) | LocationState::Absent(message) => {
            problem(message);
            jobs.to_vec()
        }
    }
}

/// Says what is wrong with a launch of this choice. Returns whether nothing is.
fn take_check(looks: &mut TargetLooks, scenario: &Scenario, choice: &Choice, answer: Result<JobCheck, Why>) -> bool {
    let (name, job) = (&scenario.name, &choice.job);
    match answer {
        Ok(JobCheck { invalid: Some(why), .. }) => {
            looks.problems.push(format!(
                "{name}: Dagster rejects the run config of job `{job}`: {}; give it as `runConfig` of the job",
                why.lines().next().unwrap_or_default()
            ));
            false
        }
        Ok(JobCheck { invalid: None, is_partitioned: true }) if !names_partition(choice) => {
            looks.notes.push(format!(
                "{name}: job `{job}` has partitions, and its launches name none: give it `partition: latest`, or \
                 `partition: {{ each: all }}`"
            ));
            false
        }
        Ok(JobCheck { invalid: None, is_partitioned: _ }) => true,
        Err(why) => {
            looks.notes.push(format!("{name}: the run config of job `{job}` could not be checked: {}", why.message));
            true
        }
    }
}

fn names_partition(choice: &Choice) -> bool {
    choice.partition.is_some() || choice.tags.contains_key(PARTITION_TAG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::plan::tests::scenario, model::GenerationId, plan};

    const LOAD: &str = "load: [ { name: base, for: 60s, arrivals: { constant: { rate: 1/s } }, jobs: { a: 1, b: { weight: 1, tags: { dagster/partition: eu } }, c: { weight: 1, partition: latest } } } ]\n";

    fn target() -> Target {
        serde_json::from_str(
            r#"{"name":"t","dagster":{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}}"#,
        )
        .expect("a target")
    }

    #[test]
    fn a_location_that_cannot_be_used_is_one_problem() {
        let (scenario, jobs) = (scenario(LOAD), ["a".to_owned(), "b".to_owned()]);
        let (message, known) = ("no b".to_owned(), "it has: a".to_owned());
        let no_b = LocationState::Lacks { jobs: vec!["b".to_owned()], message, known };
        let forbidden = || Some("read-only".to_owned());
        for (state, forbidden, missing, problems) in [
            (LocationState::Ready, None, &[][..], &[][..]),
            (LocationState::Ready, forbidden(), &[], &["read-only"]),
            (no_b, None, &["b"], &["a: no b: it has: a"]),
            (LocationState::NotLoaded("broken".to_owned()), forbidden(), &["a", "b"], &["read-only", "broken"]),
            (LocationState::Absent("no l".to_owned()), None, &["a", "b"], &["no l"]),
        ] {
            let mut looks = TargetLooks::of(&target());
            let location = LocationView { state, forbidden };
            assert_eq!(take_location(&mut looks, &scenario, &jobs, location.clone()), missing);
            take_location(&mut looks, &scenario, &jobs, location);
            assert_eq!(looks.problems, problems, "once, though two scenarios need it");
        }
    }

    #[test]
    fn a_job_is_ticked_if_its_launch_would_be_taken() {
        let scenario = scenario(LOAD);
        let plan = plan::compile(&scenario, &GenerationId { digest: scenario.digest(), repeat: 1 });
        let check = |invalid: Option<&str>, is_partitioned| {
            Ok(JobCheck { invalid: invalid.map(str::to_owned), is_partitioned })
        };
        let lost = Why { kind: crate::model::WhyKind::TimedOut, message: "late".to_owned() };
        for (choice, answer, is_fit, problems, notes) in [
            (0, check(None, false), true, 0, 0),
            (0, check(Some("Missing required config entry \"ops\""), false), false, 1, 0),
            (0, check(None, true), false, 0, 1),
            (1, check(None, true), true, 0, 0),
            (1, check(Some("no"), true), false, 1, 0),
            (2, check(None, true), true, 0, 0),
            (2, check(Some("no"), true), false, 1, 0),
            (0, Err(lost), true, 0, 1),
        ] {
            let mut looks = TargetLooks::of(&target());
            assert_eq!(take_check(&mut looks, &scenario, &plan.choices[choice], answer), is_fit);
            assert_eq!((looks.problems.len(), looks.notes.len()), (problems, notes), "{looks:?}");
        }
    }
}
