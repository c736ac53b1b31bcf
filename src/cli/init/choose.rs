//! Which of the things that were found are meant, as far as their names tell. Pure.

use indexmap::IndexMap;

use crate::{
    model::suggest,
    world::{Location, Queue, Service},
};

/// What came of looking for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<T> {
    One(T),
    /// Any of them may be meant.
    Several(Vec<T>),
    /// There is none, and why.
    None(String),
}

impl<T> Choice<T> {
    /// The only one, all of several, or none because of this.
    pub fn of(mut found: Vec<T>, why: impl FnOnce() -> String) -> Self {
        match (found.pop(), found.is_empty()) {
            (None, _) => Self::None(why()),
            (Some(only), true) => Self::One(only),
            (Some(last), false) => {
                found.push(last);
                Self::Several(found)
            }
        }
    }
}

/// A code location, a repository of it, and its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub location: String,
    pub repository: String,
    pub jobs: Vec<String>,
    /// Other locations with jobs.
    pub others: Vec<String>,
}

/// A service of the workers, with what else is in its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    pub cluster: String,
    pub service: String,
    pub autoscaler: Option<String>,
    /// The names of the cluster's other services.
    pub others: Vec<String>,
    /// Their security groups.
    pub groups: Vec<String>,
    pub tags: IndexMap<String, String>,
}

/// The location of this name, or the first one that has jobs.
pub fn code(locations: &[Location], wanted: Option<&str>) -> Result<Code, String> {
    let names = |with_jobs: bool| {
        let is_listed = |location: &&Location| !with_jobs || has_jobs(location);
        locations.iter().filter(is_listed).map(|location| location.name.clone()).collect::<Vec<_>>()
    };
    let found = match wanted {
        Some(wanted) => locations.iter().find(|location| location.name == wanted).ok_or_else(|| {
            let names = names(false);
            let known = suggest(wanted, names.iter().map(String::as_str), "the server has");
            format!("Dagster has no code location `{wanted}`: {known}")
        })?,
        None => locations.iter().find(|location| has_jobs(location)).or(locations.first()).ok_or("Dagster has none")?,
    };
    if let Some(error) = &found.error {
        return Err(format!("code location `{}` is not loaded: {error}", found.name));
    }
    let repository = found.repositories.iter().find(|repository| !repository.jobs.is_empty());
    let Some(repository) = repository.or(found.repositories.first()) else {
        return Err(format!("code location `{}` has no repository", found.name));
    };
    let others = names(true).into_iter().filter(|name| *name != found.name).collect();
    let (location, jobs) = (found.name.clone(), repository.jobs.clone());
    Ok(Code { location, repository: repository.name.clone(), jobs, others })
}

fn has_jobs(location: &Location) -> bool {
    location.repositories.iter().any(|repository| !repository.jobs.is_empty())
}

/// The services that look like workers, or the one of this name.
pub fn workers(
    clusters: &[(String, Vec<Service>)],
    service: Option<&str>,
    autoscaler: Option<&str>,
) -> Choice<Workers> {
    let is_meant = |name: &str| service.map_or_else(|| is_worker(name), |service| service == name);
    let mut found = vec![];
    for (cluster, services) in clusters {
        for one in services.iter().filter(|one| is_meant(&one.name)) {
            let scalers: Vec<&str> =
                services.iter().map(|one| one.name.as_str()).filter(|one| is_scaler(one)).collect();
            let only = if let [only] = scalers[..] { Some(only) } else { None };
            let autoscaler = autoscaler.or(only).map(str::to_owned);
            let is_other = |name: &&String| **name != one.name && Some(*name) != autoscaler.as_ref();
            found.push(Workers {
                cluster: cluster.clone(),
                service: one.name.clone(),
                others: services.iter().map(|one| &one.name).filter(is_other).cloned().collect(),
                autoscaler,
                groups: one.groups.clone(),
                tags: one.tags.clone(),
            });
        }
    }
    Choice::of(found, || {
        let all: Vec<String> = clusters
            .iter()
            .flat_map(|(cluster, services)| services.iter().map(move |one| format!("{cluster}/{}", one.name)))
            .collect();
        match (all.is_empty(), service) {
            (true, _) => "there is no ECS service".to_owned(),
            (false, Some(service)) => format!("no ECS service is called `{service}`; there are: {}", all.join(", ")),
            (false, None) => format!("no ECS service is called like workers; there are: {}", all.join(", ")),
        }
    })
}

fn is_worker(name: &str) -> bool {
    name.to_lowercase().contains("worker") && !is_scaler(name)
}

fn is_scaler(name: &str) -> bool {
    let lower = name.to_lowercase();
    ["autoscal", "scaler"].iter().any(|part| lower.contains(part))
}

