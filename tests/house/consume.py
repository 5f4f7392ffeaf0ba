# SPDX-License-Identifier: Apache-2.0
"""The ways to come by ql, each tried from an empty folder: a program of two translation units over all of ql is built there
and run. Usage: consume.py TOOLCHAIN.json installed | moved | pkg-config | deb | fetched | nvcc | cuda | --self-test"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import house
import package

PROGRAM = house.ROOT / "tests" / "package" / "program"
PLAIN = house.ROOT / "tests" / "package" / "plain" / "main.cpp"
FETCHED = house.ROOT / "tests" / "package" / "fetched"
CUDA = house.ROOT / "tests" / "package" / "installed" / "cuda.cpp"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]  # a consumer's own: ql's headers must bear them
NVCC = house.ROOT / "tests" / "package" / "nvcc" / "main.cu"


class Stop(Exception):
    """A step that did not work, and what it said."""


class Skip(Exception):
    """What a way needs and this machine lacks."""


def step(*command, folder=None, environment=None):
    """Runs a step and prints it; returns what it said."""
    command = list(map(str, command))
    print("$", " ".join(command))
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise Stop(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def by_cmake(tools, source, build, *settings, run=("program",)):
    step("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_CXX_COMPILER={tools.compiler}",
         f"-DCMAKE_CXX_COMPILER_LAUNCHER={';'.join(tools.launcher)}", f"-DCMAKE_CXX_FLAGS={' '.join(WARNINGS)}", *settings)
    step("cmake", "--build", build, "--target", *run)
    for program in run:
        step(build / program)


def by_pkg_config(tools, prefix, folder):
    """A plain compiler line each, from an empty folder."""
    places = sorted({str(path.parent) for path in prefix.rglob("ql.pc")})
    if len(places) != 1:
        raise Stop(f"{prefix}: ql.pc is in {places}, expected in one place")
    folder.mkdir(parents=True)
    environment = {"PKG_CONFIG_PATH": places[0]}
    for name, sources in ("ql-cpu", [PLAIN]), ("ql", [PROGRAM / "first.cpp", PROGRAM / "second.cpp"]):
        flags = step("pkg-config", "--cflags", "--libs", name, environment=environment).split()
        wrong = [flag for flag in flags if flag.startswith(f"-I{house.ROOT}") and not flag.startswith(f"-I{prefix}")]
        if wrong:
            raise Stop(f"{name}.pc leads to the source folder: {wrong}")
        step(tools.compiler, "-std=c++20", *WARNINGS, *sources, *flags, "-o", name, folder=folder)
        step(folder / name)


def install(tools, prefix):
    step("cmake", "--install", tools.work.parent, "--prefix", prefix)
    return prefix


def installed(tools, work):
    by_cmake(tools, PROGRAM, work / "program", f"-DCMAKE_PREFIX_PATH={install(tools, work / 'prefix')}")


def moved(tools, work):
    install(tools, work / "prefix").rename(work / "elsewhere")
    by_cmake(tools, PROGRAM, work / "program", f"-DCMAKE_PREFIX_PATH={work / 'elsewhere'}")


def plain_line(tools, work):
    install(tools, work / "prefix").rename(work / "elsewhere")
    problems = package.machine_paths(work / "elsewhere")
    if problems:
        raise Stop("\n".join(problems))
    by_pkg_config(tools, work / "elsewhere", work / "by-hand")


def deb(tools, work):
    step("cpack", "-G", "DEB", "--config", tools.work.parent / "CPackConfig.cmake", "-B", work / "made")
    archives = {path.name.split("_")[0]: path for path in (work / "made").glob("*.deb")}
    if not {"libql-dev"} <= set(archives) <= {"libql-dev", "qwenlong-l1"}:
        raise Stop(f"cpack made {sorted(archives)}")
    root, owners = work / "root", {}
    for name, archive in archives.items():
        fields = dict(re.findall(r"^ ([A-Z][\w-]*): (.+)$", step("dpkg-deb", "--info", archive), re.MULTILINE))
        for field in "Package", "Version", "Architecture", "Maintainer", "Section", "Description", "Depends":
            if not fields.get(field):
                raise Stop(f"{name}: the field {field} is empty")
        for line in step("dpkg-deb", "--contents", archive).splitlines():
            path = line.split()[5]
            if path.endswith("/"):
                continue
            if not path.startswith("./usr/"):
                raise Stop(f"{name} holds {path}, which is not below /usr")
            if path in owners:
                raise Stop(f"{path} is in {owners[path]} and in {name}")
            owners[path] = name
        step("dpkg-deb", "-x", archive, root)
    if "./usr/share/doc/libql-dev/copyright" not in owners:
        raise Stop("libql-dev has no copyright file")
    if shutil.which("lintian"):
        step("lintian", "--fail-on", "error,warning", *archives.values())
    else:
        print("lintian is not installed (scripts/setup.sh --full): the packages' form is not checked")
    by_cmake(tools, PROGRAM, work / "program", f"-DCMAKE_PREFIX_PATH={root / 'usr'}")
    by_pkg_config(tools, root / "usr", work / "by-hand")
    if "qwenlong-l1" in archives:
        step(root / "usr" / "bin" / "qwenlong-l1", "--version")


def fetched(tools, work):
    by_cmake(tools, FETCHED, work / "build", f"-DFETCHCONTENT_SOURCE_DIR_QL={house.ROOT}",
             "-DFETCHCONTENT_FULLY_DISCONNECTED=ON", run=("program", "with_kernels"))


def find_nvcc():
    found = shutil.which("nvcc", path=f"{os.environ.get('CUDA_HOME', '/usr/local/cuda')}/bin:{os.environ['PATH']}")
    if not found:
        raise Skip("nvcc is not installed (scripts/setup.sh says where to get it)")
    return pathlib.Path(found)


def cuda(tools, work):
    """The CUDA component by its .pc file and a plain line of the host's compiler; the program runs with or without a driver."""
    toolkit = find_nvcc().parents[1]
    places = list(install(tools, work / "prefix").rglob("ql-cuda.pc"))
    if not places:
        raise Skip("this build is without ql::cuda (-DQL_CUDA=ON)")
    flags = step("pkg-config", "--cflags", "--libs", "ql-cuda", environment={"PKG_CONFIG_PATH": str(places[0].parent)}).split()
    libraries = [f"-L{folder}" for folder in (toolkit / "lib64", toolkit / "lib") if folder.is_dir()]
    step(tools.compiler, "-std=c++20", *WARNINGS, CUDA, *flags, *libraries, "-o", "program", folder=work)
    print(step(work / "program"), end="")


