"""The life of the driver's processes: many jobs at once, logs, cancel, stop, and deaths that leave nothing behind."""
import os
import signal
import time
import unittest

import jobs
from harness import Driver, alive, descendants, wait_for, wheel


class Processes(unittest.TestCase):
    def start(self, **more):
        driver = Driver(**more)
        self.addCleanup(driver.close)
        driver.ready()
        self.wheel = wheel(driver.path("binaries"), "jobs", {"jobs.py": jobs.SOURCE})
        return driver

    def submit(self, driver, name, **config):
        return driver.submit("jobs." + name, [self.wheel], config)

    def result(self, driver, name, **config):
        kind, fields = driver.end_of(self.submit(driver, name, **config))
        self.assertEqual(kind, "finished", fields)
        return fields["result"]

    # ---- workers

    def test_a_worker_serves_many_jobs(self):
        driver = self.start()
        self.assertEqual(len({self.result(driver, "Pid") for _ in range(20)}), 1)

    def test_64_long_jobs_run_at_once(self):
        driver = self.start(max_jobs=64)
        given = [self.submit(driver, "Sleep", seconds=30) for _ in range(64)]
        begun = time.monotonic()
        for job in given:
            self.assertEqual(driver.wait(job, ("accepted",))[0], "accepted")
        self.assertLess(time.monotonic() - begun, 15)

    def test_a_burst_of_short_jobs(self):
        driver = self.start(max_jobs=64)
        given = [self.submit(driver, "Pid") for _ in range(640)]
        self.assertEqual({driver.end_of(job)[0] for job in given}, {"finished"})

    def test_more_binaries_than_workers(self):
        driver = self.start(max_jobs=2)
        wheels = [wheel(driver.path("binaries"), "w", {"jobs.py": jobs.SOURCE, "n.py": str(n)}) for n in range(6)]
        for _ in range(2):
            for binary in wheels:
                self.assertEqual(driver.run("jobs.Plain", [binary])[1]["result"], 2)
        wait_for(lambda: len(descendants(driver.process.pid)) <= 4, what="idle workers to go: zygote, 2 and a spare")

    def test_a_thread_that_a_job_left_ends_in_peace_and_its_worker_with_it(self):
        driver = self.start()
        file = driver.path("late")
        pid = self.result(driver, "LeavesThread", file=file)
        self.assertNotEqual(self.result(driver, "Pid"), pid)
        wait_for(lambda: os.path.exists(file), what="the thread's work")
        wait_for(lambda: not alive([pid]), what="the worker's end")

    def test_what_a_job_does_to_its_process_is_undone(self):
        driver = self.start()
        job = self.submit(driver, "Meddles")
        self.assertEqual(driver.end_of(job)[0], "finished")
        self.assertEqual(driver.log(job), "meddling\n")
        job = self.submit(driver, "Prints")
        self.assertEqual(driver.end_of(job)[0], "finished")
        self.assertIn("a line on stderr", driver.log(job))

    # ---- logs

    def test_output_of_a_job_is_its_own_log(self):
        driver = self.start()
        job = self.submit(driver, "Prints")
        self.assertEqual(driver.end_of(job)[0], "finished")
        text = driver.log(job)
        for line in ("a line on stdout\n", "a line on stderr\n", "WARNING:mine:a warning\n", "from a child\n", "zürich "):
            self.assertIn(line, text)
        self.assertTrue(text.endswith("no newline"))

    def test_a_silent_job_leaves_no_log(self):
        driver = self.start()
        for _ in range(5):
            self.result(driver, "Pid")
        self.assertEqual([n for n in os.listdir(driver.path("logs")) if not n.startswith(".")], [])

    def test_a_log_that_exists_is_extended(self):
        driver = self.start()
        job = "a" * 36
        with open(driver.log_path(job), "w") as file:
            file.write("before\n")
        driver.run("jobs.Value", [self.wheel], {"value": "print('after')"}, job=job)
        self.assertEqual(driver.log(job), "before\nafter\n")

    def test_output_is_visible_while_the_job_runs_and_a_cut_log_goes_on(self):
        driver = self.start()
        job = self.submit(driver, "PrintsAndWaits")
        wait_for(lambda: os.path.exists(driver.log_path(job)) and driver.log(job) == "visible\n", what="the line")
        driver.send("cancel", job=job)
        self.assertEqual(driver.end_of(job)[0], "cancelled")
        self.assertEqual(driver.log(job), "visible\n")

    def test_a_child_that_was_left_does_not_write_into_the_next_log(self):
        driver = self.start()
        self.result(driver, "LeavesChild")
        job = self.submit(driver, "Value", value="print('mine') or time.sleep(0.6)")
        self.assertEqual(driver.end_of(job)[0], "finished")
        self.assertEqual(driver.log(job), "mine\n")

    # ---- cancel

    def test_cancel_kills_the_job_with_all_that_it_started(self):
        driver = self.start()
        file = driver.path("pids")
        job = self.submit(driver, "Tree", file=file)
        wait_for(lambda: os.path.exists(file), what="the job's children")
        with open(file) as opened:
            pids = [int(pid) for pid in opened.read().split()]
        # Worker, sleep, shell, and the shell's two, which it starts after the job has told its process id.
        wait_for(lambda: len(descendants(pids[0])) == 4, what="the children of the job's children")
        everything = set(pids) | descendants(pids[0])
        driver.send("cancel", job=job)
        self.assertEqual(driver.end_of(job)[0], "cancelled")
        self.assertEqual(alive(everything), [])
        self.assertIsInstance(self.result(driver, "Pid"), int)

    def test_cancel_of_a_job_that_waits_for_a_worker(self):
        driver = self.start(max_jobs=64)
        given = [self.submit(driver, "Sleep", seconds=60) for _ in range(64)]
        for job in given:
            driver.send("cancel", job=job)
        self.assertEqual({driver.end_of(job)[0] for job in given}, {"cancelled"})
        self.assertIsInstance(self.result(driver, "Pid"), int)

    # ---- the end

    def test_stop_waits_for_what_runs(self):
        driver = self.start()
        job = self.submit(driver, "Sleep", seconds=0.5)
        driver.send("stop", graceful=True, grace_ms=20_000)
        self.assertEqual(driver.end_of(job)[0], "finished")
        self.assertEqual(driver.receive()[0], "bye")
        self.assertEqual(driver.process.wait(10), 0)

    def test_stop_cancels_what_runs_longer_than_the_grace(self):
        for graceful in (True, False):
            driver = self.start()
            job = self.submit(driver, "Sleep", seconds=100)
            driver.wait(job, ("accepted",))
            pids = descendants(driver.process.pid)
            driver.send("stop", graceful=graceful, grace_ms=100)
            self.assertEqual(driver.end_of(job)[0], "cancelled")
            self.assertEqual(driver.receive()[0], "bye")
            self.assertEqual(driver.process.wait(10), 0)
            self.assertEqual(alive(pids), [])

    def busy(self):
        """A driver with a job that has children; its processes."""
        driver = self.start()
        file = driver.path("pids")
        self.submit(driver, "Tree", file=file)
        wait_for(lambda: os.path.exists(file), what="the job's children")
        return driver, descendants(driver.process.pid)

    def test_end_of_file_leaves_no_process(self):
        driver, pids = self.busy()
        driver.socket.close()
        driver.process.wait(10)
        self.assertEqual(alive(pids), [])

    def test_a_killed_main_leaves_no_worker(self):
        driver, _ = self.busy()
        with open(driver.path("pids")) as file:
            worker = int(file.read().split()[0])
        pids = {worker} | {p for p in descendants(driver.process.pid) if p not in descendants(worker)}
        left = descendants(worker)
        driver.process.kill()
        driver.process.wait()
        try:
            wait_for(lambda: not alive(pids), what="zygote and workers to end")
        finally:
            for pid in left:  # what a job started is the shim's to find
                os.kill(pid, signal.SIGKILL)

    def test_sigterm_ends_the_driver_and_all_below(self):
        driver, pids = self.busy()
        driver.process.terminate()
        driver.process.wait(10)
        self.assertEqual(alive(pids), [])


class Unable(unittest.TestCase):
    def unable(self, **more):
        with Driver(**more) as driver:
            kind, fields = driver.receive()
            self.assertEqual(kind, "unable", fields)
            self.assertNotEqual(driver.process.wait(10), 0)
            return fields["message"]

    def test_an_unknown_context_factory_is_named(self):
        message = self.unable(settings={"context-factory": "com.example.Mine"})
        self.assertIn("com.example.Mine", message)
        self.assertIn("python", message)

    def test_an_unknown_kind(self):
        self.assertIn("cobol", self.unable(kind="cobol"))


if __name__ == "__main__":
    unittest.main()
