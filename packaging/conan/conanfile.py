# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""The recipe of Conan 2: conan create packaging/conan."""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rm, rmdir
from conan.tools.scm import Version

required_conan_version = ">=2.0"


class ProcpoolConan(ConanFile):
    name = "procpool"
    description = "Run ordinary C++ functions in a pool of isolated worker processes"
    license = "BSL-1.0"
    topics = ("process-pool", "multiprocessing", "parallel", "isolation", "crash")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True, "boost/*:without_serialization": False}

    @property
    def _project(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        self.version = re.search(r"project\(procpool\s+VERSION ([\d.]+)", load(self, f"{self._project}/CMakeLists.txt"))[1]

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*"):
            copy(self, pattern, self._project, self.export_sources_folder)

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        # Its headers are used by the public ones, and programs call Boost.Serialization themselves.
        self.requires("boost/[>=1.75]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("procpool is for Linux")
        check_min_cppstd(self, 20)
        oldest = {"gcc": "12", "clang": "16"}.get(str(self.settings.compiler))
        if oldest and Version(self.settings.compiler.version) < oldest:
            raise ConanInvalidConfiguration(f"procpool needs {self.settings.compiler} {oldest} or newer")

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["PROCPOOL_BUILD_TESTS"] = False
        toolchain.cache_variables["PROCPOOL_BUILD_EXAMPLES"] = False
        toolchain.cache_variables["PROCPOOL_INSTALL"] = True
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        # Conan writes these for each consumer.
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))
        rmdir(self, os.path.join(self.package_folder, "share"))
        rm(self, "*.la", self.package_folder, recursive=True)

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "procpool")

        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "procpool::core")
        core.set_property("pkg_config_name", "procpool-core")
        core.libs = ["procpool"]
        core.system_libs = ["pthread", "dl"]
        core.requires = ["boost::headers", "boost::serialization"]

        # As in cmake/wrap_main.cmake: main is wrapped at the link of the program.
        whole = self.cpp_info.components["procpool"]
        whole.set_property("cmake_target_name", "procpool::procpool")
        whole.set_property("pkg_config_name", "procpool")
        whole.libs = ["procpool_main"]
        whole.requires = ["core"]
        whole.sharedlinkflags = ["-Wl,--wrap=main", "-Wl,--export-dynamic-symbol=procpool_main_is_wrapped"]
        whole.exelinkflags = [*whole.sharedlinkflags, "-Wl,--undefined=main"]
