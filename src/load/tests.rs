//! Properties that every shape has, for values that nobody would write as well.

use proptest::prelude::*;

use super::*;
use crate::model::Span;

const DAY: i128 = 86_400_000_000;
const YEAR_US: u64 = 366 * 86_400_000_000;

fn rate(text: &str) -> Rate {
    text.parse().expect(text)
}

/// From zero to the fastest.
fn any_rate() -> impl Strategy<Value = Rate> {
    let units = prop::sample::select(vec!["s", "min", "h", "d"]);
    let times = prop_oneof![Just(0.0), 1.0..10_000.0, (1u32..10_000).prop_map(f64::from)];
    (times, units).prop_map(|(times, unit)| rate(&format!("{times}/{unit}")))
}

fn per_minute(range: std::ops::Range<u32>) -> impl Strategy<Value = Rate> {
    range.prop_map(|times| rate(&format!("{times}/min")))
}

fn any_span() -> impl Strategy<Value = Span> {
    let micros = prop_oneof![Just(0), Just(1), Just(YEAR_US), 0..5_000_000u64, 0..YEAR_US];
    micros.prop_map(|micros| Span::new(Duration::from_micros(micros)))
}

/// Anything that a manifest can say, valid or not.
fn any_arrivals() -> impl Strategy<Value = Arrivals> {
    let speed = prop_oneof![any::<f64>(), 0.001..1_000.0];
    let offsets = prop::collection::vec(any::<u64>(), 0..20);
    prop_oneof![
        any_rate().prop_map(|rate| Arrivals::Constant(Constant { rate })),
        (any_rate(), any_rate()).prop_map(|(from, to)| Arrivals::Ramp(Ramp { from, to })),
        (any_rate(), any_rate(), any::<u32>()).prop_map(|(from, to, steps)| Arrivals::Stairs(Stairs {
            from,
            to,
            steps
        })),
        any_rate().prop_map(|rate| Arrivals::Poisson(Poisson { rate })),
        (any::<u32>(), any_span()).prop_map(|(size, every)| Arrivals::Burst(Burst { size, every })),
        (any_rate(), any_rate(), any_span(), any_span(), prop::option::of(any_span()))
            .prop_map(|(base, peak, after, length, every)| Arrivals::Spike(Spike { base, peak, after, length, every })),
        (any_rate(), any_rate(), any_span(), prop::option::of(any_span()))
            .prop_map(|(low, high, period, peak)| Arrivals::Diurnal(Diurnal { low, high, period, peak })),
        (speed, offsets).prop_map(|(speed, mut offsets_us)| {
            offsets_us.sort_unstable();
            Arrivals::Trace(Trace {
                file: "a.csv".to_owned(),
                column: None,
                speed,
                offsets_us: offsets_us.into(),
                rows: None,
            })
        }),
    ]
}

fn micros(arrivals: &Arrivals, length: Duration) -> Vec<u64> {
    arrivals.offsets(length, 7, 0).map(|offset| u64::try_from(offset.as_micros()).expect("it is short")).collect()
}

