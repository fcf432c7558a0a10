"""What a job is written against: `SparkJob`, `ValidationProblem`, `build_problems` and `JobEnvironment`.

A job is a class with a constructor without arguments, `validate` and `run_job`. It may inherit from `SparkJob`, but
need not. For each job a new instance is made; `validate` is called first, then `run_job` with what `validate` gave.
"""


class ValidationProblem:
    """One reason why a job refuses its input. `problem` is the text for the client."""

    def __init__(self, problem):
        self.problem = problem

    def __repr__(self):
        return "ValidationProblem(%r)" % (self.problem,)


def build_problems(problems):
    """Make a list of `ValidationProblem` from texts; returned from `validate`, it refuses the job."""
    return [ValidationProblem(problem) for problem in problems]


class JobEnvironment:
    """What a job can know of where it runs: the `runtime` of `run_job`.

    `jobId` (or `job_id`) is the job's id, `contextConfig` (or `context_config`) the context's settings as a
    `ConfigTree`, `namedObjects` (or `named_objects`) is None.
    """

    def __init__(self, job_id, named_objects, context_config):
        self.jobId = job_id
        self.namedObjects = named_objects
        self.contextConfig = context_config

    @property
    def job_id(self):
        return self.jobId

    @property
    def named_objects(self):
        return self.namedObjects

    @property
    def context_config(self):
        return self.contextConfig


class SparkJob:
    """A job. Override `validate` and `run_job`."""

    def validate(self, context, runtime, config):
        """Check `config` (a `ConfigTree`) before the job runs.

        `context` is what the context factory gives (a SparkSession, a SparkContext, …; None in a plain Python
        context), `runtime` is None. Return the data for `run_job` — anything, None and an empty list too — or a
        non-empty list of `ValidationProblem` to refuse the job.
        """
        raise NotImplementedError("the job's class must define validate(context, runtime, config)")

    def run_job(self, context, runtime, data):
        """Do the work. `runtime` is a `JobEnvironment`, `data` what `validate` returned.

        Return what JSON can say: None, bools, numbers, strings, and lists, tuples and dicts of them.
        """
        raise NotImplementedError("the job's class must define run_job(context, runtime, data)")

    def build_context(self, gateway, jvm_context, spark_conf):
        """Make a context of the job's own out of the py4j gateway, the JVM's JavaSparkContext and the SparkConf.

        Return None, as here, to take the context that the context factory gives.
        """
        return None
