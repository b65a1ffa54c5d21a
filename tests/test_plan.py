"""What a stream will be, and what a decompressor gives: decided by pure functions, here as tables."""

import json
from typing import NamedTuple

import pytest
from conftest import ROOT

from ecdc.codec.config import CodecConfig
from ecdc.entropy import LANGUAGE_MODEL, PLAIN
from ecdc.errors import AudioError, ModelError
from ecdc.models.known import KNOWN
from ecdc.stream.output import OutputPlan, plan_output
from ecdc.stream.plan import Request, plan_stream

BUNDLED = ROOT / "ecdc" / "models" / "bundled"
MONO, STEREO = (
    CodecConfig.from_mapping(json.loads((BUNDLED / name / "config.json").read_text()))
    for name in ("ecdc_24khz", "ecdc_48khz")
)
OFFICIAL = KNOWN["encodec_24khz"].config


class Predictor(NamedTuple):
    fingerprint: bytes = b"12345678"
    max_frames: int = 750


LM, SHORT_LM = Predictor(), Predictor(max_frames=100)

# Configuration, language model, request -> frames of a packet and of the envelope, packets per key, searched, channels.
PLANS = [
    ("a file", MONO, LM, Request(44100, 2), (375, 12, 1, True, 1)),
    ("without language model", MONO, None, Request(44100, 2), (375, 12, 1, False, 1)),
    ("best without language model", MONO, None, Request(44100, 1, best=True), (375, 12, 1, True, 1)),
    ("live", MONO, LM, Request(44100, 1, live=True), (8, 8, 46, False, 1)),
    ("live and best", MONO, LM, Request(44100, 1, live=True, best=True), (8, 8, 46, True, 1)),
    ("live, long packets", MONO, LM, Request(44100, 1, live=True, packet_seconds=1.0), (75, 12, 5, False, 1)),
    (
        "live, short packets: no envelope",
        MONO,
        LM,
        Request(16000, 1, live=True, packet_seconds=0.02),
        (2, 0, 187, False, 1),
    ),
    ("short packets: no envelope", MONO, LM, Request(16000, 1, packet_seconds=0.5), (38, 0, 1, True, 1)),
    ("a language model that looks back less", MONO, SHORT_LM, Request(16000, 1), (100, 12, 1, True, 1)),
    ("it bounds key packets, too", MONO, SHORT_LM, Request(16000, 1, live=True), (8, 8, 12, False, 1)),
    ("many channels", MONO, None, Request(48000, 6, downmix=True), (375, 12, 1, False, 1)),
    ("stereo, whole segments", STEREO, LM, Request(48000, 2, 12.0), (750, 33, 1, True, 2)),
    ("mono for a stereo model", STEREO, LM, Request(48000, 1, 12.0), (750, 33, 1, True, 1)),
    ("a segment at least", STEREO, None, Request(48000, 2, 3.0, packet_seconds=0.1), (150, 33, 1, False, 2)),
    ("an official model: no envelope", OFFICIAL, None, Request(24000, 1), (375, 0, 1, False, 1)),
    ("the official format", OFFICIAL, None, Request(24000, 1, version=0), (300, 0, 1, False, 1)),
]


@pytest.mark.parametrize(
    ("config", "model", "request_", "expected"), [row[1:] for row in PLANS], ids=[row[0] for row in PLANS]
)
def test_plans(config, model, request_, expected):
    plan = plan_stream(config, b"abcdefgh", model, request_)
    header = plan.header
    found = (header.packet_frames, header.envelope_frames, plan.packets_per_key, plan.searched, plan.mapped)
    assert found == expected
    assert header.entropy == (LANGUAGE_MODEL if model else PLAIN)
    assert header.entropy_fingerprint == (model.fingerprint if model else b"")
    assert header.fingerprint == (b"abcdefgh" if request_.version else b"")
    assert header.n_codebooks == config.codebooks_for(request_.bandwidth)
    assert header.prompt == (request_.live and header.envelope_frames > 0)
    assert plan.levelled == (config is MONO)


@pytest.mark.parametrize(
    ("config", "request_", "error", "said"),
    [
        (MONO, Request(48000, 6), AudioError, "channels"),
        (MONO, Request(48000, 1, 5.0), ModelError, "5 kbps is not possible"),
        (MONO, Request(24000, 1, version=0), ModelError, "version 0 of the format is for the official models"),
    ],
)
def test_impossible_requests(config, request_, error, said):
    with pytest.raises(error, match=said):
        plan_stream(config, b"abcdefgh", None, request_)


# Source rate, channels, samples; native, rate, channels asked for -> the plan.
OUTPUTS = [
    ((44100, 2, 44100), (False, None, None), OutputPlan(44100, 2, 1, 44100)),
    ((44100, 2, None), (False, None, None), OutputPlan(44100, 2, 1, None)),
    ((44100, 2, 44100), (True, None, None), OutputPlan(24000, 1, 1, 24000)),
    ((44100, 2, 44100), (False, 48000, 1), OutputPlan(48000, 1, 1, 48000)),
    ((16000, 1, 160), (False, 44100, 2), OutputPlan(44100, 2, 1, 441)),
]


@pytest.mark.parametrize(("source", "asked", "expected"), OUTPUTS)
def test_outputs(source, asked, expected):
    rate, channels, samples = source
    header = plan_stream(MONO, b"abcdefgh", None, Request(rate, channels, samples=samples)).header
    assert plan_output(header, *asked) == expected
