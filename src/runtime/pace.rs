//! A state that lasts is logged once, and then at a pace: what logs it is tried again much more often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// After the first time; each further pause is twice as long.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);
/// States that are known at once.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub struct Pace(HashMap<String, Told>);

#[derive(Debug)]
struct Told {
    when: Instant,
    /// Until it is told again.
    pause: Duration,
    seen: Instant,
    left_out: u64,
}

impl Pace {
    /// Whether this is to be told now: `Some` is how often it was not since it was told last. A state that has not been seen for as
    /// long as it would not be told again is a new one.
    pub fn tells(&mut self, state: &str, now: Instant) -> Option<u64> {
        if let Some(told) = self.0.get_mut(state) {
            let unseen = now.saturating_duration_since(told.seen);
            told.seen = now;
            if unseen > told.pause {
                (told.when, told.pause) = (now, SHORTEST);
                return Some(std::mem::take(&mut told.left_out));
            }
            if now.saturating_duration_since(told.when) < told.pause {
                told.left_out += 1;
                return None;
            }
            (told.when, told.pause) = (now, (told.pause * 2).min(LONGEST));
            return Some(std::mem::take(&mut told.left_out));
        }
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, told)| told.seen).map(|(state, _)| state.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(state.to_owned(), Told { when: now, pause: SHORTEST, seen: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn what_lasts_is_told_at_once_then_more_and_more_seldom_down_to_each_minute() {
        let (begin, mut pace) = (clock::instant(), Pace::default());
        let told: Vec<(u64, u64)> = (0..400)
            .filter_map(|second| Some((second, pace.tells("away", begin + Duration::from_secs(second))?)))
            .collect();
        assert_eq!(told[..4], [(0, 0), (5, 4), (15, 9), (35, 19)]);
        assert_eq!(told[4..], [(75, 39), (135, 59), (195, 59), (255, 59), (315, 59), (375, 59)]);
    }

    #[test]
    fn another_state_and_one_that_comes_back_later_are_told_at_once() {
        let (begin, mut pace) = (clock::instant(), Pace::default());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!([pace.tells("a", at(0)), pace.tells("b", at(1)), pace.tells("a", at(2))], [Some(0), Some(0), None]);
        assert_eq!(pace.tells("a", at(8)), Some(1));
        assert_eq!(pace.tells("b", at(9)), Some(0));
    }

    #[test]
    fn states_that_are_always_new_are_forgotten() {
        let (begin, mut pace) = (clock::instant(), Pace::default());
        for n in 0..1000_u32 {
            assert_eq!(pace.tells(&n.to_string(), begin + Duration::from_millis(n.into())), Some(0));
        }
        assert_eq!(pace.0.len(), MOST);
    }
}
