"""Messages as lines of JSON, and the marks on the frames between the driver main and its workers.

Towards the shim a line is a message. A line from a worker to main is a mark of one byte, then a payload: main forwards
the payload of `END...` as it is, and never parses a result.
"""
import json
import re

# A line of the protocol is at most 64 MiB long; what is near that goes to a file.
MAX_INLINE_BYTES = 60 * 1024 * 1024

HELLO = 0x48  # "H", payload: the worker's process id; the worker can take jobs
END = 0x45  # "E", payload: the job's terminal message; the worker is free
END_RETIRED = 0x52  # "R", likewise, but the worker ends and takes no more jobs
END_LOST = 0x4C  # "L", likewise, and the job was lost with Spark: the context has to end
BROKEN = 0x42  # "B", payload: {message, class, stack}: the `run` line itself could not be used; the worker is free

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def encode(kind, fields):
    """A message as bytes of one line, with its newline."""
    return dumps({kind: fields}) + b"\n"


def dumps(value):
    """Compact JSON in UTF-8. Lone surrogates, which UTF-8 cannot say, become U+FFFD."""
    return utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def utf8(text):
    """`text` in UTF-8, with lone surrogates replaced."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")


def decode(line):
    """Kind and fields of a message; (None, None) for what is no message, which is to be ignored."""
    message = json.loads(line)
    if not isinstance(message, dict) or len(message) != 1:
        return None, None
    kind, fields = next(iter(message.items()))
    return kind, fields if isinstance(fields, dict) else {}


def salvage_run_job(line):
    """The job id of a `run` that nests too deeply to be parsed: a scan of the tokens, without recursion."""
    text = line.decode("utf-8", "replace")
    depth, previous = 0, None
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
        elif depth == 2:
            if previous == '"job"':
                return json.loads(token)
            previous = token
            continue
        previous = None
    return None
