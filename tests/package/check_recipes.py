#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_recipes.py CMAKE: the recipes in packaging/ and .github/ are whole and agree with the project.

Neither Conan nor vcpkg nor a network is needed: their calls are recorded by stand-ins. A recipe that passes here may
still meet a service that has changed.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import types

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
failures = []


def expect(right, text):
    if not right:
        failures.append(text)


def stand_ins():
    """Modules of Conan: every name is there, and does nothing that the recipes would notice."""
    class Recipe:
        pass

    class Broken(Exception):
        pass

    class Order(str):  # a version
        def __lt__(self, other):
            return [int(part) for part in self.split(".")] < [int(part) for part in other.split(".")]

    for name, content in {
            "conan": {"ConanFile": Recipe},
            "conan.errors": {"ConanInvalidConfiguration": Broken},
            "conan.tools": {},
            "conan.tools.build": {"check_min_cppstd": lambda *_: None, "can_run": lambda *_: True},
            "conan.tools.cmake": dict.fromkeys(["CMake", "CMakeDeps", "CMakeToolchain", "cmake_layout"]),
            "conan.tools.files": {**dict.fromkeys(["copy", "rm", "rmdir"]),
                                  "load": lambda _, path: pathlib.Path(path).read_text()},
            "conan.tools.scm": {"Version": Order}}.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module
    return Broken


def load_recipe(path):
    module = types.ModuleType(path.stem)
    exec(compile(path.read_text(), path, "exec"), vars(module))
    return module


def wrap_flags():
    """The options for the linker of a program: what CMake and pkg-config say."""
    cmake = set(re.findall(r'LINKER:(--[\w=-]+)', (ROOT / "cmake/wrap_main.cmake").read_text()))
    pkg_config = set(re.findall(r"-Wl,(--[\w=-]+)", (ROOT / "cmake/procpool.pc.in").read_text()))
    expect(cmake == pkg_config, f"cmake/procpool.pc.in links with {pkg_config}, and cmake/wrap_main.cmake with {cmake}")
    return cmake


def check_conan(version):
    broken = stand_ins()
    folder = ROOT / "packaging/conan"
    recipe = load_recipe(folder / "conanfile.py").ProcpoolConan()
    recipe.recipe_folder = str(folder)
    recipe.set_version()
    expect(recipe.version == version, f"conanfile.py has version {recipe.version}, not {version}")

    for system, compiler, compiler_version, good in (
            ("Linux", "gcc", "12", True), ("Linux", "gcc", "11", False), ("Linux", "clang", "16", True),
            ("Linux", "clang", "15", False), ("Windows", "gcc", "12", False)):
        class Compiler(str):
            version = compiler_version
        recipe.settings = types.SimpleNamespace(os=system, compiler=Compiler(compiler))
        try:
            recipe.validate()
            refused = False
        except broken:
            refused = True
        expect(refused != good, f"conanfile.py and {compiler} {compiler_version} on {system}: refused is {refused}")

    class Part:
        def __init__(self):
            self.properties = {}

        def set_property(self, name, value):
            self.properties[name] = value

    class Parts(dict):
        def __missing__(self, name):
            return self.setdefault(name, Part())
    recipe.cpp_info = Part()
    recipe.cpp_info.components = Parts()
    recipe.package_info()
    parts = recipe.cpp_info.components
    targets = {part.properties["cmake_target_name"] for part in parts.values()}
    expect(targets == {"procpool::core", "procpool::procpool"}, f"conanfile.py makes the targets {targets}")
    flags = {flag.removeprefix("-Wl,") for flag in parts["procpool"].exelinkflags}
    expect(flags == wrap_flags(), f"conanfile.py links programs with {flags}")
    shared = {flag.removeprefix("-Wl,") for flag in parts["procpool"].sharedlinkflags}
    expect(shared == wrap_flags() - {"--undefined=main"}, f"conanfile.py links libraries with {shared}")
    load_recipe(folder / "test_package/conanfile.py")
    expect((folder / "test_package/consumer.cpp").read_text() == (ROOT / "tests/package/main.cpp").read_text(),
           "packaging/conan/test_package/consumer.cpp is not tests/package/main.cpp")


