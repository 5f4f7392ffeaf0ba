# SPDX-License-Identifier: Apache-2.0
"""The errors page is what the program says of its errors; messages carry the ids that it explains."""

import pathlib
import re
import unittest

import support

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Explain(unittest.TestCase):
    def test_the_page_in_the_documentation_is_in_step(self):
        page = (ROOT / "docs" / "errors.md").read_text()
        self.assertEqual(page, support.run("explain", "--page")[0], "run: scripts/errors_page.sh")

    def test_an_entry_is_the_pages(self):
        page = (ROOT / "docs" / "errors.md").read_text()
        listed = re.findall(r"^(QL-E\d{4})  ql::", support.run("explain")[0], re.MULTILINE)
        self.assertEqual(listed, re.findall(r"^## (QL-E\d{4})$", page, re.MULTILINE))
        for name in listed:
            entry = support.run("explain", name)[0]
            self.assertTrue(entry.startswith(f"## {name}\n"))
            self.assertIn(entry, page)
        self.assertEqual(support.run("explain", "e0302"), support.run("explain", "QL-E0302"))

    def test_every_class_of_error_has_its_entry(self):
        page = (ROOT / "docs" / "errors.md").read_text()
        classes = 0
        for header in sorted((ROOT / "include").rglob("*.hpp")):
            for name, body in re.findall(r"^class (\w+) (?:final )?: public (?:\w+::)*\w*error \{(.*?)^\};", header.read_text(),
                                         re.MULTILINE | re.DOTALL):
                said = re.search(r'id\(\) const noexcept (?:override )?\{ return "(QL-E\d{4})"; \}', body)
                self.assertTrue(said, f"{header.name}: {name} has no id of its own")
                self.assertRegex(page, rf"## {said[1]}\n\n`(\w+::)+{name}`")
                classes += 1
        self.assertGreaterEqual(classes, 18)

    def test_messages_end_with_an_id_that_is_explained(self):
        for arguments, name in [(["report", "/nowhere/at/all"], "QL-E0301"), (["explain", "QL-E9999"], "QL-E0102")]:
            error = support.run(*arguments, code=2)[1]
            self.assertTrue(error.endswith(f" [{name}]\n"), error)


if __name__ == "__main__":
    support.main()
