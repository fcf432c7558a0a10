//! A node's own clock: begins anywhere, runs a little faster or slower than true time, leaps, and may stand still with its machine.

use doyen_cluster::ids::Moment;

#[derive(Debug, Clone)]
pub struct Clock {
    /// True time and shown time when its course last changed.
    since_us: u64,
    shown_us: u64,
    drift_ppm: i64,
    stopped: bool,
}

impl Clock {
    pub fn new(shown_ms: u64, drift_ppm: i64) -> Self {
        Self { since_us: 0, shown_us: shown_ms * 1000, drift_ppm, stopped: false }
    }

    fn shown(&self, true_us: u64) -> u64 {
        if self.stopped {
            return self.shown_us;
        }
        let passed = (true_us - self.since_us) as i64;
        self.shown_us + (passed + passed * self.drift_ppm / 1_000_000) as u64
    }

    pub fn read(&self, true_us: u64) -> Moment {
        Moment(self.shown(true_us) / 1000)
    }

    /// The true time at which it shows this moment; none while it stands.
    pub fn when(&self, moment_ms: u64) -> Option<u64> {
        if self.stopped {
            return None;
        }
        let ahead = (moment_ms * 1000).saturating_sub(self.shown_us);
        let passed = u128::from(ahead) * 1_000_000 / (1_000_000 + self.drift_ppm) as u128;
        // Rounded up, so that it does show it then.
        Some(self.since_us + passed as u64 + 2)
    }

    fn settle(&mut self, true_us: u64) {
        self.shown_us = self.shown(true_us);
        self.since_us = true_us;
    }

    pub fn leap(&mut self, true_us: u64, ms: u64) {
        self.settle(true_us);
        self.shown_us += ms * 1000;
    }

    pub fn drift(&mut self, true_us: u64, ppm: i64) {
        self.settle(true_us);
        self.drift_ppm = ppm.clamp(-500_000, 500_000);
    }

    pub fn drift_ppm(&self) -> i64 {
        self.drift_ppm
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub fn stop(&mut self, true_us: u64, stopped: bool) {
        self.settle(true_us);
        self.stopped = stopped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_moment_when_it_says_it_will() {
        for ppm in [-300_000, -137, 0, 200, 400_000] {
            let mut clock = Clock::new(3_600_000, ppm);
            clock.leap(5_000_000, 777);
            let now = clock.read(6_000_000);
            for ahead in [1, 249, 10_000] {
                let then = clock.when(now.0 + ahead).unwrap();
                assert!(clock.read(then).0 >= now.0 + ahead, "{ppm} ppm");
                assert!(clock.read(then.saturating_sub(2000)).0 <= now.0 + ahead, "{ppm} ppm");
            }
        }
    }

    #[test]
    fn a_clock_that_stands_shows_the_same_and_goes_on_from_there() {
        let mut clock = Clock::new(0, 0);
        clock.stop(1_000_000, true);
        assert_eq!((clock.read(9_000_000), clock.when(2000)), (Moment(1000), None));
        clock.stop(9_000_000, false);
        assert_eq!(clock.read(9_500_000), Moment(1500));
    }
}
