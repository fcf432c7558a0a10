"""docs/durability.md, whose tables are what was found."""
import os

DOCUMENT = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "durability.md")


def write(part, lines):
    begin, end = "<!-- %s -->\n" % part, "<!-- end of %s -->" % part
    with open(DOCUMENT, encoding="utf-8") as file:
        before, rest = file.read().split(begin)
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write("%s%s\n%s\n\n%s%s" % (before, begin, "\n".join(lines), end, rest.split(end)[1]))
