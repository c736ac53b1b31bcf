//! The arrivals and faults of a plan over time: counted in one walk, held as a few columns. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::{
    model::Span,
    plan::{Choice, Plan, PlannedFault},
    spec::Scenario,
};

/// When how many runs are launched.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    pub total: u32,
    pub mean_rate: String,
    pub most_in_a_second: u32,
    pub most_in_a_minute: u32,
    /// From the start of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Span>,
    /// What a column of `columns` stands for.
    pub column: Span,
    pub columns: Vec<u32>,
    pub phases: Vec<PhasePreview>,
    pub jobs: Vec<JobPreview>,
    /// The launches for partitions or of assets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selections: Vec<SelectionPreview>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhasePreview {
    pub name: String,
    pub after: Span,
    #[serde(rename = "for")]
    pub length: Span,
    pub shape: String,
    pub total: u32,
    pub columns: Vec<u32>,
}

/// What the draw gives, which is not just what the weights say.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPreview {
    pub job: String,
    pub runs: u32,
}

/// What is selected of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SelectionPreview {
    pub job: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    /// How the partition is chosen, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    pub runs: u32,
}

impl SelectionPreview {
    /// What is launched of a job, and how often.
    pub fn describe(&self) -> String {
        let Self { job, assets, partition, runs } = self;
        let mut parts = vec![format!("{job} {runs}")];
        parts.extend((!assets.is_empty()).then(|| format!("assets {}", assets.join(" "))));
        parts.extend(partition.as_ref().map(|partition| format!("partition {partition}")));
        parts.join(", ")
    }
}

/// One occurrence of a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultPreview {
    pub name: String,
    /// The name without the number.
    #[serde(skip)]
    pub declared: String,
    /// From the start of the scenario; with `when`, from the instant at which the first occurrence began.
    pub after: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<Span>,
    pub does: String,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Walks through the plan once. There are at most so many columns, each of an even length of time.
pub fn preview(scenario: &Scenario, plan: &Plan, most_columns: usize) -> Preview {
    let column = column(plan.ends_at, most_columns);
    let count = plan.ends_at.as_micros().div_ceil(column.as_micros()).max(1) as usize;
    let mut all = vec![0_u32; count];
    let mut phases: Vec<(u32, Vec<u32>)> = scenario.spec.load.iter().map(|_| (0, vec![0; count])).collect();
    let mut choices = vec![0_u32; plan.choices.len()];
    let (mut first, mut last) = (None, None);
    let (mut second, mut minute) = (Window::new(SECOND, 100), Window::new(MINUTE, 60));
    for arrival in plan.arrivals.from(0) {
        let at = (arrival.offset.as_micros() / column.as_micros()) as usize;
        let at = at.min(count - 1);
        all[at] += 1;
        let (total, columns) = &mut phases[arrival.phase as usize];
        *total += 1;
        columns[at] += 1;
        choices[arrival.choice as usize] += 1;
        first = first.or(Some(Span::new(arrival.offset)));
        last = Some(Span::new(arrival.offset));
        second.count(arrival.offset);
        minute.count(arrival.offset);
    }
    Preview {
        total: plan.arrivals.len(),
        mean_rate: rate(plan.arrivals.len(), plan.ends_at),
        most_in_a_second: second.most,
        most_in_a_minute: minute.most,
        first,
        last,
        column: Span::new(column),
        columns: all,
        phases: scenario
            .spec
            .load
            .iter()
            .zip(phases)
            .map(|(phase, (total, columns))| PhasePreview {
                name: phase.name.clone(),
                after: phase.after,
                length: phase.length,
                shape: phase.arrivals.describe(),
                total,
                columns,
            })
            .collect(),
        jobs: jobs(plan, &choices),
        selections: selections(plan, &choices),
    }
}

/// Every occurrence, in the order of their begins.
pub fn faults(plan: &Plan) -> Vec<FaultPreview> {
    let one = |fault: &PlannedFault| FaultPreview {
        name: fault.id.to_string(),
        declared: fault.id.name.clone(),
        after: Span::new(fault.offset),
        when: fault.when.map(|when| when.to_string()),
        length: fault.length.map(Span::new),
        does: fault.fault.describe(),
    };
    plan.faults.iter().map(one).collect()
}

