# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: the layers of the library. Usage: include_graph.py [--self-test]"""

import pathlib
import posixpath
import re
import sys

import house

L0 = {"version", "fwd", "config", "error", "scalar", "math", "random", "context", "dispatch"}
L4 = {"recipe", "reflect", "archive", "observer", "checkpoint", "trainer", "policy_update", "data_parallel", "rollout", "group_update", "sft",
      "replay", "report", "rl_run", "ranks", "memory_plan", "slot_rules"}

# group -> groups it may include besides itself
MAY_INCLUDE = {
    "L0": set(),
    "tensor": {"L0"},
    "rl": {"L0", "tensor"},
    "model": {"L0", "tensor", "comm"},
    "curriculum": {"L0"},
    "comm": {"L0", "tensor"},
    "io": {"L0", "tensor", "rl"},
    "text": {"L0", "io"},
    "data": {"L0", "tensor", "io", "text"},
    "backend/cpu": {"L0", "tensor", "rl", "model", "comm"},
    "backend/plan": {"L0", "tensor", "backend/cpu"},
    "backend/cuda": {"L0", "tensor", "rl", "model", "comm"},
}
BELOW_L3 = {group for group in MAY_INCLUDE if not group.startswith("backend/")}
MAY_INCLUDE["testing"] = set(BELOW_L3)
MAY_INCLUDE["core.hpp"] = set(BELOW_L3)
MAY_INCLUDE["L4"] = BELOW_L3 | {"backend/cpu", "backend/plan"}
MAY_INCLUDE["ql.hpp"] = BELOW_L3 | {"backend/cpu", "L4", "core.hpp"}

# groups that may include other libraries, by the beginning of the include
OTHERS = {
    "backend/cpu": ("Eigen/", "unsupported/Eigen/", "immintrin.h", "sys/mman.h"),
    "backend/cuda": ("cuda", "sys/mman.h", "cub/", "thrust/", "cooperative_groups", "mma.h", "nccl.h", "cublas"),
    "comm": ("mpi.h", "nccl.h", "cuda_runtime"),
    "L4": ("boost/hana", "fmt/"),
}
# std headers too dear for the lower layers
DEAR = {"iostream", "regex", "random", "ranges", "functional"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def group_of(header):
    """The group of ql/...; None when the layers do not know it."""
    parts = header.split("/")[1:]
    name = posixpath.splitext(parts[-1])[0]
    if len(parts) == 1:
        return "L0" if name in L0 else "L4" if name in L4 else parts[0] if parts[0] in ("core.hpp", "ql.hpp") else None
    if parts[0] == "detail":
        return "L0"
    if parts[0] == "eval":
        return "L4"
    group = "/".join(parts[:2]) if parts[0] == "backend" else parts[0]
    return group if group in MAY_INCLUDE else None


def includes(path):
    """(line, opening quote, name) of each include"""
    text = pathlib.Path(path).read_text()
    return [(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in INCLUDE.finditer(text)]


def resolve(header, quote, name, known):
    """The ql/... path that an include means; None for other libraries."""
    if quote == '"':
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(header), name))
        if beside in known or not name.startswith("ql/"):
            return beside
    return name if name.startswith("ql/") else None


def check(root):
    known = set(house.public_headers(root)) | set(house.public_headers(root, ".cuh"))
    problems = []
    for header in sorted(known):
        group = group_of(header)
        if group is None:
            problems.append(f"include/{header}: belongs to no layer; give it a place in tests/house/include_graph.py")
            continue
        low = group in BELOW_L3
        for line, quote, name in includes(pathlib.Path(root) / "include" / header):
            complain = lambda why: problems.append(f"include/{header}:{line}: {name}: {why}")
            if name.endswith(".cuh") and not header.endswith(".cuh"):
                complain("a .hpp must not include a .cuh")
            target = resolve(header, quote, name, known)
            if target is None:
                std = "/" not in name and "." not in name
                if std and low and name in DEAR:
                    complain("too dear for the layers below the backends")
                elif not std and not name.startswith(OTHERS.get(group, ())):
                    complain(f"{group} may include the standard library"
                             + "".join(f", {other}" for other in OTHERS.get(group, ())) + " and ql only")
            elif target not in known:
                complain("there is no such header")
            elif group_of(target) not in MAY_INCLUDE[group] | {group}:
                complain(f"{group} must not include {group_of(target)}")
    return problems, known


