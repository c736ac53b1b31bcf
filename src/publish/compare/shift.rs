//! Whether a quantile has moved by more than chance: a bootstrap interval of the difference, the same at every computation.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Beta, Distribution};

/// How often both samples are drawn anew.
const RESAMPLES: usize = 4000;
/// Of so many in a thousand of them the difference lies in the interval: 99 %, since many quantiles are looked at.
const WITHIN_PER_MILLE: usize = 990;
const SEED: u64 = 0x5eed;

/// A quantile by nearest rank, so that it is a value that was really measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    Percent(u8),
    Max,
}

impl Quantile {
    pub const ALL: [Self; 4] = [Self::Percent(50), Self::Percent(95), Self::Percent(99), Self::Max];

    pub fn word(self) -> String {
        match self {
            Self::Percent(percent) => format!("p{percent}"),
            Self::Max => "max".to_owned(),
        }
    }

    /// Fewer samples than this say nothing of it: twenty, and one at least has to lie above a percentile.
    pub fn fewest(self) -> u64 {
        match self {
            Self::Percent(percent) => (100 / u64::from(100 - percent.min(99))).max(FEWEST),
            Self::Max => FEWEST,
        }
    }

    /// Its place among so many, from 1.
    fn rank(self, count: usize) -> usize {
        match self {
            Self::Percent(percent) => (count * usize::from(percent)).div_ceil(100).max(1),
            Self::Max => count,
        }
    }

    /// Of sorted samples; `None` without any.
    pub fn of(self, sorted: &[f64]) -> Option<f64> {
        sorted.get(self.rank(sorted.len()).checked_sub(1)?).copied()
    }
}

/// Fewer samples than this say nothing.
pub const FEWEST: u64 = 20;

/// Between which bounds the difference of a quantile (after − before) lies, with 99 % confidence.
///
/// Both must be sorted. It takes the samples for independent of each other; runs of one test that wait in one queue are
/// not quite, so that chance can do a little more than this. `None` without samples on a side.
pub fn interval(quantile: Quantile, before: &[f64], after: &[f64]) -> Option<[f64; 2]> {
    let (before, after) = (Resampled::new(quantile, before)?, Resampled::new(quantile, after)?);
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut differences: Vec<f64> =
        (0..RESAMPLES).map(|_| after.draw(&mut random) - before.draw(&mut random)).collect();
    differences.sort_unstable_by(f64::total_cmp);
    let outside = RESAMPLES * (1000 - WITHIN_PER_MILLE) / 2000;
    Some([differences[outside], differences[RESAMPLES - 1 - outside]])
}

/// A quantile of samples drawn with replacement, without drawing them: of `n` draws the one of rank `k` lies at a share of
/// the sorted samples that is distributed as Beta(k, n − k + 1). So a million samples cost no more than twenty.
struct Resampled<'a> {
    sorted: &'a [f64],
    share: Beta<f64>,
}

impl<'a> Resampled<'a> {
    fn new(quantile: Quantile, sorted: &'a [f64]) -> Option<Self> {
        if sorted.is_empty() {
            return None;
        }
        let rank = quantile.rank(sorted.len());
        let share = Beta::new(rank as f64, (sorted.len() - rank + 1) as f64);
        Some(Self { sorted, share: share.expect("both parameters are 1 or more") })
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> f64 {
        let place = self.share.sample(random) * self.sorted.len() as f64;
        self.sorted[(place as usize).min(self.sorted.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::LogNormal;

    use super::*;

    fn samples(seed: u64, count: usize, scale: f64) -> Vec<f64> {
        let latency = LogNormal::new(scale.ln(), 0.6).expect("a distribution");
        let mut sorted: Vec<f64> = latency.sample_iter(ChaCha8Rng::seed_from_u64(seed)).take(count).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let all = Quantile::ALL.map(|quantile| quantile.of(&hundred));
        assert_eq!(all, [Some(50.0), Some(95.0), Some(99.0), Some(100.0)]);
        assert_eq!(Quantile::ALL.map(|quantile| quantile.of(&[7.0])), [Some(7.0); 4]);
        assert_eq!(Quantile::Max.of(&[]), None);
        assert_eq!(Quantile::ALL.map(Quantile::fewest), [20, 20, 100, 20]);
    }

    #[test]
    fn an_interval_is_the_same_at_every_computation() {
        let (a, b) = (samples(1, 50, 10.0), samples(2, 80, 12.0));
        assert_eq!(interval(Quantile::Percent(95), &a, &b), interval(Quantile::Percent(95), &a, &b));
        assert_eq!(interval(Quantile::Max, &[3.0], &[5.0]), Some([2.0, 2.0]), "one sample each is no sample");
        assert_eq!(interval(Quantile::Max, &[], &[5.0]), None);
    }

    /// What a resampling does that really draws.
    #[test]
    fn the_shortcut_has_the_distribution_of_the_long_way() {
        use rand::RngExt;
        let sorted = samples(5, 40, 10.0);
        let mut random = ChaCha8Rng::seed_from_u64(9);
        for quantile in Quantile::ALL {
            let drawn = |random: &mut ChaCha8Rng| {
                let mut drawn: Vec<f64> = (0..40).map(|_| sorted[random.random_range(0..40)]).collect();
                drawn.sort_unstable_by(f64::total_cmp);
                quantile.of(&drawn).expect("forty")
            };
            let resampled = Resampled::new(quantile, &sorted).expect("forty");
            let mean = |draws: Vec<f64>| draws.iter().sum::<f64>() / draws.len() as f64;
            let long = mean((0..4000).map(|_| drawn(&mut random)).collect());
            let short = mean((0..4000).map(|_| resampled.draw(&mut random)).collect());
            assert!((long - short).abs() < long * 0.02, "{quantile:?}: {long} and {short}");
        }
    }

    #[test]
    fn chance_is_hardly_ever_taken_for_a_shift_and_a_shift_is_seen() {
        let (mut false_alarms, mut seen) = (0, 0);
        for seed in 0..200 {
            let (before, same) = (samples(seed, 120, 10.0), samples(seed + 1000, 120, 10.0));
            let slower = samples(seed + 2000, 120, 15.0);
            for quantile in [Quantile::Percent(50), Quantile::Percent(95)] {
                let [low, high] = interval(quantile, &before, &same).expect("samples");
                false_alarms += u32::from(low > 0.0 || high < 0.0);
            }
            let [low, _] = interval(Quantile::Percent(50), &before, &slower).expect("samples");
            seen += u32::from(low > 0.0);
        }
        assert!(false_alarms <= 8, "{false_alarms} of 400 without any shift");
        assert!(seen >= 170, "{seen} of 200 shifts by half were seen");
    }
}