def nvcc(tools, work):
    """nvcc as the compiler of a consumer of ql::core, found by its .pc file."""
    found = find_nvcc()
    prefix = install(tools, work / "prefix")
    places = {"PKG_CONFIG_PATH": str(next(prefix.rglob("ql-core.pc")).parent)}
    flags = step("pkg-config", "--cflags", "ql-core", environment=places).split()
    step(found, "-std=c++20", "--expt-relaxed-constexpr", "-fmad=false", "-Werror", "all-warnings", "-ccbin", tools.compiler,
         *flags, NVCC, "-o", "program", folder=work)
    print(step(work / "program"), end="")


WAYS = {"installed": installed, "moved": moved, "pkg-config": plain_line, "deb": deb, "fetched": fetched, "nvcc": nvcc, "cuda": cuda}


def check(tools, name):
    work = tools.work / "consume" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        WAYS[name](tools, work)
        problems = []
    except Stop as why:
        problems = [f"{name}: {why}"]
    except Skip as why:
        print(f"{name}: skipped: {why}")
        sys.exit(77)
    shutil.rmtree(work, ignore_errors=True)
    return problems, [name]


def self_test(tools):
    def refused(action):
        try:
            action()
        except Stop:
            return True
        return False

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        house.expect(refused(lambda: step("false")), "a step that fails is found")
        house.expect(refused(lambda: by_pkg_config(tools, folder, folder / "x")), "a prefix without ql.pc is found")
        house.write(folder / "p" / "ql.pc", "Name: ql\nDescription: x\nVersion: 1\nLibs: -lql_is_not_there\n")
        house.write(folder / "p" / "ql-cpu.pc", "Name: ql\nDescription: x\nVersion: 1\nLibs: -lql_is_not_there\n")
        house.expect(refused(lambda: by_pkg_config(tools, folder / "p", folder / "y")), "a package that does not link is found")
        house.expect(refused(lambda: by_cmake(tools, PROGRAM, folder / "z", "-DCMAKE_DISABLE_FIND_PACKAGE_ql=ON")),
                     "a program without ql is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        house.finish(*check(toolchain, sys.argv[2]))
