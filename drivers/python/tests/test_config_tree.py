"""ConfigTree behaves like pyhocon's: these expectations were compared with the original."""
import copy
import json
import unittest
from collections import OrderedDict

import harness  # noqa: F401 (makes the package importable)
from doyen_driver.config_tree import (
    ConfigException, ConfigMissingException, ConfigTree, ConfigWrongTypeException)


class Tree(unittest.TestCase):
    def setUp(self):
        self.tree = ConfigTree.from_plain({
            "a": {"b": 1, "c": "two", "n": None}, "d": True, "x": {"a.b": 1, "c d": 2}, "l": [1, None, {"z": 1}],
            "num": {"1": "a", "2": "b"}, "s": "12", "f": 1.5, "y": "yes"})

    def test_paths(self):
        self.assertEqual(self.tree.get("a.b"), 1)
        self.assertEqual(self.tree["a"]["c"], self.tree["a.c"])
        self.assertEqual(self.tree['x."a.b"'], 1)
        self.assertEqual(self.tree["x.c d"], 2)
        self.assertEqual(self.tree.a.b, 1)
        self.assertIn("a.n", self.tree)
        self.assertNotIn("a.z", self.tree)

    def test_defaults_and_what_is_missing(self):
        self.assertIsNone(self.tree.get("no.such", None))
        self.assertEqual(self.tree.get_int("no", 7), 7)
        self.assertIsNone(self.tree.get_string("a.n", "x"))
        with self.assertRaises(ConfigMissingException):
            self.tree.get("no.such")
        with self.assertRaises(KeyError):
            self.tree["no"]
        with self.assertRaises(ConfigWrongTypeException):
            self.tree.get("a.b.c")
        with self.assertRaises(AttributeError):
            self.tree.nothing

    def test_conversions(self):
        self.assertEqual(self.tree.get_string("d"), "true")
        self.assertEqual(self.tree.get_int("s"), 12)
        self.assertEqual(self.tree.get_float("s"), 12.0)
        self.assertIs(self.tree.get_bool("y"), True)
        self.assertEqual(self.tree.get_list("num"), ["a", "b"])
        self.assertEqual(self.tree.get_config("a")["b"], 1)
        for ask in (lambda: self.tree.get_int("a.c"), lambda: self.tree.get_bool("s"), lambda: self.tree.get_list("s"),
                    lambda: self.tree.get_config("s"), lambda: self.tree.get_list("a")):
            self.assertRaises(ConfigException, ask)

    def test_plain(self):
        plain = self.tree.as_plain_ordered_dict()
        self.assertIs(type(plain["x"]), OrderedDict)
        self.assertEqual(plain["x"], {"a.b": 1, "c d": 2})
        self.assertEqual(json.loads(json.dumps(plain))["l"], [1, None, {"z": 1}])

    def test_changes(self):
        self.tree.put("new.deep.value", 3)
        self.assertEqual(self.tree["new.deep.value"], 3)
        self.assertEqual(self.tree.pop("a.b"), 1)
        self.assertNotIn("a.b", self.tree)
        self.assertEqual(self.tree.pop("none", 9), 9)
        merged = copy.deepcopy(self.tree).with_fallback(ConfigTree.from_plain({"d": 5, "only": 6, "a": {"more": 7}}))
        self.assertEqual((merged["d"], merged["only"], merged["a.more"], merged["a.c"]), (True, 6, 7, "two"))


if __name__ == "__main__":
    unittest.main()
