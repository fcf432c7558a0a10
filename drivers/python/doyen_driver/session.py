"""Spark in the driver main: starts the JVM and the session, and says in words why it cannot."""
import collections
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile

from .settings import Unable, spark_configuration

WATCH_SECONDS = 5.0
LAST_LINES = 8


def open_session(start, factory, directory, lost):
    """Start Spark for a `start` message. `lost(reason)` is called, in a thread, when it ends by itself."""
    settings = start.get("settings") or {}
    name = start["context"]["name"]
    conf = spark_configuration(settings, name, factory, directory)
    _require_java()
    try:
        from pyspark import SparkConf
        from pyspark.java_gateway import launch_gateway
    except ImportError as error:
        raise Unable(
            "the package pyspark cannot be imported by %s (%s): install it with `%s -m pip install pyspark`, or set "
            "drivers.pyspark.executable to a Python that has it" % (sys.executable, error, sys.executable))
    os.environ.setdefault("PYSPARK_PIN_THREAD", "true")
    _choose_executors_python(conf)
    _stay_on_loopback(conf)
    spark_conf = SparkConf(loadDefaults=False)
    spark_conf.setAll(conf.items())
    output = JvmOutput()
    try:
        gateway = launch_gateway(spark_conf, {"stderr": output.descriptor})
    except BaseException as error:
        raise Unable("Spark could not be started: %s" % output.ending(error))
    finally:
        output.started()
    try:
        return Session(gateway, spark_conf, factory, directory, lost)
    except BaseException as error:
        raise Unable("the Spark context could not be built: %s" % root_cause(error))


def _require_java():
    home = os.environ.get("JAVA_HOME")
    if home:
        if not os.access(os.path.join(home, "bin", "java"), os.X_OK):
            raise Unable("JAVA_HOME is %s, but there is no bin/java in it: Spark needs a Java runtime" % home)
    elif shutil.which("java") is None:
        raise Unable(
            "there is no Java: Spark needs a Java runtime (17 or 21 for Spark 4). Install one, or set JAVA_HOME in "
            "drivers.pyspark.environment")


def _choose_executors_python(conf):
    """Executors must run the same Python version; on this machine that is this very interpreter."""
    if "spark.pyspark.python" in conf:
        os.environ["PYSPARK_PYTHON"] = conf["spark.pyspark.python"]
    elif conf["spark.master"].startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


def _stay_on_loopback(conf):
    """A Spark that is only here needs no port that others reach: its UI would let them kill jobs."""
    chosen = "SPARK_LOCAL_IP" in os.environ or "spark.driver.bindAddress" in conf or "spark.driver.host" in conf
    if conf["spark.master"].startswith("local") and not chosen:
        conf["spark.driver.host"] = conf["spark.driver.bindAddress"] = "127.0.0.1"
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"  # the UI and its proxies look only here


class JvmOutput:
    """Passes the JVM's standard error on to ours, and keeps its last lines for the case that it cannot start."""

    def __init__(self):
        self._reader, self.descriptor = os.pipe()
        self._lines = collections.deque(maxlen=LAST_LINES)
        self._keeping = True
        self._thread = threading.Thread(target=self._copy, name="jvm-output", daemon=True)
        self._thread.start()

    def started(self):
        """The JVM has its copy of the descriptor (or has failed)."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        self._keeping = False

    def ending(self, error):
        """Why the JVM ended, in its own last words."""
        os.close(self.descriptor)
        self.descriptor = None
        self._thread.join(2.0)
        words = [line for line in self._lines if not line.startswith(("Run with --help", "WARNING: Using incubator"))]
        return " | ".join(words) or "%s: %s" % (type(error).__name__, error)

    def _copy(self):
        rest = b""
        while True:
            chunk = os.read(self._reader, 1 << 16)
            if not chunk:
                break
            if self._keeping:
                *lines, rest = (rest + chunk).split(b"\n")
                self._keep(lines)
            try:
                os.write(2, chunk)
            except OSError:
                pass  # nobody reads the context's log
        self._keep([rest])
        os.close(self._reader)

    def _keep(self, lines):
        texts = (line.decode("utf-8", "replace").strip() for line in lines)
        # The frames of a stack would push the reason out, which stands above them.
        self._lines.extend(text for text in texts if text and not text.startswith("at "))


def root_cause(error):
    """What an exception of py4j says at its deepest, in one text; any other exception's own text."""
    java = getattr(error, "java_exception", None)
    if java is None:
        return "%s: %s" % (type(error).__name__, error)
    try:
        texts = [java.toString()]
        for _ in range(20):
            java = java.getCause()
            if java is None:
                break
            texts.append(java.toString())
        return texts[0] if len(texts) == 1 else "%s; caused by %s" % (texts[0], texts[-1])
    except Exception:
        return str(error)