/// So many in a time, in the unit in which it is a number that one can imagine.
pub fn rate(count: u32, time: Duration) -> String {
    let a_second = f64::from(count) / time.as_secs_f64().max(1e-6);
    let units = [(1.0, "s"), (60.0, "min"), (3_600.0, "h"), (86_400.0, "d")];
    let fits = units.into_iter().find(|(seconds, _)| a_second * seconds >= 1.0);
    let (seconds, unit) = fits.unwrap_or((86_400.0, "d"));
    let number = format!("{:.1}", a_second * seconds);
    format!("{}/{unit}", number.trim_end_matches(".0"))
}

/// The most in a window that slides over the arrivals in steps.
struct Window {
    step_us: u64,
    /// One count for each step of the window; the newest is at `step` modulo their number.
    counts: Vec<u32>,
    step: u64,
    sum: u32,
    most: u32,
}

impl Window {
    fn new(length: Duration, steps: usize) -> Self {
        Self { step_us: length.as_micros() as u64 / steps as u64, counts: vec![0; steps], step: 0, sum: 0, most: 0 }
    }

    /// Counts an arrival; they come in order.
    fn count(&mut self, offset: Duration) {
        let (step, steps) = (offset.as_micros() as u64 / self.step_us, self.counts.len() as u64);
        for passed in 1..=(step - self.step).min(steps) {
            let oldest = &mut self.counts[((self.step + passed) % steps) as usize];
            self.sum -= std::mem::take(oldest);
        }
        self.step = step;
        self.counts[(step % steps) as usize] += 1;
        self.sum += 1;
        self.most = self.most.max(self.sum);
    }
}

/// Lengths of columns that go into a second, a minute, an hour, a day: an even pace looks even.
const COLUMNS_MS: [u64; 34] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 6_000, 10_000, 12_000, 15_000, 20_000, 30_000,
    60_000, 120_000, 180_000, 300_000, 600_000, 720_000, 900_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
    14_400_000, 28_800_000, 43_200_000, 86_400_000,
];

/// The shortest of these with which all of `time` fits; days beyond.
fn column(time: Duration, most: usize) -> Duration {
    let most = most.max(1) as u128;
    let fits = |column: &Duration| time.as_micros().div_ceil(column.as_micros()) <= most;
    let mut candidates =
        COLUMNS_MS.into_iter().chain((2..=366).map(|days| days * 86_400_000)).map(Duration::from_millis);
    candidates.find(fits).unwrap_or(time)
}

/// By job, whatever its configuration and tags; the most frequent first.
fn jobs(plan: &Plan, choices: &[u32]) -> Vec<JobPreview> {
    let total = |name: &String| {
        let own = plan.choices.iter().zip(choices).filter(|(choice, _)| choice.job == *name);
        own.map(|(_, runs)| *runs).sum::<u32>()
    };
    let mut jobs: Vec<JobPreview> = plan.jobs().into_iter().map(|job| JobPreview { runs: total(&job), job }).collect();
    jobs.sort_by(|a, b| b.runs.cmp(&a.runs).then_with(|| a.job.cmp(&b.job)));
    jobs
}

