"""The job interface of Spark Jobserver for Python, as jobs import it."""
