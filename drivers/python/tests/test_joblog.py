"""Logs of jobs that follow each other in one worker, whoever makes them visible, and when."""
import os
import subprocess
import sys
import tempfile
import unittest

import harness  # noqa: F401 (makes the package importable)
import doyen_driver

# In a process of its own, as it turns descriptors 1 and 2 away. `show` stands for main, which need not wait for the worker.
WORKER = """
import os, sys
from doyen_driver.joblog import JobLog, scratch_path, show

directory, log = sys.argv[1], JobLog()

def run(name, text, early=False, late=False):
    path = os.path.join(directory, name)
    if early:
        show(scratch_path(directory, os.getpid()), path)
    log.begin(path)
    if late:
        show(scratch_path(directory, os.getpid()), path)
    sys.stdout.write(text)
    log.end()

"""


class Logs(unittest.TestCase):
    def logs(self, *calls):
        """What stands in the logs afterwards, by name."""
        package = os.path.dirname(os.path.dirname(doyen_driver.__file__))
        with tempfile.TemporaryDirectory() as directory:
            script = WORKER + "\n".join(calls) + "\nlog.close()\n"
            subprocess.run([sys.executable, "-c", script, directory], check=True, timeout=60,
                           env=dict(os.environ, PYTHONPATH=package))
            found = {}
            for name in os.listdir(directory):
                with open(os.path.join(directory, name)) as file:
                    found[name] = file.read()
            return found

    def test_each_log_has_the_words_of_its_own_job_when_main_shows_it_before_the_worker_begins(self):
        found = self.logs("run('a', '')", "run('b', 'of b', early=True)", "run('c', 'of c', early=True)",
                          "run('d', 'of d', early=True)")
        self.assertEqual(found, {"b": "of b", "c": "of c", "d": "of d"})

    def test_each_log_has_the_words_of_its_own_job_when_main_shows_it_while_the_job_runs(self):
        found = self.logs("run('a', 'of a', late=True)", "run('b', '')", "run('c', 'of c', late=True)", "run('d', 'of d')")
        self.assertEqual(found, {"a": "of a", "c": "of c", "d": "of d"})

    def test_a_job_that_comes_again_extends_its_log(self):
        found = self.logs("run('a', 'first, ')", "run('b', '')", "run('a', 'second', early=True)", "run('c', 'of c')")
        self.assertEqual(found, {"a": "first, second", "c": "of c"})


if __name__ == "__main__":
    unittest.main()
