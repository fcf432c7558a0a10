"""A driver for tests: what a job does is named by its class."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading

channel = socket.socket(fileno=int(os.environ["DOYEN_DRIVER_FD"]))
os.set_inheritable(channel.fileno(), False)
writing = threading.Lock()
waiting = set()


def say(kind, **fields):
    with writing:
        channel.sendall(json.dumps({kind: fields}).encode() + b"\n")


def finish_later(job):
    if job in waiting:
        waiting.discard(job)
        say("finished", job=job, result="waited")


def run(job, config, files):
    kind, log, result_file = files["class"], files["log"], files["result_file"]
    if kind == "echo":
        say("finished", job=job, result=config)
    elif kind == "wait":
        waiting.add(job)
        say("accepted", job=job)
        if "ms" in config:
            threading.Timer(config["ms"] / 1000, finish_later, [job]).start()
    elif kind == "file":
        with open(result_file, "w") as file:
            json.dump("x" * config["length"], file)
        say("finished", job=job, result_file=result_file)
    elif kind == "long":
        say("finished", job=job, result="x" * config["length"])
    elif kind == "print":
        with open(log, "a") as file:
            file.write(config["text"] * config.get("times", 1))
        if config.get("wait"):
            waiting.add(job)
            say("accepted", job=job)
        else:
            say("finished", job=job)
    elif kind == "read":
        say("finished", job=job, result=[open(binary["path"]).read() for binary in files["binaries"]])
    elif kind == "environment":
        say("finished", job=job, result=[os.environ.get(config["name"]), os.getcwd()])
    elif kind == "orphan":
        # In a session of its own, and its parent is gone; deaf to SIGTERM.
        script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
        code = (
            "import os, subprocess, sys\n"
            f"child = subprocess.Popen([sys.executable, '-c', {script!r}], start_new_session=True, stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\n"
            "print(child.pid)"
        )
        say("finished", job=job, result=int(subprocess.check_output([sys.executable, "-c", code])))
    elif kind == "exit":
        print("last words", flush=True)
        os._exit(config["status"])
    elif kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "say":
        with writing:
            channel.sendall(config["line"].encode() + b"\n")


def handle(kind, fields):
    if kind == "start":
        settings = fields["settings"]
        if settings.get("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if "unable" in settings:
            say("unable", message=settings["unable"])
            sys.exit(1)
        say("ready", application_id="app-" + fields["context"]["name"])
    elif kind == "run":
        run(fields["job"], fields["config"], fields)
    elif kind == "cancel":
        waiting.discard(fields["job"])
        say("cancelled", job=fields["job"])
    elif kind == "stop" and signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
        for job in list(waiting):
            finish_later(job)
        say("bye")
        sys.exit(0)


for line in channel.makefile("rb"):
    for kind, fields in json.loads(line).items():
        handle(kind, fields)
os._exit(0)
