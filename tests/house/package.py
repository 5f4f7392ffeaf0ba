# SPDX-License-Identifier: Apache-2.0
"""Install, move, use: ql as its users meet it. Usage: package.py TOOLCHAIN.json [--self-test]"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import house

PACKAGE = house.ROOT / "tests" / "package"
NO_EIGEN_BOOST_FMT = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in ("Eigen3", "Boost", "fmt")]


def run(*command):
    """(worked, output as one line per message)"""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def cmake(tools, source, build, *settings):
    return run("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_CXX_COMPILER={tools.compiler}",
               f"-DCMAKE_CXX_COMPILER_LAUNCHER={';'.join(tools.launcher)}", *settings)


def machine_paths(prefix):
    """Package files that name the source or the build folder."""
    return [
        f"{path.relative_to(prefix)} names {house.ROOT}: the package cannot be moved"
        for path in sorted(pathlib.Path(prefix).rglob("*")) if path.suffix in (".cmake", ".pc") and str(house.ROOT) in path.read_text()
    ]


def versions(root):
    """The vcpkg port must carry the version of version.hpp, the one place where it stands."""
    text = (root / "include" / "ql" / "version.hpp").read_text()
    version = ".".join(re.search(rf"#define QL_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    port = json.loads((root / "packaging" / "vcpkg" / "ports" / "ql" / "vcpkg.json").read_text())["version"]
    return [] if port == version else [f"the vcpkg port says version {port}, version.hpp says {version}"]


def check(tools):
    work = tools.work / "package"
    shutil.rmtree(work, ignore_errors=True)
    worked, output = run("cmake", "--install", tools.work.parent, "--prefix", work / "installed")
    if not worked:
        return [f"cmake --install:\n{output}"], []
    prefix = work / "moved"
    (work / "installed").rename(prefix)
    problems, checked = machine_paths(prefix) + versions(house.ROOT), []
    built = {p.stem.removeprefix("ql-") for p in prefix.glob("lib/**/ql-*.cmake")} & {"core", "cpu", "recipe", "io", "ql"}

    def use(name, component, *settings, version="0.1", refused=None):
        checked.append(name)
        build = work / name
        worked, output = cmake(tools, PACKAGE / "installed", build, f"-DCMAKE_PREFIX_PATH={prefix}",
                               f"-DCONSUMER_COMPONENT={component}", f"-DCONSUMER_VERSION={version}", *settings)
        said = re.sub(r"\s+", " ", output)
        if refused is not None:
            if worked or not re.search(refused, said):
                problems.append(f"{name}: must be refused with '{refused}', but:\n{output}")
            return
        if worked:
            worked, output = run("cmake", "--build", build)
        if worked:
            worked, output = run(build / "consumer")
        if not worked:
            problems.append(f"{name}:\n{output}")

    use("core", "core", *NO_EIGEN_BOOST_FMT)
    use("cpu", "cpu")
    use("cpu-without-eigen", "cpu", *NO_EIGEN_BOOST_FMT)
    use("stranger", "stranger", refused="ql has no component 'stranger', it has core, cpu")
    use("too-new", "core", version="99.0", refused="99.0")
    for component in sorted(built - {"core", "cpu"}):
        use(component, component)
    if "recipe" in built:
        use("recipe-without-fmt", "recipe", "-DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON", refused="needs fmt .*libfmt-dev")
        use("recipe-without-boost", "recipe", "-DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON", refused="Boost.Hana .*libboost-dev")
    if list(prefix.glob("lib/**/ql-mpi.cmake")):
        use("mpi-without-mpi", "mpi", "-DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON", refused="needs MPI .*libopenmpi-dev")
    use("nccl", "nccl", refused="add_subdirectory .*-DQL_CUDA=ON .*libnccl-dev")
    if list(prefix.glob("lib/**/ql-cuda.cmake")):
        use("cuda", "cuda")
        use("cuda-without-toolkit", "cuda", "-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON", refused="needs the CUDA toolkit, 12.8")
    else:
        use("cuda", "cuda", refused="-DQL_CUDA=ON .*CUDA toolkit")

    # A package made where Eigen, Boost and fmt are absent offers less, and says so.
    worked, output = cmake(tools, house.ROOT, work / "bare", "-DQL_BUILD_TESTS=OFF", "-DQL_BUILD_BENCH=OFF",
                           "-DQL_BUILD_EXAMPLES=OFF", "-DQL_IO=OFF", "-DQL_MPI=OFF", "-DQL_CUDA=OFF", *NO_EIGEN_BOOST_FMT)
    for step in ["--build", work / "bare"], ["--install", work / "bare", "--prefix", work / "bare-prefix"]:
        if worked:
            worked, output = run("cmake", *step)
    if worked:
        prefix = work / "bare-prefix"
        use("bare-core", "core", *NO_EIGEN_BOOST_FMT)
        use("bare-cpu", "cpu")
        use("bare-recipe", "recipe", refused="install Boost and fmt .*libboost-dev libfmt-dev")
        use("bare-io", "io", refused="-DQL_IO=ON")
        use("bare-mpi", "mpi", refused="libopenmpi-dev .*-DQL_MPI=ON")
        use("bare-cuda", "cuda", refused="-DQL_CUDA=ON .*CUDA toolkit, 12.8")
    else:
        problems.append(f"a build without Eigen, Boost and fmt:\n{output}")

    checked.append("subdirectory")
    worked, output = cmake(tools, PACKAGE / "subdirectory", work / "subdirectory", f"-DQL_SOURCE_DIR={house.ROOT}")
    if worked:
        worked, output = run("cmake", "--build", work / "subdirectory")
    for component in ("core", "cpu", "ql"):
        if worked:
            worked, output = run(work / "subdirectory" / component)
    if not worked:
        problems.append(f"subdirectory:\n{output}")
    return problems, checked


def self_test():
    with house.planted({"lib/cmake/ql/bad.cmake": f"set(x {house.ROOT}/include)\n", "lib/cmake/ql/good.cmake": ""}) as folder:
        house.expect(len(machine_paths(folder)) == 1, "a package that names the source folder is found")
    hpp = "".join(f"#define QL_VERSION_{part} 1\n" for part in ("MAJOR", "MINOR", "PATCH"))
    for said, found in ("1.1.1", 0), ("1.1.0", 1):
        with house.planted({"include/ql/version.hpp": hpp, "packaging/vcpkg/ports/ql/vcpkg.json": f'{{"version": "{said}"}}'}) as folder:
            house.expect(len(versions(pathlib.Path(folder))) == found, f"version {said} of the port")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        house.finish(*check(house.Toolchain(sys.argv[1])))
