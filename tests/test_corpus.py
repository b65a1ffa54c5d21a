"""The corpus builder: whole files held out, copies and what is no audio left away."""

import numpy as np
import pytest
import soundfile

from training.data.corpus import _decode_group, plan
from training.data.decoding import trimmed


def test_corpus_plan_keeps_held_out_files_apart(tmp_path):
    package = "hedgewars-data"
    raw = tmp_path / "raw" / package / "usr"
    random = np.random.default_rng(0)
    for number in range(20):
        path = raw / "voices" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.standard_normal((48000 * 12, 1)) * 0.1, 48000)
    (raw / "voices" / "copy.wav").write_bytes((raw / "voices" / "3.wav").read_bytes())
    (raw / "bang.wav").write_bytes(b"no sound")
    items = plan(tmp_path, [package])
    assert len(items) == 21 and {item.category for item in items} == {"speech", "sound"}
    held = [item for item in items if item.held_out]
    assert len(held) == 1 and items == plan(tmp_path, [package])
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / package).write_text("1")
    assert _decode_group(tmp_path, held)[0] == 1
    count, hours = _decode_group(tmp_path, [item for item in items if not item.held_out and item.category == "speech"])
    assert count == 19 and hours == pytest.approx(19 * 12 / 3600, rel=0.01)
    assert _decode_group(tmp_path, [item for item in items if item.category == "sound"]) == (0, 0.0)


def test_long_silence_is_cut():
    wave = np.concatenate([np.ones(8000), np.zeros(80000), np.ones(8000)])[:, None].astype(np.float32)
    assert 16000 + 4000 * 0.9 < len(trimmed(wave, 8000)) < 16000 + 4000 * 1.1
    assert len(trimmed(np.zeros((8000, 1), np.float32), 8000)) == 0
