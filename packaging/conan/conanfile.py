# SPDX-License-Identifier: Apache-2.0
"""A Conan 2 recipe of the tree it stands in: conan create packaging/conan --build=missing
With -o "ql/*:system_libraries=True" nothing is fetched: what ql needs comes from the system (scripts/setup.sh)."""

import pathlib
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir


class Ql(ConanFile):
    name = "ql"
    description = "Reinforcement learning of language models that read long documents"
    license = "Apache-2.0"
    topics = ("reinforcement-learning", "language-models", "long-context", "header-library")
    settings = "os", "arch", "compiler", "build_type"
    package_type = "static-library"
    options = {"io": [True, False], "recipe": [True, False], "system_libraries": [True, False]}
    default_options = {"io": True, "recipe": True, "system_libraries": False}

    def set_version(self):
        text = load(self, self._root() / "include" / "ql" / "version.hpp")
        self.version = ".".join(re.search(rf"QL_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH"))

    def _root(self):
        return pathlib.Path(self.recipe_folder).parents[1]

    def export(self):  # set_version() reads it again where the recipe lies then
        copy(self, "version.hpp", self._root() / "include" / "ql", pathlib.Path(self.export_folder).parents[1] / "include" / "ql")

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*"):
            copy(self, pattern, self._root(), self.export_sources_folder)

    def validate(self):
        check_min_cppstd(self, 20)

    def requirements(self):
        if self.options.system_libraries:
            return
        if self.options.recipe:
            self.requires("boost/[>=1.74 <2]", transitive_headers=True, options={"header_only": True})
            self.requires("fmt/[>=9 <12]", transitive_headers=True)
        if self.options.io:
            for package in "simdjson/[>=3 <4]", "pcre2/[>=10.42 <11]", "utf8proc/[>=2.8 <3]", "zlib/[>=1.2 <2]", "libcurl/[>=7.88 <9]":
                self.requires(package)
            self.requires("tomlplusplus/[>=3.3 <4]")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.variables["QL_IO"] = bool(self.options.io)
        for option in "TESTS", "EXAMPLES", "BENCH":
            toolchain.variables[f"QL_BUILD_{option}"] = False
        for option in "QL_MPI", "QL_CUDA", "QL_DEV":
            toolchain.variables[option] = False
        if not self.options.recipe:
            toolchain.variables["CMAKE_DISABLE_FIND_PACKAGE_Boost"] = True
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, pathlib.Path(self.package_folder) / "licenses")
        rmdir(self, pathlib.Path(self.package_folder) / "share")

    def package_info(self):
        # ql's own package files say what its targets are
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs.append("lib/cmake/ql")
