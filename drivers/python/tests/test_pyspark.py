"""The driver of kind pyspark against a real Spark. `DOYEN_PYSPARK_PYTHON` names a Python that has pyspark."""
import ipaddress
import os
import struct
import subprocess
import sys
import unittest

from harness import PACKAGE, Driver, alive, binary, descendants, wait_for, wheel

SPARK_JOBS = r'''
import os, sys, time
from sparkjobserver.api import SparkJob, build_problems


class Base(SparkJob):
    def validate(self, context, runtime, config):
        return config


class Value(Base):
    def run_job(self, context, runtime, data):
        return eval(data.get_string("value"))


class WordCount(Base):
    def validate(self, context, runtime, config):
        return config.get("input.strings", None) or build_problems(["config input.strings not found"])

    def run_job(self, context, runtime, data):
        pairs = context.sparkContext.parallelize(list(data), 2).flatMap(lambda s: s.split(" ")).map(lambda w: (w, 1))
        return dict(pairs.reduceByKey(lambda a, b: a + b).collect())


class SqlSum(Base):
    def run_job(self, context, runtime, data):
        frame = context.createDataFrame([(i, i * i) for i in range(10)], ["n", "square"])
        return frame.groupBy().sum("square").collect()[0][0]


class Rows(Base):
    def run_job(self, context, runtime, data):
        return context.createDataFrame([(1, "a")], ["n", "s"]).collect()


class SparkFails(Base):
    def run_job(self, context, runtime, data):
        def boom(x):
            raise ValueError("task says no")
        return context.sparkContext.parallelize([1], 1).map(boom).collect()


class Accumulates(Base):
    def run_job(self, context, runtime, data):
        total = context.sparkContext.accumulator(0)
        context.sparkContext.parallelize(range(100), 2).foreach(lambda n: total.add(n))
        return total.value


class MakesView(Base):
    def run_job(self, context, runtime, data):
        context.range(7).createOrReplaceTempView("shared_view")
        return os.getpid()


class ReadsView(Base):
    def run_job(self, context, runtime, data):
        return [os.getpid(), context.table("shared_view").count()]


class Stops(Base):
    def run_job(self, context, runtime, data):
        from pyspark.sql import SparkSession
        same = SparkSession.builder.getOrCreate()._jsparkSession.equals(context._jsparkSession)
        context.sparkContext.stop()
        context.stop()
        return same


class Exits(Base):
    def run_job(self, context, runtime, data):
        os._exit(5)


def slow(n):
    time.sleep(1000)


class Slow(Base):
    def run_job(self, context, runtime, data):
        context.sparkContext.parallelize([1, 2], 2).foreach(slow)


class AsksOnAndOn(Base):
    def run_job(self, context, runtime, data):
        while True:
            context.sparkContext._jsc.sc().isStopped()


class StopsSpark(Base):
    """Past pyspark, as a cluster does it."""
    def run_job(self, context, runtime, data):
        context.sparkContext._jsc.sc().stop()
        return context.range(3).count()


class ByVersion(Base):
    """A function of a module that is imported on the executors."""
    def run_job(self, context, runtime, data):
        import version
        return sorted(set(context.sparkContext.parallelize(range(8), 4).map(version.tell).collect()))


class Own(Base):
    def build_context(self, gateway, jvm_context, spark_conf):
        from pyspark import SparkContext

        class Mine(SparkContext):
            def hello(self):
                return "hello from " + self.appName
        return Mine(gateway=gateway, jsc=jvm_context, conf=spark_conf)

    def run_job(self, context, runtime, data):
        return [context.hello(), context.parallelize([1, 2, 3]).sum()]
'''

SESSION = "spark.jobserver.python.PythonSessionContextFactory"


def python():
    """The interpreter for these tests. Without one they fail, for a driver that was not tried is not tested."""
    found = os.environ.get("DOYEN_PYSPARK_PYTHON")
    if not found:
        raise AssertionError(
            "DOYEN_PYSPARK_PYTHON must name a Python with pyspark: python3 -m venv DIR && DIR/bin/pip install pyspark==4.0.5")
    return found


def spark(factory=SESSION, environment=None, **settings):
    tree = {"master": "local[2]"}
    tree.update(settings)
    return Driver("pyspark", {"context-factory": factory, "spark": tree}, max_jobs=4, python=python(), environment=environment)


