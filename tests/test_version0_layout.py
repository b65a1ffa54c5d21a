"""Version 0: layouts and headers of the official tool, and memory."""

import subprocess
import sys

from support.checkpoints import OFFICIAL

from ecdc.bitstream.version0 import LAYOUTS, pack_header


def test_layouts_are_those_of_the_models():
    for name, layout in LAYOUTS.items():
        config = OFFICIAL[name]
        assert (layout.sample_rate, layout.channels, layout.codebooks, layout.hop_length, layout.bits_per_code) == (
            config.sample_rate,
            config.channels,
            config.codebooks,
            config.hop_length,
            config.bits_per_code,
        )
        assert (layout.segment or 0, layout.stride or 0) == (config.segment_length, config.segment_stride)


def test_golden_header():
    assert (
        pack_header("encodec_24khz", 24000, 8)
        == b'ECDC\0\0\0\x009{"m": "encodec_24khz", "al": 24000, "nc": 8, "lm": false}'
    )


def test_an_hour_takes_no_memory_to_parse():
    frames = 3600 * 75
    data = pack_header("encodec_24khz", 320 * frames, 2) + bytes(frames * 20 // 8)
    program = (
        "import sys; from ecdc.bitstream import StreamParser, pieces\n"
        "parser = StreamParser(); count = sum(1 for piece in pieces(sys.stdin.buffer) for _ in parser.push(piece))\n"
        "parser.close(); print(count, open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, timeout=100)
    count, kilobytes = map(int, done.stdout.split())
    assert count == frames // 300 + 1 and kilobytes < 100_000