PORT = """
function(note name)
  message(STATUS "CALL ${name} ${ARGN}")
endfunction()
set(PORT procpool)
set(VERSION @version@)
set(CURRENT_PACKAGES_DIR "@work@/packages")
macro(vcpkg_from_github)
  note(vcpkg_from_github ${ARGN})
  set(SOURCE_PATH "@root@")
endmacro()
foreach(name vcpkg_cmake_configure vcpkg_cmake_install vcpkg_cmake_config_fixup vcpkg_fixup_pkgconfig
    vcpkg_install_copyright)
  cmake_language(EVAL CODE "macro(${name})\\n note(${name} \\${ARGN})\\nendmacro()")
endforeach()
include("@root@/packaging/vcpkg/portfile.cmake")
"""


def check_vcpkg(cmake, version):
    manifest = json.loads((ROOT / "packaging/vcpkg/vcpkg.json").read_text())
    for key in ("name", "version", "description", "license", "dependencies"):
        expect(key in manifest, f"vcpkg.json has no {key}")
    expect(manifest.get("supports") == "linux", "vcpkg.json supports more than Linux")
    names = {one if isinstance(one, str) else one["name"] for one in manifest["dependencies"]}
    expect({"boost-serialization", "vcpkg-cmake", "vcpkg-cmake-config"} <= names, f"vcpkg.json depends on {names}")
    with tempfile.TemporaryDirectory() as work:
        script = pathlib.Path(work) / "port.cmake"
        script.write_text(PORT.replace("@version@", version).replace("@root@", str(ROOT)).replace("@work@", work))
        done = subprocess.run([cmake, "-P", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect(done.returncode == 0, f"portfile.cmake fails: {done.stdout}")
    calls = re.findall(r"CALL (\w+)", done.stdout)
    expect(calls == ["vcpkg_from_github", "vcpkg_cmake_configure", "vcpkg_cmake_install", "vcpkg_cmake_config_fixup",
                     "vcpkg_fixup_pkgconfig", "vcpkg_install_copyright"], f"portfile.cmake calls {calls}")
    expect(f"REF v{version}" in done.stdout.replace(";", " "), "portfile.cmake does not fetch the tag of the version")


def check_options():
    """Each PROCPOOL_ option that a recipe sets is one of the project."""
    known = set(re.findall(r"^(?:option|set)\((PROCPOOL_\w+)", (ROOT / "CMakeLists.txt").read_text(), re.M))
    for path in sorted((ROOT / "packaging").rglob("*")):
        if path.is_file():
            for name in re.findall(r'(?:-D|variables\[")(PROCPOOL_\w+)', path.read_text()):
                expect(name in known, f"{path.relative_to(ROOT)}: there is no option {name}")


def check_hosted():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    expect(any(command.split()[:1] == [".ci/run"] for command in commands), "the workflow does not run .ci/run")
    for command in commands:
        for word in re.findall(r"(?<!\S)(?:scripts|\.ci)/\w+", command):
            expect((ROOT / word).exists(), f"the workflow runs {word}, which is not there")
    for template in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md")):
        head = yaml.safe_load(template.read_text().split("---\n")[1])
        expect({"name", "about", "labels"} <= head.keys(), f"{template.name} has only {head}")
    fuzz = yaml.safe_load((ROOT / "packaging/oss-fuzz/project.yaml").read_text())
    expect(fuzz["language"] == "c++" and "libfuzzer" in fuzz["fuzzing_engines"], f"project.yaml has {fuzz}")
    for script in [ROOT / "packaging/oss-fuzz/build.sh", *(ROOT / "scripts").iterdir()]:
        if re.match(r"#!.*\b(ba)?sh\b", script.read_text().split("\n")[0]):
            expect(subprocess.run(["bash", "-n", script]).returncode == 0, f"{script.name} is no program of a shell")


version = subprocess.run([ROOT / "scripts/version"], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
check_conan(version)
check_vcpkg(sys.argv[1], version)
check_options()
check_hosted()
print(*failures, sep="\n")
print(f"recipes: {len(failures)} failures")
sys.exit(1 if failures else 0)
