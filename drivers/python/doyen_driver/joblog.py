"""A job's own log: the worker's standard output and error are the job's file while the job runs.

Most jobs are short, write nothing, and shall leave no file, at no cost. So a worker keeps an empty scratch file open in
the directory of the logs, and that is what a job writes to. It becomes the job's log by a hard link: main makes it for
a job that runs for more than a moment (`show`), the worker at the job's end when something was written. Only then does
the worker let go of that file and make a new one.
"""
import os
import sys

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def scratch_path(directory, pid):
    """Where the worker `pid` keeps its scratch file among the logs."""
    return os.path.join(directory, ".scratch-%d" % pid)


def show(scratch, path):
    """Make the scratch file the log at `path`, unless it is already; False when there is no such file."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return False
    except OSError:  # this file system has no hard links
        os.rename(scratch, path)
    return True


def hide_if_empty(path):
    """Remove the log of a job that has ended without output."""
    try:
        if os.path.getsize(path) == 0:
            os.unlink(path)
    except OSError:
        pass


class JobLog:
    """Redirects descriptors 1 and 2 of this process from job to job."""

    def __init__(self):
        self._rest = (os.dup(1), os.dup(2))  # the context's log
        self._stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)
        self._stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
        sys.stdout = sys.__stdout__ = self._stdout
        sys.stderr = sys.__stderr__ = self._stderr
        self._scratch = None  # its path
        self._descriptor = None
        self._path = None  # of the running job's log, when the scratch file is to become it

    def begin(self, path):
        """Turn output to the log at `path`."""
        descriptor = None
        if self._is_shown(path):
            self._path = path  # main was faster: the scratch file has become the log already
        elif os.path.exists(path):
            descriptor = os.open(path, _FLAGS, 0o640)  # it is to be extended
        else:
            self._make_scratch(os.path.dirname(path))
            self._path = path
        os.dup2(self._descriptor if descriptor is None else descriptor, 1)
        os.dup2(1, 2)
        if descriptor is not None:
            os.close(descriptor)

    def end(self):
        """Turn output back to the context's log, and leave the job's log only if something is in it."""
        self._flush()
        os.dup2(self._rest[0], 1)
        os.dup2(self._rest[1], 2)
        path, self._path = self._path, None
        if path is None:
            return
        if os.fstat(self._descriptor).st_size:
            show(self._scratch, path)
            self._drop_scratch()
        elif _has_children():
            self._drop_scratch()  # they may still write, and not into the next job's log

    def _is_shown(self, path):
        try:
            return self._scratch is not None and os.path.samestat(os.stat(path), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self):
        """Remove the scratch file: this worker takes no more jobs."""
        if self._scratch is not None:
            self._drop_scratch()

    def _make_scratch(self, directory):
        scratch = scratch_path(directory, os.getpid())
        if self._scratch == scratch:
            found = os.fstat(self._descriptor)
            if found.st_size == 0 and found.st_nlink:
                return
        self.close()
        _remove(scratch)  # of a process that had this pid before
        self._descriptor = os.open(scratch, _FLAGS, 0o640)
        self._scratch = scratch

    def _drop_scratch(self):
        os.close(self._descriptor)
        _remove(self._scratch)
        self._scratch = self._descriptor = None

    def _flush(self):
        """Flush what the job left in buffers, and undo what it did to `sys.stdout` and `sys.stderr`."""
        for name, descriptor, own in (("stdout", 1, self._stdout), ("stderr", 2, self._stderr)):
            current = getattr(sys, name)
            for stream in (current,) if current is own else (current, own):
                try:
                    stream.flush()
                except Exception:  # the job closed or replaced it, or the disk is full
                    pass
            if own.closed:
                own = open(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)
                setattr(self, "_" + name, own)
            setattr(sys, name, own)


def _has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def _remove(path):
    try:
        os.unlink(path)
    except OSError:
        pass
