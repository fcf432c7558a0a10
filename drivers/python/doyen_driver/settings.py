"""From a context's settings to Spark's configuration, and from its context factory to what jobs get as `context`."""
import os

# Suffix of a context factory → what a job gets.
SPARK_FACTORIES = {
    "PythonSessionContextFactory": "session",
    "PythonSparkContextFactory": "context",
    "PythonSQLContextFactory": "sql",
    "PythonHiveContextFactory": "hive",
}


class Unable(Exception):
    """The context cannot be built. The text says why, and what to do."""


def known_factory(kind, name_of_kind, factory):
    """What a job gets as `context`: None, "session", "context", "sql" or "hive". Raises `Unable`."""
    if factory in (None, kind, name_of_kind):
        return None if kind == "python" else "session"
    suffix = factory.rpartition(".")[2]
    if kind == "pyspark" and suffix in SPARK_FACTORIES:
        return SPARK_FACTORIES[suffix]
    known = [kind] if kind == "python" else [kind] + ["spark.jobserver.python." + name for name in SPARK_FACTORIES]
    raise Unable("context-factory %s is not known to the %s driver; it has: %s" % (factory, kind, ", ".join(known)))


def flatten(tree, prefix=""):
    """Nested settings as (dotted key, text) pairs, with texts as Spark wants them."""
    pairs = []
    for key, value in tree.items():
        if isinstance(value, dict):
            pairs += flatten(value, prefix + key + ".")
        elif value is not None:
            pairs.append((prefix + key, _text(value)))
    return pairs


def _text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(entry) for entry in value)
    return str(value)


def spark_configuration(settings, context_name, factory, directory):
    """What goes to SparkConf: a dict. An explicit `spark.*` wins over the other ways to say the same."""
    conf = {"spark.app.name": context_name, "spark.ui.port": "0"}
    _set_if_given(conf, "spark.cores.max", settings.get("num-cpu-cores"))
    _set_if_given(conf, "spark.executor.memory", settings.get("memory-per-node"))
    launcher = settings.get("launcher")
    if isinstance(launcher, dict):
        conf.update(flatten(launcher.get("spark") or {}, "spark."))
    passthrough = settings.get("passthrough")
    if isinstance(passthrough, dict):
        conf.update(flatten(passthrough))
    spark = settings.get("spark")
    if isinstance(spark, dict):
        conf.update(flatten(spark, "spark."))
    conf.setdefault("spark.master", "local[*]")
    if factory == "hive":
        conf.setdefault("spark.sql.catalogImplementation", "hive")
    if conf["spark.master"].startswith("local") and "SPARK_LOCAL_DIRS" not in os.environ:
        # Below the driver's directory, so that nothing is left when Spark is killed.
        conf.setdefault("spark.local.dir", os.path.join(directory, "spark-local"))
    return conf


def _set_if_given(conf, key, value):
    if value is not None:
        conf[key] = _text(value)
