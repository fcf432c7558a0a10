"""A job's own log: the worker's standard output and error are the job's file while the job runs.

Most jobs write nothing and shall leave no file, at no cost. So a worker keeps an empty scratch file open in the
directory of the logs; a job's log is a hard link to it, made when the job begins and removed at its end when nothing
was written. Only when something was written does the worker let go of that file and make a new one.
"""
import os
import sys

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def scratch_path(directory, pid):
    """Where the worker `pid` keeps its scratch file among the logs."""
    return os.path.join(directory, ".scratch-%d" % pid)


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
        self._linked = None  # the job's log, when it is the scratch file

    def begin(self, path):
        """Turn output to the log at `path`."""
        self._make_scratch(os.path.dirname(path))
        descriptor = self._descriptor
        try:
            os.link(self._scratch, path)
            self._linked = path
        except OSError:
            # It exists already and is to be extended, or this file system has no hard links.
            descriptor = os.open(path, _FLAGS, 0o640)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if descriptor != self._descriptor:
            os.close(descriptor)

    def end(self):
        """Turn output back to the context's log, and leave the job's log only if something is in it."""
        self._flush()
        os.dup2(self._rest[0], 1)
        os.dup2(self._rest[1], 2)
        if self._linked is None:
            return
        path, self._linked = self._linked, None
        if os.fstat(self._descriptor).st_size:
            self._drop_scratch()
            return
        _remove(path)
        if _has_children():
            self._drop_scratch()  # they may still write, and not into the next job's log

    def close(self):
        """Remove the scratch file: this worker takes no more jobs."""
        if self._scratch is not None:
            self._drop_scratch()

    def _make_scratch(self, directory):
        scratch = scratch_path(directory, os.getpid())
        if self._scratch == scratch:
            if os.fstat(self._descriptor).st_size == 0:
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
