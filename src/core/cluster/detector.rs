//! When is a silence suspicious? Phi accrual: the longer a node is silent beyond what its heartbeats were like, the less likely it is
//! that it lives; phi is the negative decimal logarithm of that chance, with the silences taken as normally distributed.
//!
//! It is reckoned in whole milliseconds, so that a replay on another machine comes to the same: not phi from the silence, but
//! the silence at which phi reaches a threshold, for which a table of fifteen quantiles is enough.
//!
//! Rejected: a fixed time-out, which is either nervous on a busy machine or slow on a quiet one. Kept from it: a most that a silence
//! may last, as the time budget must hold also where heartbeats are irregular.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{Millis, Moment};
use crate::settings::{DetectorSettings, Timing};

/// Intervals that are remembered.
const WINDOW: usize = 64;

/// For phi 1 to 15: the quantile of the normal distribution, in thousandths of a standard deviation.
const QUANTILES: [u64; 15] = [1282, 2326, 3090, 3719, 4265, 4753, 5199, 5612, 5998, 6361, 6706, 7035, 7349, 7651, 7941];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detector {
    heard: Moment,
    intervals: VecDeque<u32>,
    /// The silence that reaches the threshold. Kept, as it is asked for at each step, and changes only with what is heard.
    suspicious_after: Millis,
}

impl Detector {
    /// As if it was heard right now.
    pub fn new(now: Moment, timing: &Timing) -> Self {
        let mut new = Self { heard: now, intervals: VecDeque::new(), suspicious_after: Millis::ZERO };
        new.suspicious_after = new.silence_for(timing.detector.threshold, timing);
        new
    }

    /// A sign of life. The silence before it counts, unless it was one that had become suspicious: an outage is not what is usual.
    pub fn heard(&mut self, now: Moment, timing: &Timing) {
        if now < self.suspicious_at() {
            let interval = u32::try_from(now.since(self.heard).0).unwrap_or(u32::MAX);
            self.intervals.push_back(interval);
            if self.intervals.len() > WINDOW {
                self.intervals.pop_front();
            }
            self.suspicious_after = self.silence_for(timing.detector.threshold, timing);
        }
        self.heard = self.heard.max(now);
    }

    /// Forgives the silence until now, as it was us who did not listen.
    pub fn forgive(&mut self, now: Moment) {
        self.heard = self.heard.max(now);
    }

    /// When the silence, if it lasts, reaches the threshold.
    pub fn suspicious_at(&self) -> Moment {
        self.heard + self.suspicious_after
    }

    /// Phi, rounded down, 15 at most.
    pub fn phi(&self, now: Moment, timing: &Timing) -> u8 {
        let silence = now.since(self.heard);
        (1..=15).take_while(|phi| self.silence_for(*phi, timing) <= silence).last().unwrap_or(0)
    }

    fn silence_for(&self, phi: u8, timing: &Timing) -> Millis {
        let DetectorSettings { acceptable_pause, least_deviation, .. } = timing.detector;
        let (mean, deviation) = self.usual(timing.heartbeat);
        let deviation = deviation.max(least_deviation.0);
        let quantile = QUANTILES[usize::from(phi.clamp(1, 15)) - 1];
        let silence = Millis(mean + acceptable_pause.0 + deviation * quantile / 1000);
        silence.min(longest_silence(timing))
    }

    /// Mean and standard deviation of the intervals; the mean is not less than what the heartbeats should have.
    fn usual(&self, heartbeat: Millis) -> (u64, u64) {
        let count = self.intervals.len() as u64;
        if count == 0 {
            return (heartbeat.0, heartbeat.0 / 4);
        }
        let sum: u64 = self.intervals.iter().map(|ms| u64::from(*ms)).sum();
        let mean = sum / count;
        let square: u64 = self.intervals.iter().map(|ms| u64::from(*ms).abs_diff(mean).pow(2)).sum();
        (mean.max(heartbeat.0), (square / count).isqrt())
    }
}

/// No silence longer than this is taken for usual.
pub fn longest_silence(timing: &Timing) -> Millis {
    (timing.heartbeat + timing.detector.acceptable_pause).times(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(intervals: &[u64]) -> (Detector, Moment) {
        let (mut detector, mut now, timing) =
            (Detector::new(Moment(0), &Timing::default()), Moment(0), Timing::default());
        for ms in intervals.iter().cycle().take(200) {
            now = now + Millis(*ms);
            detector.heard(now, &timing);
        }
        (detector, now)
    }

    /// How long it takes to become suspicious, after two hundred heartbeats with these intervals.
    #[track_caller]
    fn check(intervals: &[u64], expected_ms: std::ops::Range<u64>) {
        let (detector, now) = after(intervals);
        let silence = detector.suspicious_at().since(now).0;
        assert!(expected_ms.contains(&silence), "{silence} ms");
    }

    #[test]
    fn regular_heartbeats_are_missed_soon() {
        check(&[250], 1300..1400);
    }

    #[test]
    fn irregular_heartbeats_get_more_time_but_not_more_than_the_budget() {
        check(&[150, 350], 1500..1700);
        check(&[10, 900], 2000..2001);
    }

    #[test]
    fn phi_grows_with_the_silence_and_passes_the_threshold_when_told() {
        let ((detector, now), timing) = (after(&[250]), Timing::default());
        let phis: Vec<u8> = (0..30).map(|step| detector.phi(now + Millis(step * 100), &timing)).collect();
        assert!(phis.is_sorted(), "{phis:?}");
        assert_eq!((phis[0], phis[29]), (0, 15));
        let at = detector.suspicious_at();
        assert!(detector.phi(at - Millis(1), &timing) < 8 && detector.phi(at, &timing) >= 8);
    }

    #[test]
    fn an_outage_is_not_taken_for_usual() {
        let ((mut detector, now), timing) = (after(&[250]), Timing::default());
        let before = detector.suspicious_at().since(now);
        let back = now + Millis(60_000);
        detector.heard(back, &timing);
        assert_eq!(detector.suspicious_at().since(back), before);
    }

    #[test]
    fn a_silence_that_is_our_own_fault_is_forgiven() {
        let ((mut detector, now), timing) = (after(&[250]), Timing::default());
        let woken = now + Millis(60_000);
        detector.forgive(woken);
        assert_eq!(detector.phi(woken + Millis(500), &timing), 0);
    }
}
