//! What a plan may say that comes from a file or a terminal: within these limits each plan can be run.

use doyen_cluster::changes::Newcomer;
use doyen_cluster::ids::{ClusterId, NodeId};
use doyen_cluster::mutations::Broken;
use doyen_cluster::settings::Settings;
use doyen_cluster::versions::Versions;

use crate::faults::Fault;
use crate::plan::{HostPlan, MOST_HOSTS, Noise, Plan, StoreNoise, name};

/// Messages of the past that come again, at most.
pub const MOST_MESSAGES: u32 = 100_000;
/// How often a link may flap.
pub const MOST_TIMES: u32 = 1000;

const MOST_FAULTS: usize = 10_000;
const DAY_MS: u64 = 86_400_000;
/// What clocks show at most: some thirty years.
const MOST_SHOWN_MS: u64 = 1_000_000_000_000;
const MOST_DRIFT_PPM: i64 = 500_000;
const MINUTE_US: u64 = 60_000_000;

type Checked = Result<(), String>;

impl Plan {
    /// # Errors
    /// What is wrong with a plan that was written by hand.
    pub fn validate(&self) -> Checked {
        if self.hosts.is_empty() || self.hosts.len() > MOST_HOSTS {
            return Err(format!("{} hosts; there are 1 to {MOST_HOSTS}", self.hosts.len()));
        }
        if self.survive_from_ms.is_some() && self.hosts.len() < 2 {
            return Err("one node does not survive all".into());
        }
        if self.broken != Broken::default() && !cfg!(feature = "mutations") {
            return Err("it breaks a mechanism on purpose, which only tests can".into());
        }
        if self.faults.len() > MOST_FAULTS {
            return Err(format!("{} faults; {MOST_FAULTS} at most", self.faults.len()));
        }
        for (what, ms) in [
            ("end_ms", Some(self.end_ms)),
            ("heal_ms", self.heal_ms),
            ("owner_within_ms", Some(self.owner_within_ms)),
            ("well_within_ms", Some(self.well_within_ms)),
            ("survive_from_ms", self.survive_from_ms),
        ] {
            within_a_day(what, ms.unwrap_or(0))?;
        }
        self.noise.validate()?;
        self.store.validate()?;
        for (no, host) in self.hosts.iter().enumerate() {
            host.validate().map_err(|why| format!("host {}: {why}", name(no)))?;
            self.settings_of(host).validate().map_err(|bad| bad.to_string())?;
        }
        self.faults.iter().try_for_each(|timed| {
            within_a_day("a fault's at_ms", timed.at_ms)?;
            self.fault(&timed.fault).map_err(|why| format!("{}: {why}", timed.fault))
        })
    }

    fn fault(&self, fault: &Fault) -> Checked {
        if let Some(host) = fault.hosts().into_iter().find(|host| *host >= self.hosts.len()) {
            return Err(format!("there is no {} among {} hosts", name(host), self.hosts.len()));
        }
        match fault {
            Fault::Flap { every_ms, times, .. } if !(1..=DAY_MS).contains(every_ms) || *times > MOST_TIMES => {
                Err(format!("a link flaps {MOST_TIMES} times at most, each 1 ms or longer"))
            }
            Fault::Replay { count, .. } if *count > MOST_MESSAGES => Err(format!("{MOST_MESSAGES} messages at most")),
            Fault::ClockJump { ms, .. } | Fault::SessionsLinger { ms } => within_a_day("ms", *ms),
            Fault::ClockDrift { ppm, .. } if ppm.unsigned_abs() > MOST_DRIFT_PPM.unsigned_abs() => {
                Err(format!("{MOST_DRIFT_PPM} at most"))
            }
            Fault::Noise { noise, .. } => noise.validate(),
            Fault::StoreNoise { noise, .. } => noise.validate(),
            _ => Ok(()),
        }
    }

    fn settings_of(&self, host: &HostPlan) -> Settings {
        Settings {
            cluster: "simulated".into(),
            me: Newcomer {
                id: NodeId::new(&host.name, 1),
                address: "a:1".into(),
                roles: Vec::new(),
                versions: Versions { major: 0, minor: 1, protocol: 1, store: 1 },
            },
            seeds: Vec::new(),
            new_cluster_id: ClusterId::from("simulated"),
            timing: self.timing.clone(),
            keep_oldest: self.keep_oldest.clone(),
            exclusive_store: false,
            broken: self.broken,
        }
    }
}

fn within_a_day(what: &str, ms: u64) -> Checked {
    if ms > DAY_MS { Err(format!("{what}: {ms} ms are more than a day")) } else { Ok(()) }
}

fn within_a_minute(what: &str, us: u64) -> Checked {
    if us > MINUTE_US { Err(format!("{what}: {us} µs are more than a minute")) } else { Ok(()) }
}

impl HostPlan {
    fn validate(&self) -> Checked {
        within_a_day("start_ms", self.start_ms.unwrap_or(0))?;
        within_a_day("restart_ms", self.restart_ms.unwrap_or(0))?;
        if self.clock_ms > MOST_SHOWN_MS {
            return Err(format!("clock_ms: {MOST_SHOWN_MS} at most"));
        }
        if self.drift_ppm.unsigned_abs() > MOST_DRIFT_PPM.unsigned_abs() {
            return Err(format!("drift_ppm: {MOST_DRIFT_PPM} at most"));
        }
        Ok(())
    }
}

impl Noise {
    fn validate(&self) -> Checked {
        within_a_minute("delay_us", self.delay_us)?;
        within_a_minute("jitter_us", self.jitter_us)
    }
}

impl StoreNoise {
    fn validate(&self) -> Checked {
        within_a_minute("delay_us", self.delay_us)?;
        within_a_day("late_ms", self.late_ms)?;
        within_a_day("lag_ms", self.lag_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TimedFault;

    #[track_caller]
    fn refused(why: &str, change: impl FnOnce(&mut Plan)) {
        let mut plan = Plan::calm(1, 3);
        change(&mut plan);
        let told = plan.validate().expect_err("it cannot be run");
        assert!(told.contains(why), "{told}");
    }

    #[test]
    fn what_seeds_make_can_be_run() {
        for seed in 0..500 {
            assert_eq!(crate::schedule::plan(seed).validate(), Ok(()), "seed {seed}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_told() {
        refused("0 hosts", |plan| plan.hosts.clear());
        refused("more than a day", |plan| plan.end_ms = u64::MAX);
        refused("heartbeat", |plan| plan.timing.heartbeat.0 = 0);
        refused("host C: drift_ppm", |plan| plan.hosts[2].drift_ppm = -1_000_000);
        refused("is no name", |plan| plan.hosts[0].name = "a b".into());
        refused("no D among 3", |plan| {
            plan.faults.push(TimedFault { at_ms: 0, fault: Fault::Leave { node: 3 } });
        });
        refused("500000 at most", |plan| {
            let fault = Fault::ClockDrift { node: 0, ppm: -600_000 };
            plan.faults.push(TimedFault { at_ms: 0, fault });
        });
        refused("flaps 1000 times", |plan| {
            let fault = Fault::Flap { links: vec![(0, 1)], every_ms: 0, times: 3 };
            plan.faults.push(TimedFault { at_ms: 0, fault });
        });
    }
}
