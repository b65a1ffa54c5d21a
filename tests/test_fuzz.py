"""A small share of `tests/fuzz.py`."""

import fuzz


def test_some_inputs(capsys):
    fuzz.main(600, seed=5, repairs=60)
    assert "600 inputs" in capsys.readouterr().out
