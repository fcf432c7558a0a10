"""Counts the words of a text file with Spark: an example of a job."""
import re
from operator import add

from sparkjobserver.api import SparkJob, build_problems

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def words(line):
    """The words of a line, in lower case."""
    return [word.lower() for word in WORD.findall(line)]


class WordCount(SparkJob):
    """Gives how many words the file `input.path` has, and its `top` (10) most frequent ones."""

    def validate(self, context, runtime, config):
        problems = []
        path = config.get("input.path", None)
        if not isinstance(path, str) or not path:
            problems.append("input.path is missing: the text file to read, as a path or URI that Spark can open")
        top = config.get("top", 10)
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            problems.append("top must be a whole number from 1 on, but is %r" % (top,))
        return build_problems(problems) if problems else {"path": path, "top": top}

    def run_job(self, context, runtime, data):
        spark = getattr(context, "sparkContext", context)
        counts = spark.textFile(data["path"]).flatMap(words).map(lambda word: (word, 1)).reduceByKey(add).cache()
        top = counts.takeOrdered(data["top"], key=lambda pair: (-pair[1], pair[0]))
        result = {
            "words": counts.values().sum(),
            "different": counts.count(),
            "top": [{"word": word, "count": count} for word, count in top],
        }
        counts.unpersist()
        return result
