"""`ConfigTree`: configuration as jobs know it from pyhocon, a dict with dotted paths.

A key that holds a special character, such as a dot, is kept in quotes, as pyhocon does: `config['"a.b"']`, while
`config['a.b']` is the path a → b. `as_plain_ordered_dict` takes the quotes off.
"""
import copy
import re
from collections import OrderedDict

_SPECIAL = "$}[]:=+#`^?!@*&."
_HAS_SPECIAL = re.compile("[%s]" % re.escape(_SPECIAL))
_ELEMENTS = re.compile(r'"[^"]+"|[^%s]+' % re.escape(_SPECIAL))
_INDEX = re.compile(r"^(?:0|[1-9][0-9]*)$")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class ConfigException(Exception):
    """A value is not what was asked for."""


class ConfigMissingException(ConfigException, KeyError):
    """There is no value at the path."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class ConfigWrongTypeException(ConfigException):
    """A path leads through a value that is not a tree."""


class _Undefined:
    """Stands for "no default was given"."""


class ConfigTree(OrderedDict):
    """A tree of configuration values; see the module's text."""

    @classmethod
    def from_plain(cls, values):
        """Make a tree of nested plain dicts and lists."""
        if not values:
            return cls()
        return cls((_quoted(key), _from_plain(value)) for key, value in values.items())

    @staticmethod
    def parse_key(path):
        """Split a path at its dots; elements in quotes stay whole."""
        elements = _ELEMENTS.findall(path)
        return [e if _HAS_SPECIAL.search(e) else e.strip('"') for e in elements]

    def get(self, key, default=_Undefined):
        """The value at a dotted path. Without a default a missing one raises `ConfigMissingException`."""
        if OrderedDict.__contains__(self, key):
            return OrderedDict.__getitem__(self, key)
        tree, path = self, self.parse_key(key)
        for depth, element in enumerate(path):
            if not isinstance(tree, ConfigTree):
                if default is _Undefined:
                    raise ConfigWrongTypeException(
                        "%s has type %s rather than dict" % (".".join(path[:depth]), type(tree).__name__))
                return default
            if not OrderedDict.__contains__(tree, element):
                break
            tree = OrderedDict.__getitem__(tree, element)
        else:
            if path:
                return tree
        if default is _Undefined:
            raise ConfigMissingException("No configuration setting found for key %s" % key)
        return default

    def get_string(self, key, default=_Undefined):
        value = self.get(key, default)
        if value is None:
            return None
        return str(value).lower() if isinstance(value, bool) else str(value)

    def get_int(self, key, default=_Undefined):
        return self._number(int, "int", key, default)

    def get_float(self, key, default=_Undefined):
        return self._number(float, "float", key, default)

    def get_bool(self, key, default=_Undefined):
        text = self.get_string(key, default)
        if text is None:
            return None
        if text.lower() not in _BOOLEANS:
            raise ConfigException("%s does not translate to a Boolean value" % key)
        return _BOOLEANS[text.lower()]

    def get_list(self, key, default=_Undefined):
        """The list at a path; a tree whose keys are all numbers counts as one."""
        value = self.get(key, default)
        if value is None or isinstance(value, list):
            return value
        if not isinstance(value, ConfigTree):
            raise ConfigException("%s has type '%s' rather than 'list'" % (key, type(value).__name__))
        if not all(_INDEX.match(k) for k in value):
            raise ConfigException("%s does not translate to a list" % key)
        return [v for _, v in sorted(value.items(), key=lambda item: item[0])]

    def get_config(self, key, default=_Undefined):
        value = self.get(key, default)
        if value is None or isinstance(value, dict):
            return value
        raise ConfigException("%s has type '%s' rather than 'config'" % (key, type(value).__name__))

    def put(self, key, value, append=False):
        """Set the value at a dotted path, with the trees that lead there; `append` extends a list or merges a tree."""
        path = self.parse_key(key)
        tree = self
        for element in path[:-1]:
            below = OrderedDict.get(tree, element)
            if not isinstance(below, ConfigTree):
                below = ConfigTree()
                OrderedDict.__setitem__(tree, element, below)
            tree = below
        before = OrderedDict.get(tree, path[-1])
        if append and isinstance(before, list) and isinstance(value, list):
            value = before + value
        elif isinstance(before, ConfigTree) and isinstance(value, ConfigTree):
            value = self.merge_configs(before, value)
        OrderedDict.__setitem__(tree, path[-1], value)

    def pop(self, key, default=_Undefined):
        """Take the value at a dotted path out of the tree."""
        if default is not _Undefined and key not in self:
            return default
        value = self.get(key)
        if OrderedDict.__contains__(self, key):
            OrderedDict.__delitem__(self, key)
            return value
        path, tree = self.parse_key(key), self
        for element in path[:-1]:
            tree = OrderedDict.__getitem__(tree, element)
        OrderedDict.__delitem__(tree, path[-1])
        return value

    @staticmethod
    def merge_configs(a, b, copy_trees=False):
        """Merge `b` into `a`, and return `a`: trees are merged, other values of `b` win."""
        for key, value in b.items():
            mine = OrderedDict.get(a, key)
            if isinstance(mine, ConfigTree) and isinstance(value, ConfigTree):
                if copy_trees:
                    mine = copy.copy(mine)
                    OrderedDict.__setitem__(a, key, mine)
                ConfigTree.merge_configs(mine, value, copy_trees)
            else:
                OrderedDict.__setitem__(a, key, value)
        return a

    def with_fallback(self, config, resolve=True):
        """A new tree: this one, and `config` (a tree) where this one has nothing."""
        return self.merge_configs(copy.deepcopy(config), copy.deepcopy(self))

    def as_plain_ordered_dict(self):
        """A deep copy in `OrderedDict`s, with the keys' quotes taken off."""
        return OrderedDict((key.strip('"'), _to_plain(value)) for key, value in self.items())

    def __getitem__(self, key):
        return self.get(key)

    def __contains__(self, key):
        return self.get(key, _MISSING) is not _MISSING

    def __getattr__(self, name):
        value = self.get(name, _MISSING)
        if value is _MISSING:
            raise AttributeError("no configuration setting or attribute %s" % name)
        return value

    def _number(self, kind, name, key, default):
        value = self.get(key, default)
        try:
            return None if value is None else kind(value)
        except (TypeError, ValueError):
            raise ConfigException(
                "%s has type '%s' rather than '%s'" % (key, type(value).__name__, name)) from None


_MISSING = _Undefined()


def _quoted(key):
    return '"%s"' % key if _HAS_SPECIAL.search(key) else key


def _from_plain(value):
    if isinstance(value, dict):
        return ConfigTree.from_plain(value)
    if isinstance(value, list):
        return [_from_plain(v) for v in value]
    return value


def _to_plain(value):
    if isinstance(value, ConfigTree):
        return value.as_plain_ordered_dict()
    if isinstance(value, list):
        return [_to_plain(v) for v in value]
    return value
