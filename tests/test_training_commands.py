"""bin/train as it is called: options, wrong calls, and runs that are stopped or killed."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from support.command import train_command

from training.cli import codec as codec_command
from training.codec.settings import Settings
from training.codec.trainer import Trainer


def test_every_setting_has_its_option():
    assert {option.name for option in codec_command.params} == {"run"} | {
        field.name for field in dataclasses.fields(Settings)
    }


def test_wrong_calls_are_one_line(audio, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, status, said in (
        (["codec", "run"], 2, "a new run needs --audio"),
        (["codec", "run", "--audio", "empty", "--model", "ecdc_24khz"], 1, "no audio found below"),
        (["codec", "run", "--audio", str(audio), "--model", "nothing"], 1, "no model nothing"),
        (["codec", "run2", "--audio", str(audio)], 1, "name a model to go on from"),
        (["export", "empty", "model"], 1, "not a training run"),
    ):
        done = train_command(*arguments, cwd=tmp_path)
        errors = done.stderr.decode()
        assert done.returncode == status and said in errors and "Traceback" not in errors, errors


def started(run: Path, processes: int, *arguments: str) -> subprocess.Popen:
    """`bin/train codec`, going on by itself."""
    command = [sys.executable, "-m", "training", "codec", str(run), "--processes", str(processes), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_killed_run_goes_on(causal, tmp_path):
    run = tmp_path / "run"
    dataclasses.replace(causal, steps=100000).save(run)
    process = started(run, 2)
    for _ in range(600):
        if (run / "log.csv").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 0, process.stderr.read()
    done = torch.load(run / "state.pt", weights_only=True)["step"]
    assert 3 <= done < 100000
    trained = Trainer(Settings.load(run), run)
    assert trained.done == done


@pytest.mark.parametrize("processes", [1, 2])
def test_vanished_audio_is_named(causal, tmp_path, processes):
    run, mine = tmp_path / "run", tmp_path / "mine"
    shutil.copytree(causal.audio[0], mine)
    process = started(
        run, processes, "--audio", str(mine), "--config", causal.config, *["--check-every", "3", "--steps", "100000"]
    )
    while not (run / "log.csv").exists() and process.poll() is None:
        time.sleep(0.05)
    shutil.rmtree(mine)
    said = process.stderr.read()
    assert process.wait(60) == 1 and f"{mine}/" in said and "cannot be read any more" in said, said
    assert "Traceback" not in said, said


def test_stopped_before_it_listens(causal, tmp_path):
    run = tmp_path / "run"
    process = started(run, 2, "--audio", causal.audio[0], "--config", causal.config)
    while not (run / "index.json").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1)
    process.terminate()
    said = process.stderr.read()
    # On a slow machine perhaps before there are processes, on a fast one after they listen.
    assert process.wait(60) in (1, 0, -signal.SIGTERM) and "Traceback" not in said, said
    assert process.returncode != 1 or "the same command goes on" in said
