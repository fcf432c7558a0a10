"""Spark in a worker: joins the session of the driver's JVM, and gives jobs their context."""
import fcntl
import logging
import os
import shutil
import signal
import socket
import time
import warnings

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from sparkjobserver.api import SparkJob

from .binaries import has_native_code
from .failures import lost_with

log = logging.getLogger("doyen")

# What a job meets that speaks with a JVM as it dies. Its door may close a moment after the connection in use.
CUT_OFF = ("Py4JNetworkError", "Py4JError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError")
LOOKS = 5
BETWEEN_LOOKS_SECONDS = 0.02


def _do_not_stop(self):
    """In place of `stop` of contexts and sessions: the JVM's Spark belongs to all jobs of the context."""
    warnings.warn("stop() is ignored: this Spark is shared, and ends with its context", RuntimeWarning, stacklevel=2)


class SparkLink:
    """This worker's way into the JVM: a gateway of its own, and the context's one session."""

    def __init__(self, setup):
        os.environ.update(setup["environment"])
        SparkContext.stop = _do_not_stop
        SparkSession.stop = _do_not_stop
        self._gateway = launch_gateway()
        for name in ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"):
            os.environ.pop(name)  # not for what jobs start
        jvm = self._gateway.jvm
        jsession = _session_class(jvm).getDefaultSession().get()
        jsc = jvm.JavaSparkContext.fromSparkContext(jsession.sparkContext())
        self._conf = SparkConf(_jconf=jsc.getConf())
        self._context = SparkContext(gateway=self._gateway, jsc=jsc, conf=self._conf)
        self._scala_context = jsc.sc()
        self._properties_class = jvm.java.util.Properties  # looking it up takes a round trip for each part of its name
        self._session = SparkSession(self._context, jsession)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # pyspark's would cancel the jobs of all
        self._files = setup["files"]
        self._context._python_includes.extend(setup["includes"])
        self._given = self._make(setup["factory"])
        self._custom = False
        self.lost = False  # whether a job has met the end of Spark

    def begin(self, job, name):
        """Before a job: whatever it starts in Spark belongs to its own job group."""
        self._context._jsc.setJobGroup(job, name, True)

    def end(self):
        """After a job: its own SparkContext is no longer the current one."""
        if self._custom:
            self._custom = False
            SparkContext._active_spark_context = self._context

    def explain(self, error):
        """After a job has failed: that Spark has gone is the reason, whatever else the job met of that."""
        for look in range(LOOKS if error["class"] in CUT_OFF else 1):
            time.sleep(BETWEEN_LOOKS_SECONDS if look else 0)
            if self._is_jvm_gone():
                return self._lose("the JVM of Spark has ended", error)
        if self._is_stopped():
            return self._lose("Spark has stopped this application", error)
        return error

    def _lose(self, reason, error):
        self.lost = True
        return dict(lost_with("%s (%s)" % (reason, error["message"])), stack=error["stack"])

    def _is_stopped(self):
        try:
            return self._scala_context.isStopped()
        except Exception:
            return False  # the JVM is short of something

    def _is_jvm_gone(self):
        door = self._gateway.gateway_parameters
        try:
            socket.create_connection((door.address, door.port), 1.0).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            pass  # it is there, but short of something
        return False

    def reset(self):
        """After a job has been answered: its local properties, such as a scheduler pool, are not the next one's."""
        self._scala_context.setLocalProperties(self._properties_class())

    def close(self):
        """Before this worker ends."""
        shutil.rmtree(self._context._temp_dir, ignore_errors=True)

    def context_for(self, job):
        """The context for a job: what its own `build_context` makes, else what the context factory gives."""
        build = getattr(type(job), "build_context", None)
        if build is None or build is SparkJob.build_context:
            return self._given
        # It may make a SparkContext of its own kind, of which pyspark allows one at a time.
        self._custom = True
        SparkContext._active_spark_context = None
        made = job.build_context(self._gateway, self._context._jsc, self._conf)
        if made is None:
            self.end()
            return self._given
        if isinstance(made, SparkContext):
            made._python_includes[:] = self._context._python_includes
            made.environment.update(self._context.environment)
        return made

    def add_binary(self, binary, directory, below):
        """Give executors a binary, once in the context's life, and have their Python import from it.

        It goes under a name that only this content has. `below` are the import paths inside of it.
        """
        sha = binary["sha256"]
        path = os.path.join(self._files, sha + ".zip")
        native = has_native_code(directory)
        with open(os.path.join(self._files, sha + ".lock"), "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if lock.seek(0, os.SEEK_END) == 0:
                _keep(binary["path"], path)
                if native:
                    self._context.addArchive("%s#%s" % (path, sha))  # unpacked on the executors, as zipimport must not
                else:
                    self._context.addFile(path)
                lock.write(b"added\n")
        name = sha if native else sha + ".zip"
        self._context._python_includes.extend("/".join((name, part)) if part else name for part in below)

    def name_binaries(self, key):
        """Keep the executors' Python processes of different binaries apart: they are pooled by their environment."""
        self._context.environment["DOYEN_BINARIES"] = key

    def _make(self, factory):
        if factory == "context":
            return self._context
        if factory not in ("sql", "hive"):
            return self._session
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that they are deprecated, is known
                if factory == "sql":
                    from pyspark.sql import SQLContext

                    return SQLContext(self._context, self._session)
                from pyspark.sql import HiveContext

                return HiveContext(self._context)
        except (ImportError, TypeError) as error:
            log.warning("this Spark has no %s context any more (%s): jobs get the SparkSession", factory, error)
            return self._session


def _session_class(jvm):
    if hasattr(SparkSession, "_get_j_spark_session_class"):  # since Spark 4
        return SparkSession._get_j_spark_session_class(jvm)
    return jvm.SparkSession


def _keep(source, target):
    """Have the file under our own name, for as long as the context lives."""
    if os.path.exists(target):
        os.unlink(target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
