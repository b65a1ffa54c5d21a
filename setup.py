"""Builds the native library, once for each instruction set; without a compiler, installing goes on without it."""

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    from wheel.bdist_wheel import bdist_wheel

FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wno-psabi"]
X86 = {
    "baseline": ["-march=x86-64"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"],
}
SOURCES = Path("ecdc/native/src")


def libraries() -> list[Extension]:
    on_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return [
        Extension(
            f"ecdc.native.libecdc_{variant}",
            sources=sorted(map(str, SOURCES.glob("*.c"))),
            depends=sorted(map(str, SOURCES.glob("*.h"))),
            extra_compile_args=FLAGS + flags,
            libraries=[] if sys.platform == "win32" else ["m"],
            optional=True,
        )
        for variant, flags in (X86 if on_x86 else {"baseline": []}).items()
    ]


class BuildLibraries(build_ext):
    """They are loaded by ctypes: plain names, no Python in them, objects of their own for each variant."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return ext.export_symbols

    def build_extension(self, ext: Extension) -> None:
        common = self.build_temp
        self.build_temp = f"{common}/{ext.name}"
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = common


class AnyPython(bdist_wheel):
    """The library knows nothing of Python's version."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


setup(ext_modules=libraries(), cmdclass={"build_ext": BuildLibraries, "bdist_wheel": AnyPython})