proptest! {
    #[test]
    fn nothing_that_can_be_written_breaks_a_shape(arrivals in any_arrivals(), length in any_span(), seed: u64, phase: u64) {
        let length = length.duration();
        for (path, message) in arrivals.problems(length) {
            prop_assert!(path.starts_with(arrivals.name()) && !message.is_empty(), "{path}: {message}");
        }
        prop_assert!(!arrivals.describe().is_empty());
        let offsets = arrivals.offsets(length, seed, phase);
        let taken: Vec<Duration> = offsets.clone().take(300).collect();
        prop_assert!(taken.is_sorted(), "{taken:?}");
        prop_assert!(taken.iter().all(|offset| *offset < length && offset.subsec_nanos() % 1_000 == 0));
        prop_assert!(offsets.take(300).eq(taken.iter().copied()), "a clone begins at the same place");
        let again: Vec<Duration> = arrivals.offsets(length, seed, phase).take(300).collect();
        prop_assert_eq!(&again, &taken);
        if !matches!(arrivals, Arrivals::Poisson(_)) {
            let other: Vec<Duration> = arrivals.offsets(length, !seed, phase).take(300).collect();
            prop_assert_eq!(&other, &taken, "a seed has no part in it");
        }
    }

    #[test]
    fn what_is_written_is_read(arrivals in any_arrivals()) {
        let finite = !matches!(&arrivals, Arrivals::Trace(trace) if !trace.speed.is_finite());
        prop_assume!(finite);
        let text = serde_json::to_string(&arrivals).expect("it serializes");
        let read: Arrivals = serde_json::from_str(&text).expect("it reads");
        prop_assert_eq!(serde_json::to_string(&read).expect("it serializes"), text);
    }

    #[test]
    fn steady_shapes_count_exactly(
        base in per_minute(1..3_000),
        rise in 0u32..50,
        steps in 2u32..60,
        times in (0u64..20_000_000, 1u64..20_000_000, 0u64..20_000_000),
        length in 1u64..100_000_000,
    ) {
        let (after, lasts, rest) = times;
        let top = rate(&format!("{}/min", (base.per_day() / 1_440.0).round() as u32 + rise * (steps - 1)));
        let span = |micros| Span::new(Duration::from_micros(micros));
        let level = |step: u32| (base.per_day() + f64::from(step) * f64::from(rise) * 1_440.0).round() as i128;
        let stairs = (0..steps)
            .map(|step| (i128::from(length) * i128::from(step + 1) / i128::from(steps), level(step)))
            .collect::<Vec<_>>();
        let every = after + lasts + rest;
        let peaks = (0..=length / every).flat_map(|turn| {
            let begin = turn * every;
            [(begin + after, level(0)), (begin + after + lasts, level(steps - 1)), (begin + every, level(0))]
        });
        let peaks = peaks.map(|(end, rate)| (i128::from(end), rate)).collect::<Vec<_>>();
        for (arrivals, levels) in [
            (Arrivals::Constant(Constant { rate: base }), vec![(i128::from(length), level(0))]),
            (Arrivals::Stairs(Stairs { from: base, to: top, steps }), stairs),
            (
                Arrivals::Spike(Spike {
                    base,
                    peak: top,
                    after: span(after),
                    length: span(lasts),
                    every: Some(span(every)),
                }),
                peaks,
            ),
        ] {
            let count = micros(&arrivals, Duration::from_micros(length)).len() as i128;
            prop_assert_eq!(count, exact_count(&levels, i128::from(length)), "{:?}", arrivals);
        }
    }

    #[test]
    fn a_ramp_counts_exactly(from in per_minute(0..6_000), to in per_minute(0..6_000), length in 1u64..200_000_000) {
        let ramp = Arrivals::Ramp(Ramp { from, to });
        let (from, to, length_us) = (from.per_day() as i128, to.per_day() as i128, i128::from(length));
        // The integral up to half a microsecond before the end, times eight lengths.
        let half = 2 * length_us - 1;
        let area = 4 * length_us * from * half + (to - from) * half * half;
        let count = micros(&ramp, Duration::from_micros(length)).len() as i128;
        prop_assert_eq!(count, ceil_div(area, 8 * length_us * DAY));
    }

    #[test]
    fn a_diurnal_rate_has_its_integral_at_every_arrival(
        low in per_minute(0..600),
        more in 1u32..600,
        period in 1_000_000u64..600_000_000,
        peak in 0u64..1_200_000_000,
        length in 1u64..600_000_000,
    ) {
        let high = rate(&format!("{}/min", (low.per_day() / 1_440.0).round() as u32 + more));
        let span = |micros| Span::new(Duration::from_micros(micros));
        let shape = Arrivals::Diurnal(Diurnal { low, high, period: span(period), peak: Some(span(peak)) });
        let (middle, swing) = ((low.per_day() + high.per_day()) / 2.0, (high.per_day() - low.per_day()) / 2.0);
        let turn = |t: f64| std::f64::consts::TAU * (t - peak as f64) / period as f64;
        let integral = |t: f64| {
            (middle * t + swing * period as f64 / std::f64::consts::TAU * (turn(t).sin() - turn(0.0).sin())) / DAY as f64
        };
        let offsets = micros(&shape, Duration::from_micros(length));
        for (index, offset) in offsets.iter().enumerate() {
            let (before, after) = (integral(*offset as f64 - 0.51), integral(*offset as f64 + 0.51));
            let index = index as f64;
            prop_assert!(before <= index + 1e-9 && index - 1e-9 <= after, "{index} at {offset}: {before} {after}");
        }
        let total = integral(length as f64);
        prop_assert!((offsets.len() as f64 - total.ceil()).abs() <= 1.0, "{} of {total}", offsets.len());
        prop_assert!(offsets.len() as f64 >= integral(length as f64 - 0.51) - 1e-9);
    }
}