/// The queue that feeds the workers: one that is called like it, or the only one; no queue of dead letters.
pub fn queue(queues: &[Queue], wanted: Option<&str>) -> Choice<Queue> {
    if let Some(wanted) = wanted {
        let found = queues.iter().find(|queue| queue.name == wanted).cloned();
        return Choice::One(found.unwrap_or(Queue { name: wanted.to_owned(), dead_letters: None }));
    }
    let is_dead = |queue: &&Queue| queues.iter().any(|other| other.dead_letters.as_ref() == Some(&queue.name));
    let living: Vec<Queue> = queues.iter().filter(|queue| !is_dead(queue)).cloned().collect();
    let named: Vec<Queue> = living.iter().filter(|queue| is_for_tasks(&queue.name)).cloned().collect();
    Choice::of(if named.is_empty() { living } else { named }, || "there is no SQS queue".to_owned())
}

/// Whether one of the words of a name says so: `taskiq-tasks`, `worker_jobs.fifo`, `WorkerQueue`.
fn is_for_tasks(name: &str) -> bool {
    const WORDS: [&str; 8] = ["task", "tasks", "job", "jobs", "step", "steps", "worker", "workers"];
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.iter().any(|word| WORDS.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Repository;

    fn location(name: &str, jobs: &[&str]) -> Location {
        let jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
        let repositories = vec![Repository { name: "__repository__".to_owned(), jobs }];
        Location { name: name.to_owned(), repositories, error: None }
    }

    fn cluster(name: &str, services: &[&str]) -> (String, Vec<Service>) {
        let service = |name: &&str| Service { name: (*name).to_owned(), ..Service::default() };
        (name.to_owned(), services.iter().map(service).collect())
    }

    #[test]
    fn the_first_location_with_jobs() {
        let mut broken = location("broken", &[]);
        broken.error = Some("no module".to_owned());
        let all = [broken, location("empty", &[]), location("one", &["a"]), location("two", &["b", "c"])];
        let chosen = code(&all, None).expect("a location");
        assert_eq!((chosen.location.as_str(), chosen.others), ("one", vec!["two".to_owned()]));
        assert_eq!(code(&all, Some("two")).expect("a location").jobs, ["b", "c"]);
        for (locations, wanted, words) in [
            (&all[..], Some("three"), "the server has: broken, empty, one, two"),
            (&all[..], Some("tow"), "did you mean `two`? The server has: broken"),
            (&all[..1], None, "no module"),
            (&all[..0], None, "Dagster has none"),
        ] {
            let error = code(locations, wanted).expect_err("none");
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(code(&all[1..2], None).expect("a location").jobs, Vec::<String>::new());
    }

    #[test]
    fn workers_are_called_like_workers() {
        let demo = cluster("demo", &["autoscaler", "run-executor", "taskiq-worker", "worker-scaler"]);
        let Choice::One(found) = workers(&[demo.clone(), cluster("other", &["web"])], None, None) else { panic!() };
        assert_eq!((found.cluster.as_str(), found.service.as_str()), ("demo", "taskiq-worker"));
        assert_eq!(found.autoscaler, None, "two of them look like it");
        assert_eq!(found.others, ["autoscaler", "run-executor", "worker-scaler"]);
        let Choice::One(found) = workers(std::slice::from_ref(&demo), Some("run-executor"), Some("autoscaler")) else {
            panic!()
        };
        assert_eq!((found.service.as_str(), found.autoscaler.as_deref()), ("run-executor", Some("autoscaler")));
        let Choice::Several(found) = workers(&[demo, cluster("b", &["WorkerService"])], None, None) else { panic!() };
        assert_eq!(found.iter().map(|one| one.cluster.as_str()).collect::<Vec<_>>(), ["demo", "b"]);
        for (clusters, service, words) in [
            (vec![], None, "there is no ECS service"),
            (vec![cluster("a", &["web"])], None, "there are: a/web"),
            (vec![cluster("a", &["web"])], Some("worker"), "is called `worker`"),
        ] {
            let Choice::None(why) = workers(&clusters, service, None) else { panic!("{clusters:?}") };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn queues_are_told_by_their_words() {
        let queue_of =
            |name: &str, dead: Option<&str>| Queue { name: name.to_owned(), dead_letters: dead.map(str::to_owned) };
        let all = [
            queue_of("taskiq-dead", None),
            queue_of("taskiq-runs", Some("taskiq-dead")),
            queue_of("taskiq-tasks", Some("taskiq-dead")),
        ];
        assert_eq!(queue(&all, None), Choice::One(all[2].clone()));
        assert_eq!(queue(&all[..2], None), Choice::One(all[1].clone()), "the only one that is alive");
        assert_eq!(queue(&all[..1], None), Choice::One(all[0].clone()));
        assert_eq!(queue(&all, Some("taskiq-runs")), Choice::One(all[1].clone()));
        assert_eq!(queue(&all, Some("elsewhere")), Choice::One(queue_of("elsewhere", None)));
        assert!(matches!(queue(&[], None), Choice::None(_)));
        let several = [queue_of("a", None), queue_of("b", None)];
        assert_eq!(queue(&several, None), Choice::Several(several.to_vec()));
        for (name, is_one) in [
            ("WorkerQueue", true),
            ("my_jobs.fifo", true),
            ("taskiq-runs", false),
            ("multitasking", false),
            ("EmailQueue", false),
        ] {
            assert_eq!(is_for_tasks(name), is_one, "{name}");
        }
    }
}
