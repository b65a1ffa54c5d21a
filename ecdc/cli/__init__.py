"""The command line: click commands, thin over the library."""

from .main import run

__all__ = ["run"]