/// The integral of level after level, each until its instant, up to half a microsecond before the end, rounded up.
fn exact_count(levels: &[(i128, i128)], length: i128) -> i128 {
    let (mut area, mut begin, mut last) = (0, 0, 0);
    for (end, rate) in levels {
        let end = (*end).min(length);
        if end > begin {
            area += 2 * rate * (end - begin);
            (begin, last) = (end, *rate);
        }
    }
    ceil_div(area - last, 2 * DAY)
}

fn ceil_div(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) > 0)
}

#[test]
fn a_poisson_count_keeps_to_its_law() {
    for seed in 0..200 {
        let shape = Arrivals::Poisson(Poisson { rate: rate("10/s") });
        let offsets: Vec<Duration> = shape.offsets(Duration::from_secs(1_000), seed, 0).collect();
        let sigmas = (offsets.len() as f64 - 10_000.0) / 100.0;
        assert!(sigmas.abs() < 5.0, "seed {seed}: {} arrivals, {sigmas} sigma", offsets.len());
        // Of exponential gaps, 1/e are longer than their mean.
        let long = offsets.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_millis(100)).count();
        let sigmas = (long as f64 - 3_679.0) / 48.2;
        assert!(sigmas.abs() < 5.0, "seed {seed}: {long} long gaps, {sigmas} sigma");
    }
}

#[test]
fn another_seed_or_phase_gives_other_poisson_arrivals() {
    let shape = Arrivals::Poisson(Poisson { rate: rate("2/s") });
    let offsets = |seed, phase| shape.offsets(Duration::from_secs(60), seed, phase).collect::<Vec<_>>();
    assert_eq!(offsets(1, 0), offsets(1, 0));
    assert_ne!(offsets(1, 0), offsets(2, 0));
    assert_ne!(offsets(1, 0), offsets(1, 1));
}

/// If this fails, another machine, compiler or libm computes other instants: a journal would be replayed wrongly.
#[test]
fn instants_are_the_same_everywhere() {
    let poisson = |seed| Arrivals::Poisson(Poisson { rate: rate("7/s") }).offsets(Duration::from_secs(10_000), seed, 3);
    let diurnal = |low, high, period, peak| {
        let shape = Diurnal { low: rate(low), high: rate(high), period: Span::from_secs(period), peak };
        Arrivals::Diurnal(shape).offsets(Duration::from_secs(10_000), 0, 0)
    };
    let mut found = vec![];
    for offsets in [
        poisson(7),
        poisson(0xdead_beef),
        diurnal("1/s", "13/s", 86_400, None),
        diurnal("0/s", "14/s", 700, Some(Span::from_secs(100))),
    ] {
        let offsets: Vec<u64> = offsets.map(|offset| offset.as_micros() as u64).collect();
        let digest = offsets.iter().fold(0u64, |digest, offset| (digest ^ offset).wrapping_mul(0x0100_0000_01b3));
        found.push((offsets[..4].to_vec(), offsets.len(), digest));
    }
    let expected = [
        (vec![225_947, 307_960, 356_674, 935_183], 69_952, 6_559_286_231_908_583_180),
        (vec![40_374, 90_322, 153_169, 380_499], 69_941, 13_467_778_340_230_307_876),
        (vec![0, 1_000_000, 2_000_000, 3_000_000], 15_151, 4_760_227_446_260_757_583),
        (vec![0, 87_977, 175_921, 263_831], 71_220, 5_008_972_912_914_234_195),
    ];
    assert_eq!(found, expected);
}
