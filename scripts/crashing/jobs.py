"""Jobs of the load: each run leaves a line in the file `runs/<token>`."""
import os
import time


class Job:
    def validate(self, context, runtime, config):
        return config

    def run_job(self, context, runtime, data):
        token = data.get_string("token")
        with open(os.path.join(data.get_string("runs"), token), "a") as file:
            file.write("%d\n" % os.getpid())
        return self.work(token, data)


class Notes(Job):
    def work(self, token, data):
        return token


class Prints(Job):
    def work(self, token, data):
        print("log of", token)
        return token


class Sleeps(Job):
    def work(self, token, data):
        time.sleep(data.get_float("seconds"))
        return token


class Large(Job):
    def work(self, token, data):
        return token * 20000
