# SPDX-License-Identifier: Apache-2.0
"""What docs/concepts.md says that the compiler says stands in a header, word for word. Usage: sentences.py [--self-test]"""

import pathlib
import re
import sys

import house

SECTION = "## What the compiler says"


def literals(text):
    """The string literals of C++ code, neighbours joined as a compiler joins them."""
    joined = re.sub(r'(?<!\\)"\s*\n\s*"', "", text)
    return [literal.replace('\\"', '"') for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', joined)]


def check(root):
    root = pathlib.Path(root)
    _, found, section = (root / "docs" / "concepts.md").read_text().partition(SECTION + "\n")
    rows = [re.findall(r"`([^`]+)`", row.split("|")[2]) for row in section.splitlines() if re.match(r"\| (?!mistake)[^-]", row)]
    if not found or not rows:
        return [f"docs/concepts.md has no table under '{SECTION}'"], []
    known = [s for path in sorted(root.glob("include/**/*.hpp")) for s in literals(path.read_text())]
    problems = [f"docs/concepts.md: no header says '{' ... '.join(row)}'" for row in rows
                if not any(all(part in sentence for part in row) for sentence in known)]
    return problems, rows


def self_test():
    header = 'static_assert(x, "ql: a sentence "\n   "of two parts, with a part more");\n'
    page = SECTION + "\n\n| mistake | first line |\n|---|---|\n| one | `{}` ... `more` |\n"
    for text, problems in ("ql: a sentence of two", 0), ("ql: a sentence of three", 1):
        with house.planted({"include/a.hpp": header, "docs/concepts.md": page.format(text)}) as folder:
            house.expect(len(check(folder)[0]) == problems, text)
    with house.planted({"docs/concepts.md": "# x\n"}) as folder:
        house.expect(check(folder)[0] != [], "a page without the table is found")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        house.finish(*check(house.ROOT))
