# SPDX-License-Identifier: Apache-2.0
"""What scripts/site.sh needs. site.py FOLDER lays out the guide's pages and their configuration there, and ends with 1 where
a link leads nowhere; site.py --comments FILE prints a header with its comments as Doxygen reads them; site.py --links only looks at the links; site.py --self-test."""

import pathlib
import re
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# menu entry -> page; all pages of docs/ must be here
PAGES = {
    "ql": "README.md",
    "Ten minutes": "docs/start.md",
    "Choose your components": "docs/choose.md",
    "The concepts": "docs/concepts.md",
    "Names elsewhere": "docs/names.md",
    "Recipe": {
        "The recipe": "docs/recipe.md",
        "Its claims, tested": "docs/claims.md",
        "The paper, line by line": "docs/paper_dapo.md",
        "Train your model": "docs/train.md",
        "The program": "docs/tool.md",
        "A run's folder": "docs/run_directory.md",
        "Evaluation": "docs/evaluation.md",
    },
    "Parts": {
        "Algorithms": "docs/algorithms.md",
        "Rewards": "docs/rewards.md",
        "Curriculum": "docs/curriculum.md",
        "Data": "docs/data.md",
        "Several processes": "docs/parallel.md",
        "CUDA": "docs/cuda.md",
    },
    "Inside": {
        "Architecture": "docs/architecture.md",
        "Numerics": "docs/numerics.md",
        "Performance": "docs/performance.md",
        "Tests": "tests/README.md",
    },
    "Errors": "docs/errors.md",
    "Contributing": "CONTRIBUTING.md",
    "Security": "SECURITY.md",
    "Changelog": "CHANGELOG.md",
}
LINK = re.compile(r"(?<!`)\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)?\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)


def flat(pages):
    for name, page in pages.items():
        if isinstance(page, dict):
            yield from flat(page)
        else:
            yield page


def anchors(text):
    """The ids that MkDocs gives to headings."""
    found = set()
    for line in FENCE.sub("", text).splitlines():
        heading = re.match(r"#+ (.+)", line)
        if heading:
            words = re.sub(r"[^\w\s-]", "", heading[1].replace("`", "")).strip().lower()
            found.add(re.sub(r"[-\s]+", "-", words))
    return found


def problems(root, pages):
    """Links between the pages that lead nowhere, and pages that no menu shows."""
    root, found = pathlib.Path(root), []
    shown = set(flat(pages))
    for path in sorted(root.glob("docs/**/*.md")):
        if path.relative_to(root).as_posix() not in shown:
            found.append(f"{path.relative_to(root)} is in no menu (scripts/site.py)")
    for page in sorted(shown):
        text = (root / page).read_text()
        for link in LINK.findall(FENCE.sub("", text)):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            path = (root / page).parent / target if target else root / page
            if not path.exists():
                found.append(f"{page}: no file for the link {link}")
            elif anchor and anchor not in anchors(path.read_text()):
                found.append(f"{page}: no heading for the link {link}")
    return found


def menu(pages, depth=1):
    for name, page in pages.items():
        if isinstance(page, dict):
            yield f"{'  ' * depth}- {name}:"
            yield from menu(page, depth + 2)
        else:
            yield f"{'  ' * depth}- {name}: {page}"


def lay_out(out):
    for page in [*flat(PAGES), "LICENSE"]:
        (out / "pages" / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, out / "pages" / page)
    shutil.copytree(ROOT / "docs" / "images", out / "pages" / "docs" / "images")
    (out / "mkdocs.yml").write_text("\n".join([
        "site_name: ql", "docs_dir: pages", "use_directory_urls: false", "theme: {name: mkdocs, highlightjs: false}",
        "plugins: [search]", "nav:", *menu(PAGES), "  - Reference: api/index.html", ""]))
    # the reference stands beside the pages; MkDocs is shown that it will
    (out / "pages" / "api").mkdir()
    (out / "pages" / "api" / "index.html").write_text("")


def comments(text):
    """`// text` lines become `/// text`, comments behind a member `///< text`; the licence stays."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("// SPDX"):
            line = re.sub(r"^(\s*)//(?= |$)", r"\1///", line)
            line = re.sub(r"^(\s*[^\s/#].*[;,{]) +// (?=\S)", r"\1  ///< ", line)
            if "//" in line:  # no commands, no markup: words
                code, slashes, words = line.partition("//")
                line = code + slashes + re.sub(r"[\\@&<>#%]", lambda m: "\\" + m[0], words.replace("/<", "\0")).replace("\0", "/<")
        lines.append(line)
    return "\n".join(lines) + "\n"


def self_test():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "docs").mkdir()
        (folder / "README.md").write_text("# A `b`: c\n[x](docs/a.md#one-two) [y](https://a.b) [z](#a-b-c)\n```text\n[n](no.md)\n```\n")
        (folder / "docs" / "a.md").write_text("## One, two\n[up](../README.md)\n")
        pages = {"a": "README.md", "b": {"c": "docs/a.md"}}
        assert problems(folder, pages) == [], problems(folder, pages)
        (folder / "docs" / "b.md").write_text("")
        (folder / "docs" / "a.md").write_text("[gone](../gone.md) [none](../README.md#none) [img](i.png)\n")
        said = problems(folder, pages)
        for why in ("docs/b.md is in no menu", "link ../gone.md", "heading for the link ../README.md#none", "link i.png", "a.md#one-two"):
            assert any(why in s for s in said), (why, said)
    assert comments("// SPDX x\n// A <b>.\nint a = 0;  // of it\n") == "// SPDX x\n/// A \\<b\\>.\nint a = 0;  ///< of it\n", \
        comments("// SPDX x\n// A <b>.\nint a = 0;  // of it\n")


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        self_test()
    elif sys.argv[1] == "--comments":
        sys.stdout.write(comments(pathlib.Path(sys.argv[2]).read_text()))
    else:
        found = problems(ROOT, PAGES)
        for problem in found:
            print(problem, file=sys.stderr)
        if sys.argv[1] != "--links":
            lay_out(pathlib.Path(sys.argv[1]))
        sys.exit(1 if found else 0)
