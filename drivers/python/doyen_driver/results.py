"""A job's result as JSON text.

The quick way is the encoder written in C. When it refuses, a careful walk finds out why: numbers that are not finite
become null, and what JSON cannot say is named with its type and place.
"""
import json
import math
import sys

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class ResultError(Exception):
    """The result cannot be said in JSON. The text names the type and the place."""


def to_json(result):
    """The JSON text of `result`. Raises `ResultError`."""
    try:
        return _ENCODER.encode(result)
    except (TypeError, ValueError, RecursionError):
        pass
    with _unlimited_digits():
        try:
            return _ENCODER.encode(_plain(result, "result", set()))
        except RecursionError:
            raise ResultError("the result is nested too deeply to be written as JSON") from None


def _plain(value, place, above):
    """A copy of `value` that the encoder takes. `above` holds the ids of the containers that it lies in."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, (dict, list, tuple)):
        raise ResultError("%s is of type %s, which JSON cannot say" % (place, type_name(value)))
    if id(value) in above:
        raise ResultError("%s contains itself: a cycle has no JSON" % place)
    above.add(id(value))
    if isinstance(value, dict):
        copy = {_key(k, place): _plain(v, "%s[%s]" % (place, _short(k)), above) for k, v in value.items()}
    else:
        copy = [_plain(v, "%s[%d]" % (place, i), above) for i, v in enumerate(value)]
    above.discard(id(value))
    return copy


def _key(key, place):
    """A dictionary's key as JSON's encoder would write it; also where a float is not finite."""
    if isinstance(key, float) and not math.isfinite(key):
        return "null"
    if key is None or isinstance(key, (str, bool, int, float)):
        return key
    raise ResultError("%s has a key of type %s, which JSON cannot say" % (place, type_name(key)))


def _short(key):
    text = repr(key) if isinstance(key, (str, int, float, bool, type(None))) else "…"
    return text if len(text) <= 40 else text[:37] + "…"


def type_name(value):
    """`module.Type`, or only the type's name when it is built in."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


class _unlimited_digits:
    """Lifts the interpreter's limit on the digits of an int while it is turned into text."""

    def __enter__(self):
        self.before = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None
        if self.before is not None:
            sys.set_int_max_str_digits(0)

    def __exit__(self, *error):
        if self.before is not None:
            sys.set_int_max_str_digits(self.before)
