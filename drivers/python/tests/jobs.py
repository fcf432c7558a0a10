"""The jobs that the tests run: the source of a module, packed into a wheel by each test."""

SOURCE = r'''
import logging, os, signal, subprocess, sys, threading, time
from sparkjobserver.api import SparkJob, ValidationProblem, build_problems


class Base(SparkJob):
    def validate(self, context, runtime, config):
        return config


class Value(Base):
    """Returns what the expression in the config says."""
    def run_job(self, context, runtime, data):
        return eval(data.get_string("value"))


class Echo(Base):
    def run_job(self, context, runtime, data):
        return data.as_plain_ordered_dict()


class Surroundings(Base):
    def validate(self, context, runtime, config):
        return type(runtime).__name__

    def run_job(self, context, runtime, data):
        c = runtime.contextConfig
        return [data, type(runtime).__name__, runtime.jobId, runtime.job_id, runtime.namedObjects, type(context).__name__,
                type(c).__name__, c.get("context.name", "absent"), c.get("mine", "absent"), runtime.context_config is c]


class Problems(Base):
    def validate(self, context, runtime, config):
        return build_problems(["first problem"]) + [ValidationProblem("second probl\u00e9m")]

    def run_job(self, context, runtime, data):
        return "must not run"


class Data(SparkJob):
    """Takes the data of an expression, and tells what came to run_job."""
    def validate(self, context, runtime, config):
        return eval(config.get_string("value"))

    def run_job(self, context, runtime, data):
        return "ran with %r" % (data,)


class Fails(SparkJob):
    def __init__(self):
        self.at("constructor", os.environ.get("NOTHING"))

    def at(self, place, config):
        if config and config.get("at", None) == place:
            exec(config.get_string("how"))

    def validate(self, context, runtime, config):
        self.at("validate", config)
        return config

    def run_job(self, context, runtime, data):
        self.at("run_job", data)
        return "survived"


class RaisesAtStart(Base):
    def __init__(self):
        raise RuntimeError("no such beginning")


class NoRunJob(SparkJob):
    def validate(self, context, runtime, config):
        return config


class NotAJob:
    pass


class Plain:
    """Inherits nothing."""
    def validate(self, context, runtime, config):
        return 1

    def run_job(self, context, runtime, data):
        return data + 1


class BadText(Exception):
    def __str__(self):
        raise ValueError("no text")


class RaisesBadText(Base):
    def run_job(self, context, runtime, data):
        raise BadText()


class Sleep(Base):
    def run_job(self, context, runtime, data):
        time.sleep(data.get_float("seconds"))
        return os.getpid()


class Pid(Base):
    def run_job(self, context, runtime, data):
        return os.getpid()


class Prints(Base):
    def run_job(self, context, runtime, data):
        print("a line on stdout")
        sys.stderr.write("a line on stderr\n")
        logging.basicConfig()
        logging.getLogger("mine").warning("a warning")
        subprocess.check_call(["sh", "-c", "echo from a child"])
        print("z\u00fcrich \ud800")
        sys.stdout.write("no newline")
        return "printed"


class PrintsAndWaits(Base):
    def run_job(self, context, runtime, data):
        print("visible")
        time.sleep(60)


class Meddles(Base):
    def run_job(self, context, runtime, data):
        print("meddling")
        sys.stdout.close()
        sys.stderr = None
        os.close(2)
        os.chdir("/")
        return "done"


class LeavesThread(Base):
    def run_job(self, context, runtime, data):
        def late():
            time.sleep(0.3)
            open(data.get_string("file"), "w").close()
        threading.Thread(target=late).start()
        return os.getpid()


class LeavesChild(Base):
    def run_job(self, context, runtime, data):
        subprocess.Popen(["sh", "-c", "sleep 0.3; echo late"])
        return os.getpid()


class Tree(Base):
    """Starts children, some in sessions of their own, and waits with them."""
    def run_job(self, context, runtime, data):
        a = subprocess.Popen(["sleep", "1000"])
        b = subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000 & wait"], start_new_session=True)
        with open(data.get_string("file") + ".partial", "w") as f:
            f.write("%d %d %d" % (os.getpid(), a.pid, b.pid))
        os.rename(data.get_string("file") + ".partial", data.get_string("file"))
        time.sleep(1000)


class Forks(Base):
    """A child of the job that comes back must not answer in its place."""
    def run_job(self, context, runtime, data):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            return "parent"
        return "child"
'''

DEFECT_AT_IMPORT = "raise OSError('cannot be imported')\n"
'''Source of a module that cannot be imported.'''
