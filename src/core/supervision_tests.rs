//! Scenarios of supervision.

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FENCE_WAIT: Duration = seconds(660);

fn away(shim_alive: bool, away: u64) -> Sight {
    Sight { attached: false, shim_alive, away_for: Some(seconds(away)) }
}

fn supervised() -> Life {
    Life { supervise: true, max_restarts: 3, restart_backoff_ms: 1000, ..Life::default() }
}

fn loss(state: ContextState, restarts: u32) -> Loss {
    Loss { state, restarts, ran_for: seconds(1), healthy_after: seconds(600), wanted: true }
}

fn attempts(count: u32) -> Vec<JobAttempt> {
    let attempt =
        |attempt| JobAttempt { attempt, node: "n".into(), started_ms: 0, ended_ms: 1, why: "lost".into(), log: None };
    (1..=count).map(attempt).collect()
}

#[test]
fn an_attached_driver_is_waited_for() {
    let sight = Sight { attached: true, shim_alive: false, away_for: None };
    assert_eq!(fence(sight, Relaunch::AtOnce, FENCE_WAIT), Fence::Wait);
}

#[test]
fn a_shim_that_lives_may_come_back_until_the_fence_wait_is_over() {
    assert_eq!(fence(away(true, 660), Relaunch::WhenDead, FENCE_WAIT), Fence::Wait);
    assert_eq!(fence(away(true, 661), Relaunch::WhenDead, FENCE_WAIT), Fence::Kill { surely: true });
}

#[test]
fn a_shim_that_is_gone_is_over_only_when_nothing_of_its_driver_is_left() {
    assert_eq!(fence(away(false, 0), Relaunch::WhenDead, FENCE_WAIT), Fence::Kill { surely: false });
    assert_eq!(fence(away(false, 661), Relaunch::WhenDead, FENCE_WAIT), Fence::Kill { surely: true });
}

#[test]
fn at_once_does_not_wait_for_the_fence_but_for_a_shim_that_looks_for_its_server() {
    assert_eq!(fence(away(true, 20), Relaunch::AtOnce, FENCE_WAIT), Fence::Wait);
    assert_eq!(fence(away(true, 21), Relaunch::AtOnce, FENCE_WAIT), Fence::Kill { surely: true });
    assert_eq!(fence(away(false, 0), Relaunch::AtOnce, FENCE_WAIT), Fence::Kill { surely: true });
}

#[test]
fn a_driver_that_never_came_and_whose_shim_is_gone_is_over() {
    let sight = Sight { attached: false, shim_alive: false, away_for: None };
    assert_eq!(fence(sight, Relaunch::WhenDead, FENCE_WAIT), Fence::Kill { surely: false });
}

#[test]
fn a_supervised_context_is_restarted_so_often_with_more_and_more_time_between() {
    let decided: Vec<_> = (0..4).map(|n| after_loss(loss(ContextState::Running, n), &supervised())).collect();
    let relaunch = |after, restarts| AfterLoss::Relaunch { after: seconds(after), restarts };
    assert_eq!(decided, [relaunch(1, 1), relaunch(2, 2), relaunch(4, 3), AfterLoss::GiveUp { restarts: 3 }]);
}

#[test]
fn good_health_makes_restarts_forgotten() {
    let well = Loss { ran_for: seconds(600), ..loss(ContextState::Running, 3) };
    assert_eq!(after_loss(well, &supervised()), AfterLoss::Relaunch { after: seconds(1), restarts: 1 });
}

#[test]
fn a_restart_that_fails_counts_too() {
    let failed = Loss { ran_for: Duration::ZERO, ..loss(ContextState::Restarting, 1) };
    assert_eq!(after_loss(failed, &supervised()), AfterLoss::Relaunch { after: seconds(2), restarts: 2 });
}

#[test]
fn not_restarted_is_what_starts_or_stops_or_is_not_supervised_or_has_lost_its_one_job() {
    for state in [ContextState::Started, ContextState::Stopping] {
        assert_eq!(after_loss(loss(state, 0), &supervised()), AfterLoss::End);
    }
    assert_eq!(after_loss(loss(ContextState::Running, 0), &Life::default()), AfterLoss::End);
    let unwanted = Loss { wanted: false, ..loss(ContextState::Running, 0) };
    assert_eq!(after_loss(unwanted, &supervised()), AfterLoss::End);
}

#[test]
fn backoff_doubles_and_is_bounded_however_often() {
    let texts: Vec<u64> = [0, 1, 5, 31, 32, u32::MAX].map(|n| backoff(seconds(5), n).as_secs()).into();
    assert_eq!(texts, [5, 10, 160, 300, 300, 300]);
    assert_eq!(backoff(seconds(1000), 7), seconds(1000));
    assert_eq!(backoff(Duration::ZERO, 7), Duration::ZERO);
}

#[test]
fn a_lost_job_runs_again_as_often_as_was_asked_for() {
    let retry = Retry { retries: 2, backoff_ms: 1000, on: RetryOn::Loss };
    let after: Vec<_> = (0..3).map(|n| retry.after_loss(&attempts(n))).collect();
    assert_eq!(after, [Some(seconds(1)), Some(seconds(2)), None]);
    assert_eq!(Retry::default().after_loss(&[]), None);
}

#[test]
fn a_job_that_failed_by_itself_runs_again_only_when_any_end_is_to_be_retried() {
    let retry = |on| Retry { retries: 1, backoff_ms: 0, on };
    assert_eq!(retry(RetryOn::Loss).after_failure(&[]), None);
    assert_eq!(retry(RetryOn::Any).after_failure(&[]), Some(Duration::ZERO));
    assert_eq!(retry(RetryOn::Any).after_failure(&attempts(1)), None);
}

#[test]
fn an_idle_context_expires_a_busy_one_only_by_age() {
    let life = Life { idle_timeout_ms: 10_000, max_lifetime_ms: 60_000, ..Life::default() };
    let used = |busy, idle, age| expiry(Use { busy, idle_for: seconds(idle), age: seconds(age) }, &life);
    assert_eq!(used(false, 9, 59), None);
    assert_eq!(used(false, 10, 59), Some(Expiry::Idle));
    assert_eq!(used(true, 10, 59), None);
    assert_eq!(used(true, 0, 60), Some(Expiry::Old));
    let never = Use { busy: false, idle_for: seconds(1 << 40), age: seconds(1 << 40) };
    assert_eq!(expiry(never, &Life::default()), None);
}

#[test]
fn an_age_does_not_see_the_wall_clock_step_within_a_boot() {
    let at = |boot: &str, boot_ms| Birth { boot_id: boot.into(), boot_ms };
    let hour = 3_600_000;
    for step in [-hour, 0, hour] {
        assert_eq!(age_ms(Some(&at("a", 1000)), Some(&at("a", 3000)), 0, step), 2000);
    }
    // Another boot, or none known: the wall clock, which never makes it older than young.
    assert_eq!(age_ms(Some(&at("a", 9000)), Some(&at("b", 10)), 0, 5000), 5000);
    assert_eq!(age_ms(None, Some(&at("b", 10)), 5000, 0), 0);
}
