"""Evaluation: scores rank what they should, delays do not count, the command writes its table."""

import csv
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import MUSIC, ROOT, VOICE

from training.evaluation.evaluate import _scored
from training.evaluation.peers import Coder, ecdc_coder
from training.evaluation.scores import aligned, score
from training.evaluation.tables import means, table

# These come with the extra `training` alone, as they need a C compiler.
needs_scores = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("visqol", "pesq", "pystoi"))),
    reason="needs ViSQOL, PESQ and STOI: bin/setup training",
)


@needs_scores
def test_scores_rank_and_ignore_a_delay():
    wave, rate = soundfile.read(MUSIC, frames=72000, dtype="float32", always_2d=True)
    noise = np.random.default_rng(0).standard_normal(wave.shape).astype(np.float32)
    same = score(wave, rate, np.pad(wave, ((735, 0), (0, 0))), rate, False)
    good = score(wave, rate, wave + 0.003 * noise, rate, False)
    bad = score(wave, rate, wave + 0.1 * noise, rate, False)
    assert set(same) == {"si_snr", "mel", "visqol"}
    assert same["visqol"] > 4.5 and same["si_snr"] > 30 and same["mel"] < 0.5
    assert same["visqol"] >= good["visqol"] > bad["visqol"]
    assert same["mel"] < good["mel"] < bad["mel"] and same["si_snr"] > good["si_snr"] > bad["si_snr"]


@needs_scores
def test_speech_has_two_more_scores():
    wave, rate = soundfile.read(VOICE, dtype="float32", always_2d=True)
    scores = score(wave, rate, wave, rate, True)
    assert scores["pesq"] > 4.5 and scores["stoi"] > 0.99


def test_aligned_keeps_the_length_for_any_delay():
    wave = np.random.default_rng(0).standard_normal((9000, 1)).astype(np.float32)
    for delay in (-500, 0, 1, 799):
        moved = np.pad(wave, ((delay, 0), (0, 0))) if delay > 0 else wave[-delay:]
        back = aligned(wave, moved, 8000)
        assert len(back) == 9000 and np.array_equal(back[600:8000], wave[600:8000])


def test_coder_reports_the_files_real_size(tmp_path):
    import ecdc

    size, wave, rate = ecdc_coder(None, 6.0).run(VOICE)
    data, original_rate = soundfile.read(VOICE, dtype="float32")
    ecdc.write(tmp_path / "a.ecdc", data, original_rate, bandwidth=6)
    assert size == (tmp_path / "a.ecdc").stat().st_size and rate == original_rate and len(wave) == len(data)


def test_means_and_table():
    rows = [
        {"category": "music", "coder": "a 6", "kbps": 5.0, "visqol": 3.0},
        {"category": "music", "coder": "a 6", "kbps": 7.0, "visqol": 4.0},
        {"category": "music", "coder": "b 6", "kbps": 1.0},
    ]
    assert means(rows) == {("music", "a 6"): {"kbps": 6.0, "visqol": 3.5}, ("music", "b 6"): {"kbps": 1.0}}
    assert table(rows).splitlines()[2] == "| music | a 6 | 6.00 | 3.50 |  |  |  |  |"


@needs_scores
def test_all_are_given_and_compared_with_the_same_audio(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal((96000, 2)), 48000)
    wanted = [("ecdc", None, 1.5, False)]
    (own,) = _scored((wanted, tmp_path / "a.wav", "sound", 24000, True))
    (full,) = _scored((wanted, tmp_path / "a.wav", "sound", 48000, True))
    # What a model of 24 kHz leaves out counts at 48 kHz alone.
    assert full["mel"] > own["mel"] + 5 and full["visqol"] < own["visqol"]
    assert own["kbps"] == pytest.approx(full["kbps"], rel=0.05)
    given = []

    def copy(path):
        given.append(soundfile.read(path, dtype="float32", always_2d=True))
        return path.stat().st_size, *given[-1]

    monkeypatch.setattr("training.evaluation.evaluate._coder", lambda wanted: Coder("copy", copy))
    (mono,) = _scored(([()], tmp_path / "a.wav", "sound", 24000, True))
    (stereo,) = _scored(([()], tmp_path / "a.wav", "sound", 32000, False))
    assert [(wave.shape, rate) for wave, rate in given] == [((48000, 1), 24000), ((64000, 2), 32000)]
    assert mono["visqol"] > 4.5 and stereo["mel"] < 0.01 and stereo["kbps"] == pytest.approx(2 * 32 * 32, rel=0.01)


@needs_scores
def test_command_writes_table_csv_and_plot(tmp_path):
    (tmp_path / "in" / "music").mkdir(parents=True)
    wave, rate = soundfile.read(MUSIC, frames=48000, always_2d=True)
    soundfile.write(tmp_path / "in" / "music" / "a.wav", wave, rate)
    arguments = [
        sys.executable,
        "-m",
        "training.evaluation.evaluate",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--bandwidths",
        "1.5,12",
        "--mp3",
        "",
        "--processes",
        "1",
    ]
    done = subprocess.run([*arguments, "--opus", "", "--best"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split("|")[2].strip() for line in done.stdout.splitlines()[2:]] == [
        "ecdc 1.5",
        "ecdc 12",
        "ecdc best 1.5",
        "ecdc best 12",
    ]
    with open(tmp_path / "out" / "scores.csv") as file:
        low, high, _, best_high = csv.DictReader(file)
    assert float(best_high["kbps"]) < float(high["kbps"]) and float(best_high["si_snr"]) > float(high["si_snr"])
    assert float(low["kbps"]) < float(high["kbps"]) and float(low["mel"]) > float(high["mel"])
    assert (tmp_path / "out" / "quality.png").stat().st_size > 1000
    done = subprocess.run(
        [*arguments, "--opus", "6"], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PATH": str(tmp_path)}
    )
    assert (
        done.returncode == 1
        and done.stderr == "evaluate: opusenc is not installed: install opus-tools, or leave that codec out\n"
    )
