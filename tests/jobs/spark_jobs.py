"""Jobs that use Spark, as a session."""
import os
import time

from sparkjobserver.api import SparkJob


class Base(SparkJob):
    def validate(self, context, runtime, config):
        return config


class CountWords(Base):
    """The same words counted with SQL and with an RDD."""

    def run_job(self, context, runtime, data):
        words = data.get_string("text").split()
        frame = context.createDataFrame([(word,) for word in words], ["word"])
        frame.createOrReplaceTempView("words")
        sql = {row.word: row.n for row in context.sql("select word, count(*) as n from words group by word").collect()}
        pairs = context.sparkContext.parallelize(words, 2).map(lambda word: (word, 1))
        return {"sql": sql, "rdd": dict(pairs.reduceByKey(lambda a, b: a + b).collect())}


class Meets(Base):
    """Counts, until all of the others are there, and tells in which job group Spark saw it."""

    def run_job(self, context, runtime, data):
        spark = context.sparkContext
        directory = data.get_string("directory")
        open(os.path.join(directory, runtime.jobId), "w").close()
        spark.parallelize(range(10), 1).count()
        while len(os.listdir(directory)) < data.get_int("jobs"):
            spark.parallelize(range(10), 1).count()
        group = spark.getLocalProperty("spark.jobGroup.id")
        return {"group": group, "jobs": len(spark.statusTracker().getJobIdsForGroup(group)), "id": runtime.jobId}


class SleepsInStage(Base):
    """Holds so many task slots of Spark for ten minutes."""

    def run_job(self, context, runtime, data):
        def sleep(_):
            time.sleep(600)

        print("sleeping", flush=True)
        tasks = data.get_int("tasks")
        context.sparkContext.parallelize(range(tasks), tasks).foreach(sleep)


class CountsUntil(Base):
    """Runs one Spark job after the other until the file is there."""

    def run_job(self, context, runtime, data):
        print("counting", flush=True)
        rounds = 0
        while not os.path.exists(data.get_string("file")):
            assert context.sparkContext.parallelize(range(100), 1).map(lambda n: n * n).sum() == 328350
            rounds += 1
        return rounds > 0


class Exits(Base):
    def run_job(self, context, runtime, data):
        context.range(10).count()
        os._exit(5)
