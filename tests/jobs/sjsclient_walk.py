"""Everything that python-sjsclient can do, against the server of the test: `sjsclient_walk.py URL EGG`."""
import collections
import collections.abc
import os
import sys
import tempfile
import time

# The client is from 2017 and expects this name, which Python 3.10 has removed.
if not hasattr(collections, "MutableMapping"):
    collections.MutableMapping = collections.abc.MutableMapping

from sjsclient import client, exceptions  # noqa: E402
from sjsclient.app import AppType  # noqa: E402
from sjsclient.job import JobStatus  # noqa: E402


def equal(found, expected):
    if found != expected:
        raise AssertionError("%r, not %r" % (found, expected))


def raises(kind, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError("%s did not raise %s" % (function, kind.__name__))


def wait(sjs, job_id, *ends):
    for _ in range(6000):
        job = sjs.jobs.get(job_id)
        if job.status in ends:
            return job
        time.sleep(0.02)
    raise AssertionError("job %s is %s for long" % (job_id, job.status))


def apps(sjs, egg):
    raises(exceptions.NotFoundException, sjs.apps.get, "app")
    with open(egg, "rb") as content:
        app = sjs.apps.create("app", content, AppType.PYTHON)
    equal(app.name, "app")
    equal(app.time["binary-type"], "Egg")
    equal([found.name for found in sjs.apps.list()], ["app"])
    error = raises(exceptions.HttpException, sjs.apps.create, "bad", b"no zip", AppType.PYTHON)
    equal((error.status_code, error.details), (400, "ERROR"))
    return app


def contexts(sjs):
    raises(exceptions.NotFoundException, sjs.contexts.get, "context")
    context = sjs.contexts.create("context", {"num-cpu-cores": 1, "memory-per-node": "512m"})
    equal(sjs.contexts.get("context").name, "context")
    equal([found.name for found in sjs.contexts.list()], ["context"])
    error = raises(exceptions.HttpException, sjs.contexts.create, "context")
    equal((error.status_code, error.details), (400, "ERROR"))
    return context


def jobs(sjs, app, context):
    # Text as configuration, and a dictionary, which the client sends as a form.
    job = sjs.jobs.create(app, "bad.Echo", conf="input.strings = [a, b]", ctx=context, sync=True)
    equal(job.result, {"input": {"strings": ["a", "b"]}})
    job = sjs.jobs.create(app, "bad.Echo", conf={"input.name": "a b&c=d", "n": 1}, ctx=context)
    equal(job.status, "STARTED")
    ended = wait(sjs, job.jobId, JobStatus.FINISHED, JobStatus.ERROR)
    equal((ended.status, ended.context, ended["classPath"]), (JobStatus.FINISHED, "context", "bad.Echo"))
    equal(ended.result, {"input": {"name": "a b&c=d"}, "n": "1"})
    if not ended.duration.endswith(" secs"):
        raise AssertionError(ended.duration)
    equal(ended.get_config(), {"input": {"name": "a b&c=d"}, "n": "1"})
    failed = sjs.jobs.create(app, "bad.RaisesInRun", ctx=context)
    ended = wait(sjs, failed.jobId, JobStatus.FINISHED, JobStatus.ERROR)
    equal(ended.status, JobStatus.ERROR)
    equal("run_job says no" in ended.result["message"], True)
    alone = sjs.jobs.create(app, "bad.Echo", conf="a = 1", sync=True)  # in a context of its own
    equal(alone.result, {"a": 1})
    listed = [found.jobId for found in sjs.jobs.list(limit=10)]
    equal(listed[1:], [failed.jobId, job.jobId] + listed[3:])
    raises(exceptions.NotFoundException, sjs.jobs.get, "no-such-job")


def kill(sjs, app, context):
    with tempfile.TemporaryDirectory() as directory:
        job = sjs.jobs.create(app, "bad.Waits", conf='file = "%s"' % os.path.join(directory, "gate"), ctx=context)
        wait(sjs, job.jobId, JobStatus.RUNNING)
        equal(job.delete().json(), {"status": "KILLED"})
        equal(sjs.jobs.get(job.jobId).status, "KILLED")
    raises(exceptions.NotFoundException, sjs.jobs.delete, job.jobId)


def main(url, egg):
    sjs = client.Client(url)
    app = apps(sjs, egg)
    context = contexts(sjs)
    jobs(sjs, app, context)
    kill(sjs, app, context)
    equal(context.delete().status_code, 200)
    raises(exceptions.NotFoundException, sjs.contexts.delete, "context")
    equal(sjs.apps.delete("app").status_code, 200)
    raises(exceptions.NotFoundException, sjs.apps.delete, "app")
    equal(list(sjs.apps.list()) + list(sjs.contexts.list()), [])


main(*sys.argv[1:])
