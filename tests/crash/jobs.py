"""Jobs that leave a trace of each run: a line in the file `runs/<token>`."""
import os
import time


class Job:
    def validate(self, context, runtime, config):
        return config

    def run_job(self, context, runtime, data):
        with open(os.path.join(data.get_string("runs"), data.get_string("token")), "a") as file:
            file.write("%d\n" % os.getpid())
        return self.work(data)


class Notes(Job):
    def work(self, data):
        return {"token": data.get_string("token")}


class Prints(Job):
    def work(self, data):
        print("log of", data.get_string("token"))
        return {"token": data.get_string("token")}


class Large(Job):
    """More than a part of a blob."""

    def work(self, data):
        return data.get_string("token") * 40000


class Gate(Job):
    """Until the gate is open."""

    def work(self, data):
        while not os.path.exists(os.path.join(data.get_string("runs"), "open")):
            time.sleep(0.02)
        return {"token": data.get_string("token")}


class Waits(Job):
    """Until it is killed."""

    def work(self, data):
        print("log of", data.get_string("token"), flush=True)
        while True:
            time.sleep(60)


class Survives(Job):
    """The first try waits until it is killed with its driver; the next one goes on."""

    def run_job(self, context, runtime, data):
        runs, token = data.get_string("runs"), data.get_string("token")
        tries = os.path.join(os.path.dirname(runs), "tries-" + token)
        print("log of", token, flush=True)
        with open(tries, "a") as file:
            file.write("%d\n" % os.getpid())
        while len(open(tries).readlines()) < 2:
            time.sleep(0.02)
        return super().run_job(context, runtime, data)

    def work(self, data):
        return {"token": data.get_string("token")}