class Session:
    """The SparkSession that main holds, and what workers must know to join it."""

    def __init__(self, gateway, conf, factory, directory, lost):
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        self._gateway = gateway
        self._context = SparkContext(conf=conf, gateway=gateway)
        self._session = SparkSession.builder.getOrCreate()
        self._closing = False
        self._lost = lost
        self.application_id = self._context.applicationId
        self.ui_url = self._context.uiWebUrl
        files = os.path.join(directory, "files")
        os.makedirs(files, exist_ok=True)
        environment = {
            "PYSPARK_GATEWAY_PORT": str(gateway.gateway_parameters.port),
            "PYSPARK_GATEWAY_SECRET": gateway.gateway_parameters.auth_token,
        }
        for name in ("PYSPARK_PIN_THREAD", "PYSPARK_PYTHON"):
            if name in os.environ:
                environment[name] = os.environ[name]
        self.for_workers = {
            "environment": environment,
            "factory": factory,
            "files": files,
            "includes": [self._ship_job_api(files)],
        }
        threading.Thread(target=self._watch, name="spark-watch", daemon=True).start()

    def cancel(self, job):
        """Cancel what a job's group still runs. Blocks; for a helper thread."""
        try:
            self._context._jsc.sc().cancelJobGroupAndFutureJobs(job)  # since Spark 4
        except Exception:
            self._context.cancelJobGroup(job)

    def close(self):
        """Stop Spark, and wait for its JVM to end."""
        self._closing = True
        self._session.stop()
        process = self._gateway.proc
        self._gateway.shutdown()
        process.stdin.close()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            pass  # it is killed with all that is left

    def _ship_job_api(self, files):
        """Give executors `sparkjobserver.api`, which the modules of jobs import; gives the file's name there."""
        import sparkjobserver

        source = os.path.dirname(os.path.abspath(sparkjobserver.__file__))
        digest = hashlib.sha256()
        contents = []
        for name in ("__init__.py", "api.py"):
            with open(os.path.join(source, name), "rb") as file:
                contents.append((name, file.read()))
            digest.update(contents[-1][1])
        archive = "sparkjobserver-%s.zip" % digest.hexdigest()[:16]
        path = os.path.join(files, archive)
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in contents:
                packed.writestr("sparkjobserver/" + name, content)
        self._context.addFile(path)
        return archive

    def _watch(self):
        """Notice that the JVM has ended, or that Spark has stopped inside it (for instance, the master killed it)."""
        process = self._gateway.proc
        while not self._closing:
            try:
                process.wait(WATCH_SECONDS)
            except subprocess.TimeoutExpired:
                if not self._closing and self._is_stopped():
                    self._lost("Spark has stopped this application")
                    return
                continue
            if not self._closing:
                status = process.returncode
                how = "ended with status %d" % status if status >= 0 else "been killed by signal %d" % -status
                self._lost("the JVM of Spark has %s" % how)
            return

    def _is_stopped(self):
        try:
            return self._context._jsc.sc().isStopped()
        except Exception:
            return False  # the JVM is ending, or is short of memory: the wait will tell
