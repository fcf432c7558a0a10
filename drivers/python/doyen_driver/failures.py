"""How an exception becomes the error of a job: bounded texts, and a stack without the driver's own frames."""
import os
import traceback

MAX_MESSAGE_CHARS = 32 * 1024
MAX_STACK_CHARS = 128 * 1024
_OWN_DIRECTORY = os.path.dirname(os.path.abspath(__file__)) + os.sep


# The class of a job's failure that means: it was lost with the driver, which is about to exit. The server may run it again.
LOST = "DriverExited"


class JobFailure(Exception):
    """The driver itself says why a job cannot run. Its text is shown to the client."""


def clip(text, limit):
    """`text`, with its middle left out when it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return "%s … (%d characters left out) … %s" % (text[:half], len(text) - 2 * half, text[-half:])


def describe(error):
    """`TypeName: text` of an exception, whatever its `__str__` does."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException as problem:  # a job's exception may raise in its own __str__
        text = "(its text cannot be had: %s)" % type(problem).__name__
    return "%s: %s" % (name, text) if text else name


def error_of(error, where):
    """The `error` of a `failed` message, for an exception that came out of the phase `where`."""
    message = str(error) if isinstance(error, JobFailure) else "%s: %s" % (where, describe(error))
    return {
        "message": clip(message, MAX_MESSAGE_CHARS),
        "class": type(error).__name__,
        "stack": None if isinstance(error, JobFailure) else clip(stack_of(error), MAX_STACK_CHARS),
    }


def lost_with(reason):
    """The `error` of a job that ends because its context has ended."""
    return {"message": clip("the context has ended: %s" % reason, MAX_MESSAGE_CHARS), "class": LOST, "stack": None}


def stack_of(error):
    """The traceback as text; frames of the driver and of the import machinery above the job's own are left out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = None
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # likewise: a job's exception may break the formatting
        return describe(error)


def _is_machinery(filename):
    return (
        filename.startswith((_OWN_DIRECTORY, "<frozen importlib"))
        or filename.endswith(os.path.join("importlib", "__init__.py"))
    )