def self_test():
    def problems(files):
        with house.planted({f"include/{path}": text for path, text in files.items()}) as folder:
            return check(folder)[0]

    good = {
        "ql/error.hpp": "#include <string>\n",
        "ql/tensor/view.hpp": "#include <ql/error.hpp>\n",
        "ql/rl/loss.hpp": "#include <ql/tensor/view.hpp>\n#include \"kl.hpp\"\n",
        "ql/rl/kl.hpp": "",
        "ql/model/decoder.hpp": "",
        "ql/curriculum/phase.hpp": "",
        "ql/backend/cpu/linalg.hpp": "#include <Eigen/Core>\n#include <ql/rl/loss.hpp>\n",
        "ql/backend/cuda/nn.cuh": "#include <cub/cub.cuh>\n#include <functional>\n",
        "ql/trainer.hpp": "#include <boost/hana/map.hpp>\n#include <ql/backend/cpu/linalg.hpp>\n",
        "ql/ql.hpp": "#include <ql/trainer.hpp>\n",
    }
    house.expect(problems(good) == [], "a good tree is accepted")
    for header, line, why in [
        ("ql/rl/bad.hpp", "#include <ql/model/decoder.hpp>", "rl must not include model"),
        ("ql/model/bad.hpp", "# include <ql/rl/kl.hpp>", "model must not include rl"),
        ("ql/curriculum/bad.hpp", "#include <ql/tensor/view.hpp>", "curriculum must not include tensor"),
        ("ql/curriculum/bad.hpp", "#include \"../rl/kl.hpp\"", "curriculum must not include rl"),
        ("ql/tensor/bad.hpp", "#include <ql/rl/kl.hpp>", "tensor must not include rl"),
        ("ql/math.hpp", "#include <ql/tensor/view.hpp>", "L0 must not include tensor"),
        ("ql/rl/bad.hpp", "#include <ql/backend/cpu/linalg.hpp>", "rl must not include backend/cpu"),
        ("ql/rl/bad.hpp", "#include \"ql/trainer.hpp\"", "rl must not include L4"),
        ("ql/rl/bad.hpp", "#include <Eigen/Core>", "may include the standard library"),
        ("ql/tensor/bad.hpp", "#include <fmt/core.h>", "may include the standard library"),
        ("ql/backend/cpu/bad.hpp", "#include <boost/hana.hpp>", "may include the standard library"),
        ("ql/trainer.hpp", "#include <Eigen/Core>", "may include the standard library"),
        ("ql/rl/bad.hpp", "#include <functional>", "too dear"),
        ("ql/text/bad.hpp", "#include <regex>", "too dear"),
        ("ql/backend/cuda/bad.hpp", "#include <ql/backend/cuda/nn.cuh>", "must not include a .cuh"),
        ("ql/ql.hpp", "#include <ql/backend/cuda/nn.cuh>", "ql.hpp must not include backend/cuda"),
        ("ql/rl/bad.hpp", "#include <ql/rl/absent.hpp>", "no such header"),
        ("ql/rl/bad.hpp", "#include <ql/ql.hpp>", "rl must not include ql.hpp"),
        ("ql/stranger.hpp", "", "belongs to no layer"),
        ("ql/strange/header.hpp", "", "belongs to no layer"),
    ]:
        house.expect(any(why in p for p in problems({**good, header: line + "\n"})), f"{line} in {header}: {why}")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        house.finish(*check(house.ROOT))
