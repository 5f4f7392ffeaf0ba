# SPDX-License-Identifier: Apache-2.0
"""Code in README.md and docs/*.md is true: ```cpp compiles (and runs, if it has a main), ```sh is well-formed.

Usage: docs.py TOOLCHAIN.json [--self-test]"""

import pathlib
import re
import subprocess
import sys

import house

BLOCK = re.compile(r"^```(cpp|sh)[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


def blocks(root):
    """(file:line, language, code)"""
    root = pathlib.Path(root)
    for path in [root / "README.md", *sorted(root.glob("docs/**/*.md"))]:
        text = path.read_text() if path.exists() else ""
        for match in BLOCK.finditer(text):
            yield f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}", match[1], match[2]


def check(tools):
    def check_one(block):
        where, language, code = block
        if language == "sh":
            done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True)
            return [] if done.returncode == 0 else [f"{where}: {done.stderr}"]
        source = house.write(tools.work / "docs" / (re.sub(r"\W", "_", where) + ".cpp"), code)
        if not re.search(r"\bint main\(", code):
            worked, output = tools.run("-O0", "-c", source, "-o", source.with_suffix(".o"), launcher=True)
            return [] if worked else [f"{where}: does not compile:\n{output}"]
        program = source.with_suffix("")
        worked, output = tools.run("-O1", source, *tools.libraries, "-pthread", "-o", program)
        if not worked:
            return [f"{where}: does not compile:\n{output}"]
        done = subprocess.run([program], capture_output=True, text=True, timeout=120, cwd=source.parent)
        return [] if done.returncode == 0 else [f"{where}: ended with {done.returncode}:\n{done.stdout}{done.stderr}"]

    found = list(blocks(tools.root))
    return sum(house.in_parallel(check_one, found), []), found


def self_test(tools):
    def problems(readme):
        with house.planted({"README.md": readme, "docs/a.md": "```text\nnot code\n```\n"}) as folder:
            tools.use_planted(folder)
            return check(tools)[0]

    house.expect(problems("```cpp\nint main() {}\n```\n\n```cpp\nint x;\n```\n\n```sh\nls | wc\n```\n") == [], "good blocks")
    for readme, why in [
        ("```cpp\nint x = y;\n```\n", "does not compile"),
        ("```cpp\nint main() { return x; }\n```\n", "does not compile"),
        ("text\n```cpp\nint main() { return 3; }\n```\n", "ended with 3"),
        ("```sh\nif true\n```\n", "syntax error"),
    ]:
        house.expect(any(why in p for p in problems(readme)), f"{readme!r}: {why}")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        house.finish(*check(toolchain))
