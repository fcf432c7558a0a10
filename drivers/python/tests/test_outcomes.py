"""What becomes of a job in a plain Python context: results, refusals, failures."""
import json
import os
import unittest
import zipfile

import jobs
from harness import Driver, wheel


class Outcomes(unittest.TestCase):
    """All tests share one driver: none of the outcomes may disturb it."""

    @classmethod
    def setUpClass(cls):
        cls.driver = Driver(settings={"mine": "from-url"})
        cls.addClassCleanup(cls.driver.close)
        cls.driver.ready()
        cls.wheel = wheel(cls.driver.path("binaries"), "jobs", {
            "jobs.py": jobs.SOURCE, "broken.py": jobs.DEFECT_AT_IMPORT, "package/__init__.py": "", "package/data.txt": "data",
            "package/inner.py": "from jobs import *\n"})

    def run_job(self, name, config=None, binaries=None, **more):
        return self.driver.run(name, [self.wheel] if binaries is None else binaries, config, **more)

    def result(self, expression, **more):
        kind, fields = self.run_job("jobs.Value", {"value": expression}, **more)
        self.assertEqual(kind, "finished", fields)
        return fields["result"]

    def error(self, name, config=None, binaries=None):
        kind, fields = self.run_job(name, config, binaries)
        self.assertEqual(kind, "failed", fields)
        return fields["error"]

    # ---- results

    def test_what_json_can_say_comes_back_as_it_is(self):
        for value in (None, True, False, 42, 10 ** 30, -2 ** 63, 1.0, 1e300, 1e-7, "", "zürich € 日本 😀 \"q\" \\ \n\t\x00",
                      [], {}, [1, [2, {"a": None}]], {"a": {"b": [1, 2.5, "x"]}}):
            self.assertEqual(json.dumps(self.result(repr(value))), json.dumps(value))

    def test_tuples_are_arrays_and_keys_are_strings(self):
        self.assertEqual(self.result("(1, 'two', (3.0,))"), [1, "two", [3.0]])
        self.assertEqual(self.result("{1: 'a', 2.5: 'b', True: 'c', None: 'd'}"),
                         {"1": "c", "2.5": "b", "null": "d"})

    def test_numbers_that_are_not_finite_are_null_at_any_depth(self):
        self.assertIsNone(self.result("float('nan')"))
        self.assertEqual(self.result("[1, float('inf'), {'a': (-float('inf'), 2)}]"), [1, None, {"a": [None, 2]}])

    def test_subclasses_of_the_basic_types_are_fine(self):
        self.assertEqual(self.result("__import__('collections').OrderedDict(a=1)"), {"a": 1})
        self.assertEqual(self.result("__import__('collections').namedtuple('P', 'x y')(1, 2)"), [1, 2])
        self.assertEqual(self.result("__import__('http').HTTPStatus.OK"), 200)

    def test_an_int_of_5000_digits(self):
        kind, fields = self.run_job("jobs.Value", {"value": "[10 ** 5000 * 0 + 7, 1 << 14000]"}, inline=10)
        self.assertEqual(kind, "finished", fields)
        with open(fields["result_file"]) as file:
            self.assertGreater(len(file.read()), 4200)

    def test_a_lone_surrogate_is_replaced(self):
        self.assertEqual(self.result(r"'a\ud800b'"), "a\ufffdb")

    def test_what_json_cannot_say_is_named_with_its_place(self):
        for expression, words in (
            ("{7}", ["result is", "set"]), ("b'x'", ["bytes"]), ("object()", ["object"]),
            ("[1, object()]", ["result[1]", "object"]), ("{'a': [{2}]}", ["result['a'][0]", "set"]),
            ("{(1, 2): 3}", ["key", "tuple"]), ("__import__('decimal').Decimal(1)", ["decimal.Decimal"]),
        ):
            error = self.error("jobs.Value", {"value": expression})
            for word in words:
                self.assertIn(word, error["message"])

    def test_cycles_and_abysses_fail_clearly(self):
        self.assertIn("cycle", self.error("jobs.Value", {"value": "(lambda a: a.append(a) or a)([])"})["message"])
        deep = "__import__('functools').reduce(lambda a, _: [a], range(100000), 1)"
        self.assertIn("nested too deeply", self.error("jobs.Value", {"value": deep})["message"])

    def test_a_long_result_goes_to_the_file(self):
        kind, fields = self.run_job("jobs.Value", {"value": "'ü' * 100"}, inline=100)
        self.assertEqual((kind, "result" in fields), ("finished", False))
        with open(fields["result_file"], encoding="utf-8") as file:
            self.assertEqual(json.load(file), "ü" * 100)
        self.assertEqual(self.result("'x' * 98", inline=100), "x" * 98)

    def test_a_result_of_100_mb(self):
        kind, fields = self.run_job("jobs.Value", {"value": "'x' * 100_000_000"})
        self.assertEqual((kind, os.path.getsize(fields["result_file"])), ("finished", 100_000_002))

    # ---- validation

    def test_problems_refuse_the_job(self):
        kind, fields = self.run_job("jobs.Problems")
        self.assertEqual((kind, fields["problems"]), ("rejected", ["first problem", "second probl\u00e9m"]))

    def test_none_and_empty_and_mixed_lists_are_data(self):
        for data in ("None", "[]", "[1]"):
            kind, fields = self.run_job("jobs.Data", {"value": data})
            self.assertEqual((kind, fields["result"]), ("finished", "ran with " + data))
        self.assertEqual(self.run_job("jobs.Data", {"value": "[1] + build_problems(['x'])"})[0], "finished")

    def test_a_job_is_accepted_before_it_ends(self):
        job = self.driver.submit("jobs.Sleep", [self.wheel], {"seconds": 600})
        self.driver.wait(job, ("accepted",))
        self.driver.send("cancel", job=job)
        self.assertEqual(self.driver.end_of(job)[0], "cancelled")

    # ---- what took how long

    def test_each_step_that_was_begun_is_measured(self):
        steps = ["load", "context", "validate", "run", "result"]
        for job, config, measured in (
            ("jobs.Value", {"value": "__import__('time').sleep(0.2)"}, steps), ("jobs.Problems", {}, steps[:3]),
            ("jobs.Value", {"value": "1 / 0"}, steps[:4]), ("jobs.NoSuch", {}, steps[:1]),
        ):
            spans = self.run_job(job, config)[1]["spans"]
            self.assertEqual(list(spans), measured)
            self.assertTrue(all(isinstance(us, int) and us >= 0 for us in spans.values()))
            if measured == steps:
                self.assertGreaterEqual(spans["run"], 200_000)

    # ---- what a job sees

    def test_config_is_a_tree(self):
        config = {"a": {"b": [1, {"c.d": None}]}, "x.y": True}
        self.assertEqual(self.run_job("jobs.Echo", config)[1]["result"], config)

    def test_surroundings(self):
        job = "f" * 36
        result = self.run_job("jobs.Surroundings", job=job)[1]["result"]
        self.assertEqual(result, [
            "NoneType", "JobEnvironment", job, job, None, "NoneType", "ConfigTree", "test", "from-url", True])

    def test_a_class_that_inherits_nothing_and_one_of_a_package(self):
        self.assertEqual(self.run_job("jobs.Plain")[1]["result"], 2)
        self.assertEqual(self.run_job("package.inner.Plain")[1]["result"], 2)

    # ---- failures

    def test_a_class_that_cannot_be_loaded(self):
        for name, kind, word in (
            ("jobs.NoSuchClass", "AttributeError", "NoSuchClass"), ("nosuchmodule.X", "ModuleNotFoundError", "nosuchmodule"),
            ("nodot", "JobFailure", "nodot"), (".", "JobFailure", "."), ("broken.X", "OSError", "cannot be imported"),
            ("jobs.os", "JobFailure", "module"), ("jobs.NotAJob", "JobFailure", "NotAJob"),
            ("jobs.RaisesAtStart", "RuntimeError", "no such beginning"), ("jobs.NoRunJob", "JobFailure", "run_job"),
        ):
            error = self.error(name)
            self.assertEqual(error["class"], kind, error)
            self.assertIn(word, error["message"])

    def test_what_is_raised_fails_the_job_with_phase_and_stack(self):
        for how, kind in (("raise ValueError('says no ü€')", "ValueError"), ("raise SystemExit(7)", "SystemExit"),
                          ("raise KeyboardInterrupt()", "KeyboardInterrupt"), ("open('/nosuch')", "FileNotFoundError"),
                          ("(lambda f: f(f))(lambda f: f(f))", "RecursionError")):
            for at in ("validate", "run_job"):
                error = self.error("jobs.Fails", {"at": at, "how": how})
                self.assertEqual(error["class"], kind)
                self.assertIn("in %s: %s" % (at, kind), error["message"])
                self.assertIn("jobs.py", error["stack"])
                self.assertNotIn("doyen_driver", error["stack"])

    def test_an_exception_without_a_text(self):
        self.assertIn("BadText", self.error("jobs.RaisesBadText")["message"])

    def test_the_death_of_the_process(self):
        for how, words in (("os._exit(0)", "exit code 0"), ("os._exit(3)", "exit code 3"),
                           ("os.kill(os.getpid(), 9)", "SIGKILL"), ("os.kill(os.getpid(), 11)", "SIGSEGV")):
            error = self.error("jobs.Fails", {"at": "run_job", "how": "print('last words'); " + how})
            self.assertEqual(error["class"], "WorkerExited")
            self.assertIn(words, error["message"])
            self.assertIn("last words", error["message"])

    def test_a_child_of_the_job_does_not_answer(self):
        self.assertEqual(self.run_job("jobs.Forks")[1]["result"], "parent")

    # ---- binaries

    def test_binaries_that_are_none(self):
        path = self.driver.path("binaries")
        evil = wheel(path, "evil", {"../outside.py": "x"})
        jar = wheel(path, "lib", {"A.class": "x"}, kind="Jar")
        text = dict(jar, name="text", type="Wheel", sha256="1" * 64, path=self.driver.path("driver.log"))
        bomb = wheel(path, "bomb", {"zeros": b""})
        with zipfile.ZipFile(bomb["path"], "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", b"\0" * (300 * 1024 * 1024))
        missing = dict(jar, type="Egg", sha256="2" * 64, path="/nosuch.egg")
        for binary, word in ((evil, "outside"), (jar, "Jar"), (text, "zip"), (bomb, "limits"), (missing, "nosuch")):
            self.assertIn(word, self.error("jobs.Plain", binaries=[binary])["message"])
        self.assertFalse(os.path.exists(self.driver.path("work", "unpacked", "outside.py")))

    def test_an_egg_and_two_binaries_and_a_file_beside_the_module(self):
        path = self.driver.path("binaries")
        egg = wheel(path, "jobs", {"jobs.py": jobs.SOURCE}, kind="Egg")
        lib = wheel(path, "lib", {"lib-1.data/purelib/lib.py": "X = open(__file__).read()[:1]\n"})
        kind, fields = self.run_job("jobs.Value", {"value": "__import__('lib').X"}, binaries=[egg, lib])
        self.assertEqual((kind, fields.get("result")), ("finished", "X"), fields)

    def test_the_same_module_name_in_two_wheels(self):
        path = self.driver.path("binaries")
        versions = [wheel(path, "v%d" % n, {"jobs.py": jobs.SOURCE, "version.py": "N = %d\n" % n}) for n in range(3)]
        for _ in range(2):
            given = [self.driver.submit("jobs.Value", [v], {"value": "__import__('version').N"}) for v in versions]
            self.assertEqual([self.driver.end_of(job)[1]["result"] for job in given], [0, 1, 2])

    # ---- odd input

    def test_a_config_that_nests_too_deeply(self):
        job = "d" * 36
        config = "[" * 100_000 + "]" * 100_000
        self.driver.socket.sendall(
            ('{"run":{"class":"jobs.Plain","config":{"job":%s},"job":"%s"}}\n' % (config, job)).encode())
        kind, fields = self.driver.end_of(job)
        self.assertEqual((kind, fields["error"]["class"]), ("failed", "RecursionError"))

    def test_a_config_of_100000_keys(self):
        config = {"k%d" % n: n for n in range(100_000)}
        self.assertEqual(len(self.run_job("jobs.Echo", config, inline=1 << 24)[1]["result"]), 100_000)

    def test_what_is_not_known_is_ignored(self):
        self.driver.socket.sendall(b'{"news":{"a":1}}\n[]\n7\nnot json\n{}\n')
        self.driver.send("cancel", job="no such job")
        self.assertEqual(self.result("1"), 1)


if __name__ == "__main__":
    unittest.main()
