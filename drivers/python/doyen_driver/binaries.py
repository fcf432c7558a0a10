"""Wheels and eggs: unpacked once by hash, below the driver's directory.

They are always unpacked rather than imported as zip archives: so native libraries, data files found by `__file__` and
compiled modules (`__pycache__`, shared by all workers) work as when installed, and a traceback shows source lines.
"""
import glob
import os
import shutil
import tempfile
import zipfile

from .failures import JobFailure

MAX_ENTRIES = 100_000
MAX_BYTES = 8 * 1024 ** 3
# Real wheels are packed up to some ten times; an archive is a bomb when it is beyond this and large.
MAX_RATIO = 200
RATIO_FROM_BYTES = 256 * 1024 ** 2
KEEP_UNPACKED = 64

NATIVE_SUFFIXES = (".so", ".dylib", ".pyd")


def key_of(binaries):
    """What a worker is bound to: the hashes of its binaries, in order."""
    return ",".join(binary["sha256"] for binary in binaries)


def unpack(binary, root):
    """Unpack one binary below `root`, once; gives its directory. Raises `JobFailure` for what is no wheel or egg."""
    name, kind = binary.get("name", "?"), binary.get("type")
    if kind not in ("Wheel", "Egg"):
        raise JobFailure(
            "the binary %s is of type %s, but this context runs Python: use a wheel or an egg" % (name, kind))
    target = os.path.join(root, binary["sha256"])
    if os.path.isdir(target):
        return target
    os.makedirs(root, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=".unpacking-", dir=root)
    try:
        _extract(binary["path"], staging, "the binary %s (%s)" % (name, kind.lower()))
        try:
            os.rename(staging, target)
        except OSError:
            if not os.path.isdir(target):  # else another worker was first
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _extract(path, target, what):
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive.infolist(), what)
            archive.extractall(target)
    except zipfile.BadZipFile as error:
        raise JobFailure("%s is not a valid zip archive: %s" % (what, error)) from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or a compression that is not known
        raise JobFailure("%s cannot be unpacked: %s" % (what, error)) from None
    except OSError as error:
        raise JobFailure("%s cannot be unpacked: %s" % (what, error)) from None


def _check(entries, what):
    if len(entries) > MAX_ENTRIES:
        raise JobFailure("%s holds %d files; the limit is %d" % (what, len(entries), MAX_ENTRIES))
    for entry in entries:
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise JobFailure("%s holds a file that would lie outside of it: %r" % (what, entry.filename))
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if unpacked > MAX_BYTES or (unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed):
        raise JobFailure(
            "%s unpacks from %d to %d bytes, which is beyond the limits" % (what, packed, unpacked))


def import_paths(directory):
    """What to put on `sys.path` for an unpacked binary, relative to it: itself, and a wheel's own data parts."""
    parts = sorted(
        path for kind in ("purelib", "platlib") for path in glob.glob(os.path.join(glob.escape(directory), "*.data", kind)))
    return [""] + [os.path.relpath(path, directory) for path in parts]


def has_native_code(directory):
    """Whether an unpacked binary must lie in a directory to be imported."""
    return any(
        name.endswith(NATIVE_SUFFIXES) or ".so." in name for _, _, names in os.walk(directory) for name in names)


def remove_unused(root, last_used, in_use):
    """Take the binaries that were not used for longest away, beyond `KEEP_UNPACKED`.

    `last_used` maps a hash to a time, `in_use` holds the hashes of living workers. They are only renamed, which is
    quick; gives the directories that are left to be deleted.
    """
    candidates = sorted((when, sha) for sha, when in last_used.items() if sha not in in_use)
    doomed = []
    for _, sha in candidates[: max(0, len(last_used) - KEEP_UNPACKED)]:
        del last_used[sha]
        try:
            trash = tempfile.mkdtemp(prefix=".removing-", dir=root)
            os.rename(os.path.join(root, sha), os.path.join(trash, sha))
            doomed.append(trash)
        except OSError:
            pass  # it was never unpacked
    return doomed
