"""Decisions of the pool, without processes: who takes a run, when to fork, whom to send home."""
import unittest

import harness  # noqa: F401 (makes the package importable)
from doyen_driver import pool
from doyen_driver.pool import Pool, Run, Worker


class Decisions(unittest.TestCase):
    def setUp(self):
        self.pool = Pool(max_jobs=4, forks_at_once=2)
        self.count = 0

    def worker(self, now=0.0):
        self.count += 1
        worker = Worker(self.count, self.count)
        self.pool.workers[worker.number] = worker
        self.pool.forking += 1
        worker.pid = 1000 + self.count
        return worker, self.pool.arrived(worker, now)

    def run_of(self, key, now=0.0):
        self.count += 1
        return Run("job-%d" % self.count, "m.C", key, [key], b"", "log", now)

    def test_a_run_takes_the_worker_of_its_binaries_before_the_spare_one(self):
        first, _ = self.worker()
        self.assertIs(self.pool.take(self.run_of("a"), 0), first)
        self.pool.ended(first, 0)
        spare, _ = self.worker()
        self.assertIs(self.pool.take(self.run_of("a"), 0), first)
        self.assertIs(self.pool.take(self.run_of("b"), 0), spare)

    def test_a_waiting_run_goes_to_whoever_is_free_first(self):
        worker, _ = self.worker()
        self.pool.take(self.run_of("a"), 0)
        waiting = [self.run_of("b"), self.run_of("a")]
        for run in waiting:
            self.assertIsNone(self.pool.take(run, 0))
        self.assertIs(self.pool.ended(worker, 0), waiting[1])
        self.assertIs(self.worker()[1], waiting[0])

    def test_no_fork_for_a_queue_that_moves(self):
        worker, _ = self.worker()
        self.pool.take(self.run_of("a", 1.0), 1.0)
        for _ in range(3):
            self.pool.take(self.run_of("a", 1.0), 1.0)
        self.pool.ended(worker, 1.0)
        self.assertEqual(self.pool.forks_wanted(1.001), 0)
        self.assertEqual(self.pool.forks_wanted(1.0 + pool.STALLED_AFTER), 2)
        self.assertEqual(self.pool.forks_wanted(1.0 + pool.WAITED_TOO_LONG), 2)

    def test_a_spare_one_is_made_a_little_later(self):
        self.worker()
        self.assertEqual(self.pool.forks_wanted(0), 0)
        self.pool.take(self.run_of("a"), 0)
        self.assertEqual(self.pool.forks_wanted(0), 0)
        self.assertEqual(self.pool.forks_wanted(pool.SPARE_DELAY), 1)

    def test_beyond_the_limit_the_one_that_is_idle_for_longest_goes(self):
        workers = []
        for n in range(6):
            worker, _ = self.worker()
            self.pool.take(self.run_of("key-%d" % n), n)
            workers.append(worker)
        for n, worker in enumerate(workers):
            self.pool.ended(worker, 10.0 + n)
        self.assertEqual(self.pool.superfluous(20.0), [workers[0]])

    def test_idle_ones_go_after_a_while_but_for_a_few(self):
        workers = []
        for n in range(5):
            worker, _ = self.worker()
            self.pool.take(self.run_of("key-%d" % n), 0)
            workers.append(worker)
        for worker in workers:
            self.pool.ended(worker, 0)
        self.assertEqual(self.pool.superfluous(pool.IDLE_SECONDS + 1), workers[:5 - pool.KEEP_IDLE])

    def test_a_lost_worker_is_given_nothing(self):
        worker, _ = self.worker()
        self.pool.lost(worker)
        self.assertIsNone(self.pool.take(self.run_of("a"), 0))


if __name__ == "__main__":
    unittest.main()
