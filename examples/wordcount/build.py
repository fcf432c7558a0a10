"""Writes the wheel of this example into a directory, and prints its path: `python3 build.py DIRECTORY`.

It needs nothing but Python, no network, and gives the same bytes each time. `pip wheel .` makes an equal package.
"""
import base64
import hashlib
import os
import sys
import zipfile

NAME, VERSION = "wordcount", "1.0.0"
HERE = os.path.dirname(os.path.abspath(__file__))


def build(directory):
    """Write the wheel; gives its path."""
    files = {"wordcount/" + name: _read(name) for name in sorted(os.listdir(os.path.join(HERE, NAME))) if name.endswith(".py")}
    info = "%s-%s.dist-info/" % (NAME, VERSION)
    files[info + "METADATA"] = (
        "Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: Counts the words of a text file: an example of a job\n"
        "Requires-Python: >=3.8\n" % (NAME, VERSION)).encode()
    files[info + "WHEEL"] = b"Wheel-Version: 1.0\nGenerator: build.py\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join("%s,sha256=%s,%d\n" % (name, _digest(content), len(content)) for name, content in files.items())
    files[info + "RECORD"] = (record + info + "RECORD,,\n").encode()
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, "%s-%s-py3-none-any.whl" % (NAME, VERSION))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return path


def _read(name):
    with open(os.path.join(HERE, NAME, name), "rb") as file:
        return file.read()


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 build.py DIRECTORY")
    print(build(sys.argv[1]))