/// In the order of the manifest.
fn selections(plan: &Plan, choices: &[u32]) -> Vec<SelectionPreview> {
    let selects = |choice: &Choice| choice.partition.is_some() || !choice.assets.is_empty();
    let selected = plan.choices.iter().zip(choices).filter(|(choice, _)| selects(choice));
    selected
        .map(|(choice, runs)| SelectionPreview {
            job: choice.job.clone(),
            assets: choice.assets.clone(),
            partition: choice.partition.as_ref().map(|planned| planned.partitioning.describe()),
            runs: *runs,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::plan::tests::scenario, model::GenerationId, plan};

    fn previewed(spec: &str, columns: usize) -> (Preview, Vec<FaultPreview>) {
        let scenario = scenario(spec);
        let plan = plan::compile(&scenario, &GenerationId { digest: scenario.digest(), repeat: 1 });
        (preview(&scenario, &plan, columns), faults(&plan))
    }

    #[test]
    fn one_walk_counts_everything() {
        let (seen, faults) = previewed(
            "load:
  - { name: base, for: 2m, arrivals: { constant: { rate: 6/min } }, jobs: { a: 1, b: 0 } }
  - { name: spikes, after: 30s, for: 1m, arrivals: { burst: { size: 5, every: 30s } }, jobs: [ { job: b, tags: { x: '1' } }, { job: b } ] }
faults:
  - { name: kill, after: 30s, repeat: { every: 30s, times: 2 }, stopTasks: { service: workers } }
  - { name: deep, when: 'queueDepth > 5', for: 5s, drainService: { service: workers } }",
            12,
        );
        assert_eq!((seen.total, seen.mean_rate.as_str()), (22, "11/min"));
        assert_eq!((seen.most_in_a_second, seen.most_in_a_minute), (6, 16));
        assert_eq!((seen.first, seen.last), (Some(Span::ZERO), Some(Span::from_secs(110))));
        assert_eq!(seen.column, Span::from_secs(10));
        assert_eq!(seen.columns, [1, 1, 1, 6, 1, 1, 6, 1, 1, 1, 1, 1]);
        assert_eq!(seen.phases[1].columns, [0, 0, 0, 5, 0, 0, 5, 0, 0, 0, 0, 0]);
        assert_eq!(seen.phases.iter().map(|phase| phase.total).collect::<Vec<_>>(), [12, 10]);
        let jobs: Vec<_> = seen.jobs.iter().map(|job| (job.job.as_str(), job.runs)).collect();
        assert_eq!(jobs, [("a", 12), ("b", 10)]);
        let faults: Vec<_> =
            faults.iter().map(|one| (one.name.as_str(), one.after.to_string(), one.when.is_some())).collect();
        assert_eq!(
            faults,
            [
                ("deep#1", "0s".to_owned(), true),
                ("kill#1", "30s".to_owned(), false),
                ("kill#2", "1m".to_owned(), false)
            ]
        );
    }

    #[test]
    fn columns_are_even_and_never_too_many() {
        for (time, most, expected) in [
            ("40s", 62, "1s"),
            ("30m", 62, "30s"),
            ("30m", 60, "30s"),
            ("30m", 59, "1m"),
            ("24h", 62, "30m"),
            ("10ms", 60, "1ms"),
            ("366d", 60, "7d"),
            ("366d", 1, "366d"),
            ("1h", 0, "1h"),
        ] {
            let time: Span = time.parse().expect(time);
            assert_eq!(Span::new(column(time.duration(), most)).to_string(), expected, "{time} in {most}");
        }
        assert!(COLUMNS_MS.is_sorted());
    }

    #[test]
    fn windows_slide_and_forget() {
        for (offsets_ms, most) in [
            (&[0, 10, 20][..], 3),
            (&[900, 950, 1_000, 1_050], 4),
            (&[0, 999, 1_000, 1_980], 3),
            (&[0, 1_000, 2_000], 1),
            (&[0, 0, 5_000_000, 5_000_400], 2),
            (&[], 0),
        ] {
            let mut window = Window::new(SECOND, 100);
            offsets_ms.iter().for_each(|offset| window.count(Duration::from_millis(*offset)));
            assert_eq!(window.most, most, "{offsets_ms:?}");
        }
    }

    #[test]
    fn rates_are_imaginable() {
        for (count, seconds, text) in [
            (600, 60, "10/s"),
            (14, 40, "21/min"),
            (5040, 86_400, "3.5/min"),
            (3, 86_400, "3/d"),
            (0, 10, "0/d"),
            (1, 86_400 * 4, "0.2/d"),
        ] {
            assert_eq!(rate(count, Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_million_arrivals_are_counted_in_a_moment() {
        let began = std::time::Instant::now();
        let (seen, _) = previewed(
            "load: [ { name: flood, for: 1000s, arrivals: { constant: { rate: 1000/s } }, jobs: { a: 1, b: 1 } } ]",
            60,
        );
        assert_eq!((seen.total, seen.most_in_a_second, seen.most_in_a_minute), (1_000_000, 1_000, 60_000));
        assert_eq!(seen.columns.iter().sum::<u32>(), 1_000_000);
        // An unoptimized build on a busy machine takes about ten times as long as what users have.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
