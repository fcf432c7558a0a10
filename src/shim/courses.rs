//! How long each job was fetched, in the driver, and settled: what its terminal message tells beside the driver's own spans.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::api::driver::{Spans, bounded};

#[derive(Debug, Default)]
struct Course {
    /// When the step began that it is in.
    began: Option<Instant>,
    in_driver: bool,
    spans: Spans,
}

#[derive(Debug, Default)]
pub struct Courses(HashMap<String, Course>);

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Courses {
    pub fn fetching(&mut self, job: &str, now: Instant) {
        self.0.entry(job.to_owned()).or_default().began = Some(now);
    }

    pub fn given_to_driver(&mut self, job: &str, now: Instant) {
        let course = self.0.entry(job.to_owned()).or_default();
        course.end_step("fetch", now);
        course.in_driver = true;
    }

    /// The driver's own, with its terminal message.
    pub fn measured(&mut self, job: &str, spans: Spans) {
        if let Some(course) = self.0.get_mut(job) {
            course.spans.extend(bounded(spans));
        }
    }

    pub fn settling(&mut self, job: &str, now: Instant) {
        if let Some(course) = self.0.get_mut(job) {
            let step = if course.in_driver { "driver" } else { "fetch" };
            course.end_step(step, now);
            course.in_driver = false;
        }
    }

    pub fn settled(&mut self, job: &str, now: Instant) -> Option<Spans> {
        let mut course = self.0.remove(job)?;
        course.end_step("settle", now);
        Some(course.spans)
    }
}

impl Course {
    fn end_step(&mut self, name: &str, now: Instant) {
        if let Some(began) = self.began.replace(now) {
            self.spans.insert(name.to_owned(), us(now.saturating_duration_since(began)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn told(spans: Option<Spans>) -> Vec<(String, u64)> {
        spans.unwrap().into_iter().map(|(name, us)| (name, us / 1000)).collect()
    }

    #[test]
    fn each_step_is_measured_and_the_drivers_own_are_added() {
        let (mut courses, t0) = (Courses::default(), clock::instant());
        courses.fetching("1", t0);
        courses.given_to_driver("1", at(t0, 5));
        courses.measured("1", Spans::from([("run".into(), 7000)]));
        courses.settling("1", at(t0, 15));
        let expected = [("driver", 10), ("fetch", 5), ("run", 7), ("settle", 3)];
        let expected = expected.map(|(name, ms)| (name.to_owned(), ms));
        assert_eq!(told(courses.settled("1", at(t0, 18))), expected);
        assert!(courses.settled("1", t0).is_none());
    }

    #[test]
    fn a_job_that_needs_nothing_is_not_fetched_and_one_that_gets_nothing_not_in_the_driver() {
        let (mut courses, t0) = (Courses::default(), clock::instant());
        courses.given_to_driver("1", t0);
        courses.settling("1", at(t0, 2));
        assert_eq!(told(courses.settled("1", at(t0, 2))), [("driver".to_owned(), 2), ("settle".to_owned(), 0)]);
        courses.fetching("2", t0);
        courses.settling("2", at(t0, 4));
        assert_eq!(told(courses.settled("2", at(t0, 4))), [("fetch".to_owned(), 4), ("settle".to_owned(), 0)]);
    }
}