class InOneSession(unittest.TestCase):
    """All tests share one context."""

    @classmethod
    def setUpClass(cls):
        cls.driver = spark(sql={"shuffle": {"partitions": 2}})
        cls.addClassCleanup(cls.driver.close)
        cls.ready = cls.driver.ready()
        cls.wheel = wheel(cls.driver.path("binaries"), "jobs", {"jobs.py": SPARK_JOBS})

    def result(self, name, binary=None, **config):
        kind, fields = self.driver.run("jobs." + name, [binary or self.wheel], config)
        self.assertEqual(kind, "finished", fields)
        return fields["result"]

    def failure(self, name):
        kind, fields = self.driver.run("jobs." + name, [self.wheel])
        self.assertEqual(kind, "failed", fields)
        return fields["error"]

    def test_ready_says_where(self):
        self.assertTrue(self.ready["application_id"].startswith("local-"))
        self.assertTrue(self.ready["ui_url"].startswith("http://127.0.0.1:"))

    def test_a_local_spark_listens_on_loopback_only(self):
        pids = descendants(self.driver.process.pid) | {self.driver.process.pid}
        addresses = listening(pids)
        self.assertGreaterEqual(len(addresses), 2, "the UI and the block manager at least")
        self.assertEqual({a for a in addresses if not a.is_loopback}, set())

    def test_rdds_and_sql_and_accumulators(self):
        self.assertEqual(self.result("WordCount", input={"strings": ["a b a", "b a c"]}), {"a": 3, "b": 2, "c": 1})
        self.assertEqual(self.result("SqlSum"), 285)
        self.assertEqual(self.result("Accumulates"), 4950)
        self.assertEqual(self.result("Rows"), [[1, "a"]])

    def test_the_example_of_the_repository(self):
        example = os.path.join(os.path.dirname(os.path.dirname(PACKAGE)), "examples", "wordcount")
        built = [subprocess.check_output([sys.executable, os.path.join(example, "build.py"), self.driver.path(name)])
                 for name in ("binaries", "results")]
        path = built[0].decode().strip()
        with open(path, "rb") as one, open(built[1].decode().strip(), "rb") as two:
            self.assertEqual(one.read(), two.read())
        text = self.driver.path("text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write("One fish two fish,\nred fish -- Blue FISH. Don't\n")
        kind, fields = self.driver.run("wordcount.WordCount", [binary(path, "wordcount")], {"input": {"path": text}, "top": 2})
        self.assertEqual(kind, "finished", fields)
        self.assertEqual(fields["result"], {
            "words": 9, "different": 6, "top": [{"word": "fish", "count": 4}, {"word": "blue", "count": 1}]})
        kind, fields = self.driver.run("wordcount.WordCount", [binary(path, "wordcount")], {"top": 0})
        self.assertEqual((kind, len(fields["problems"])), ("rejected", 2))

    def test_refusal(self):
        kind, fields = self.driver.run("jobs.WordCount", [self.wheel])
        self.assertEqual((kind, fields["problems"]), ("rejected", ["config input.strings not found"]))

    def test_a_failing_task(self):
        error = self.failure("SparkFails")
        self.assertIn("task says no", error["message"])

    def test_settings_reach_spark(self):
        self.assertEqual(self.result("Value", value="context.conf.get('spark.sql.shuffle.partitions')"), "2")
        self.assertEqual(self.result("Value", value="context.sparkContext.appName"), "test")
        self.assertEqual(self.result("Value", value="type(context).__name__"), "SparkSession")

    def test_temporary_views_are_shared_by_the_jobs_of_a_context(self):
        other = wheel(self.driver.path("binaries"), "jobs", {"jobs.py": SPARK_JOBS, "other.py": ""})
        maker = self.result("MakesView")
        reader, count = self.result("ReadsView", other)
        self.assertNotEqual(maker, reader)
        self.assertEqual(count, 7)

    def test_stop_and_death_of_a_worker_do_not_stop_spark(self):
        self.assertTrue(self.result("Stops"))
        self.assertEqual(self.result("SqlSum"), 285)
        self.assertEqual(self.failure("Exits")["class"], "WorkerExited")
        self.assertEqual(self.result("SqlSum"), 285)

    def test_a_context_of_the_jobs_own(self):
        self.assertEqual(self.result("Own"), ["hello from test", 6])
        self.assertEqual(self.result("SqlSum"), 285)

    def test_the_same_module_of_two_wheels_on_the_executors(self):
        path = self.driver.path("binaries")
        wheels = [wheel(path, "v%d" % n, {"jobs.py": SPARK_JOBS, "version.py": "def tell(x):\n    return %d\n" % n})
                  for n in range(2)]
        for _ in range(2):
            given = [self.driver.submit("jobs.ByVersion", [w]) for w in wheels]
            ended = [self.driver.end_of(job) for job in given]
            self.assertEqual([fields.get("result", fields) for _, fields in ended], [[0], [1]])

    def test_a_wheel_with_native_code_is_unpacked_on_the_executors(self):
        binary = wheel(self.driver.path("binaries"), "native", {
            "jobs.py": SPARK_JOBS, "lib/__init__.py": "", "lib/native.so": b"\x7fELF",
            "version.py": "import os\ndef tell(x):\n    return os.path.isfile(os.path.join(os.path.dirname(__file__), "
                          "'lib', 'native.so'))\n"})
        self.assertEqual(self.result("ByVersion", binary), [True])

    def test_cancel_reaches_the_executors(self):
        job = self.driver.submit("jobs.Slow", [self.wheel])
        active = "[len(context.sparkContext.statusTracker().getActiveStageIds())]"
        wait_for(lambda: self.result("Value", value=active) == [1], what="the stage to run")
        self.driver.send("cancel", job=job)
        self.assertEqual(self.driver.end_of(job)[0], "cancelled")
        wait_for(lambda: self.result("Value", value=active) == [0], what="the stage to be cancelled")
        self.assertEqual(self.result("SqlSum"), 285)


class OtherContexts(unittest.TestCase):
    def start(self, **more):
        driver = spark(**more)
        self.addCleanup(driver.close)
        return driver

    def type_of_context(self, suffix, expression):
        driver = self.start(factory="spark.jobserver.python." + suffix)
        driver.ready()
        binary = wheel(driver.path("binaries"), "jobs", {"jobs.py": SPARK_JOBS})
        kind, fields = driver.run("jobs.Value", [binary], {"value": "[type(context).__name__, %s]" % expression})
        self.assertEqual(kind, "finished", fields)
        return fields["result"]

    def test_spark_context(self):
        self.assertEqual(
            self.type_of_context("PythonSparkContextFactory", "context.parallelize([1, 2]).sum()"), ["SparkContext", 3])

    def test_sql_context(self):
        self.assertEqual(
            self.type_of_context("PythonSQLContextFactory", "context.sql('select 1 as x').collect()"), ["SQLContext", [[1]]])

    def test_hive_context(self):
        self.assertEqual(
            self.type_of_context("PythonHiveContextFactory", "context.sql('select 1 as x').collect()"), ["HiveContext", [[1]]])

    def processes(self):
        driver = self.start()
        driver.ready()
        binary = wheel(driver.path("binaries"), "jobs", {"jobs.py": SPARK_JOBS})
        driver.run("jobs.WordCount", [binary], {"input": {"strings": ["a"]}})
        return driver, descendants(driver.process.pid)

    def test_stop_ends_everything(self):
        driver, pids = self.processes()
        driver.send("stop", graceful=True, grace_ms=1000)
        self.assertEqual(driver.receive()[0], "bye")
        self.assertEqual(driver.process.wait(20), 0)
        self.assertEqual(alive(pids), [])
        self.assertNotIn("Traceback", driver.log_of_driver())

    def test_end_of_file_leaves_no_process(self):
        driver, pids = self.processes()
        driver.socket.close()
        driver.process.wait(10)
        self.assertEqual(alive(pids), [])

    def test_a_killed_main_leaves_no_process_and_no_jvm(self):
        driver, pids = self.processes()
        self.assertGreaterEqual(len(pids), 4)
        driver.process.kill()
        wait_for(lambda: not alive(pids), what="zygote, workers, JVM and its Python daemon to end")

    def test_a_killed_jvm_ends_the_driver(self):
        driver, pids = self.processes()
        java = [pid for pid in pids if program(pid) == "java"]
        os.kill(java[0], 9)
        self.assertEqual(driver.process.wait(20), 1)
        wait_for(lambda: not alive(pids), what="Spark's Python daemon to see that its JVM has gone")

    def test_a_job_that_meets_the_end_of_the_jvm_says_so(self):
        driver = self.start()
        driver.ready()
        binary = wheel(driver.path("binaries"), "jobs", {"jobs.py": SPARK_JOBS})
        job = driver.submit("jobs.AsksOnAndOn", [binary])
        driver.wait(job, ("accepted",))
        os.kill(next(pid for pid in descendants(driver.process.pid) if program(pid) == "java"), 9)
        kind, fields = driver.end_of(job)
        self.assertEqual(kind, "failed", fields)
        self.assertIn("the context has ended: the JVM of Spark has ", fields["error"]["message"])
        self.assertEqual(fields["error"]["class"], "DriverExited")

    def test_a_job_that_spark_stops_under_is_lost_and_the_driver_ends(self):
        driver = self.start()
        driver.ready()
        binary = wheel(driver.path("binaries"), "jobs", {"jobs.py": SPARK_JOBS})
        kind, fields = driver.end_of(driver.submit("jobs.StopsSpark", [binary]))
        self.assertEqual((kind, fields["error"]["class"]), ("failed", "DriverExited"), fields)
        self.assertIn("the context has ended: Spark has stopped this application", fields["error"]["message"])
        self.assertEqual(driver.process.wait(20), 1)

    def test_end_of_file_while_spark_starts(self):
        driver = self.start()
        pids = wait_for(
            lambda: [p for p in descendants(driver.process.pid) if b"java" in cmdline(p)], what="the JVM to start")
        driver.socket.close()
        driver.process.wait(10)
        self.assertEqual(alive(pids), [])


def listening(pids):
    """The addresses on which these processes listen, one for each socket."""
    inodes = set()
    for pid in pids:
        try:
            for descriptor in os.listdir("/proc/%d/fd" % pid):
                target = os.readlink("/proc/%d/fd/%s" % (pid, descriptor))
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            pass  # it has ended, or the descriptor is closed
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    found.append(address(fields[1].partition(":")[0]))
    return found


def address(words):
    """An address as /proc/net shows it: 32-bit words, each in the machine's order."""
    raw = b"".join(struct.pack("=I", int(words[at:at + 8], 16)) for at in range(0, len(words), 8))
    found = ipaddress.ip_address(raw)
    return getattr(found, "ipv4_mapped", None) or found


def program(pid):
    """The name of the process's program; empty if it has ended, as short-lived helpers of the JVM do."""
    try:
        return os.path.basename(os.readlink("/proc/%d/exe" % pid))
    except OSError:
        return ""


def cmdline(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return file.read()
    except OSError:
        return b""


class Unable(unittest.TestCase):
    def message(self, **more):
        with spark(**more) as driver:
            kind, fields = driver.receive()
            self.assertEqual(kind, "unable", fields)
            return fields["message"]

    def test_a_bad_master(self):
        self.assertIn("nonsense", self.message(master="nonsense://x") + self.message(master="local[nonsense]"))

    def test_bad_memory(self):
        self.assertIn("heap", self.message(driver={"memory": "abc"}).lower())

    def test_no_java(self):
        message = self.message(environment={"JAVA_HOME": "/nosuch"})
        self.assertIn("/nosuch", message)
        self.assertIn("there is no Java", self.message(environment={"JAVA_HOME": "", "PATH": "/nosuch"}))

    def test_no_pyspark(self):
        with Driver("pyspark", {"spark": {"master": "local"}}, arguments=["--kind", "pyspark"],
                    environment={"PYTHONNOUSERSITE": "1"}) as driver:
            if "pyspark" in os.listdir(os.path.dirname(os.__file__)):
                self.skipTest("the Python that runs the tests has pyspark")
            kind, fields = driver.receive()
            self.assertEqual(kind, "unable")
            self.assertIn("-m pip install pyspark", fields["message"])

    def test_an_unknown_context_factory(self):
        message = self.message(factory="com.example.Mine")
        self.assertIn("com.example.Mine", message)
        self.assertIn(SESSION, message)


if __name__ == "__main__":
    unittest.main()
