"""The driver main: `python3 -m doyen_driver [--kind python|pyspark]`, started by the shim."""
import argparse
import os
import socket
import sys

from .dispatcher import Dispatcher


def main():
    parser = argparse.ArgumentParser(prog="python3 -m doyen_driver", description="The Python driver of Doyen.")
    parser.add_argument("--kind", choices=("python", "pyspark"), help="what to be, whatever the kind is called")
    arguments = parser.parse_args()
    descriptor = os.environ.pop("DOYEN_DRIVER_FD", None)
    if descriptor is None:
        parser.error("DOYEN_DRIVER_FD is not set: this program is started by `doyen shim`")
    shim = socket.socket(fileno=int(descriptor))
    os.set_inheritable(shim.fileno(), False)
    directory = os.path.abspath(os.environ.get("DOYEN_DRIVER_DIR") or os.getcwd())
    status = Dispatcher(shim, directory, arguments.kind).loop()
    sys.stdout.flush()
    os._exit(status)  # helper threads may hang in a Spark that is gone


if __name__ == "__main__":
    main()
