"""One run of a job in a worker: load, build the context, validate, run. The outcome is a terminal message."""
import importlib
import os
import time

from sparkjobserver.api import JobEnvironment, SparkJob, ValidationProblem

from . import results, wire
from .config_tree import ConfigTree
from .failures import JobFailure, clip, describe, error_of

MAX_PROBLEMS = 1000
MAX_PROBLEM_CHARS = 8 * 1024

# What `where` says, as the name of the span that it broke off.
STEPS = {"loading": "load", "build_context": "context", "validate": "validate", "run_job": "run"}

_classes = {}


class Course:
    """How long each step of a job took, in microseconds by name."""

    def __init__(self):
        self.spans = {}
        self._began = time.monotonic_ns()

    def end(self, step):
        now = time.monotonic_ns()
        self.spans[step] = (now - self._began) // 1000
        self._began = now


class Environment(JobEnvironment):
    """The `JobEnvironment` of a run; the settings become a tree only when the job asks for them."""

    def __init__(self, job_id, settings):
        self.jobId = job_id
        self.namedObjects = None
        self._settings = settings
        self._tree = None

    @property
    def contextConfig(self):
        if self._tree is None:
            self._tree = ConfigTree.from_plain(self._settings)
        return self._tree


Environment.__name__ = Environment.__qualname__ = "JobEnvironment"


def execute(run, settings, make_context, accepted):
    """Run a job to its end, and give its terminal message as (kind, fields), or as bytes when it has a result.

    `make_context(job)` gives the context for the instance; `accepted()` is called when validation has passed. Whatever
    the job raises ends here, SystemExit and KeyboardInterrupt too.
    """
    where = "while loading %s" % run.get("class")
    course = Course()
    try:
        job = load(run["class"])()
        if not callable(getattr(job, "run_job", None)) or not callable(getattr(job, "validate", None)):
            raise JobFailure("the class %s is no job: it must have validate and run_job" % run["class"])
        if getattr(type(job), "run_job", None) is SparkJob.run_job:
            raise JobFailure("the class %s does not define run_job" % run["class"])
        course.end("load")
        where = "in build_context"
        context = make_context(job)
        course.end("context")
        where = "in validate"
        data = job.validate(context, None, ConfigTree.from_plain(run.get("config") or {}))
        if isinstance(data, list) and data and all(isinstance(p, ValidationProblem) for p in data):
            course.end("validate")
            return rejected(run["job"], data, course.spans)
        accepted()
        course.end("validate")
        where = "in run_job"
        result = job.run_job(context, Environment(run["job"], settings), data)
        course.end("run")
    except BaseException as error:
        course.end(STEPS[where.split()[1]])
        return failed(run["job"], error_of(error, where), course.spans)
    try:
        text = results.to_json(result)
        course.end("result")
        return finished(run, text, course.spans)
    except BaseException as error:  # what the result's own methods may raise, too
        return failed(run["job"], result_error(error))


def load(name):
    """The class of a dotted name; it is looked up once, as a worker serves one set of binaries."""
    found = _classes.get(name)
    if found is None:
        module, dot, attribute = name.rpartition(".")
        if not dot or not module or not attribute:
            raise JobFailure("%r is no name of a class: write package.module.Class" % name)
        found = getattr(importlib.import_module(module), attribute)
        if not callable(found):
            raise JobFailure("%s is no class, but of type %s" % (name, results.type_name(found)))
        _classes[name] = found
    return found


def rejected(job, problems, spans):
    texts = []
    for entry in problems[:MAX_PROBLEMS]:
        text = entry.problem if isinstance(entry.problem, str) else _text(entry.problem)
        texts.append(clip(text, MAX_PROBLEM_CHARS))
    return "rejected", {"job": job, "problems": texts, "spans": spans}


def _text(value):
    try:
        return str(value)
    except BaseException as error:
        return describe(error)


def failed(job, error, spans=None):
    return "failed", {"job": job, "error": error, "spans": spans}


def result_error(error):
    if isinstance(error, results.ResultError):
        message = "the job has ended, but its result cannot be returned: %s" % error
        return {"message": message, "class": "ResultError", "stack": None}
    return error_of(error, "while the result was written")


def finished(run, text, spans):
    """The `finished` message as bytes; a result beyond the inline limit goes to the result file."""
    body = wire.utf8(text)
    if len(body) <= min(run["inline_result_bytes"], wire.MAX_INLINE_BYTES):
        parts = (wire.dumps(run["job"]), wire.dumps(spans), body)
        return b'{"finished":{"job":%s,"spans":%s,"result":%s}}\n' % parts
    path = run["result_file"]
    partial = path + ".partial"
    with open(partial, "wb") as file:
        file.write(body)
    os.rename(partial, path)
    return "finished", {"job": run["job"], "result_file": path, "spans": spans}
