"""The commands as a user runs them."""

import subprocess

from support.forked import Forker

FORKER, TRAINER = Forker(), Forker("train")


def ecdc(*arguments, **options) -> subprocess.CompletedProcess:
    """Run the command in a process of its own; output as bytes."""
    return FORKER.run(list(map(str, arguments)), **options)


def train_command(*arguments, **options) -> subprocess.CompletedProcess:
    """As ecdc(), for `bin/train`."""
    return TRAINER.run(list(map(str, arguments)), **options)


def check(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert done.returncode == 0, done.stderr.decode()
    return done
