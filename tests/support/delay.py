"""Wall-clock delay of `compress --live | decompress`, two real processes fed in real time: `bin/bench --delay`."""

import subprocess
import sys
import threading
import time

import numpy as np
import soundfile

from support.paths import VOICE

STEP = 0.01
# Both processes import PyTorch first; what they fall behind meanwhile they catch up with.
SETTLE = 4.0


def delays(seconds: float, *options: str) -> np.ndarray:
    """For every piece of output, how long after its first sample went in it came out, in seconds."""
    data, rate = soundfile.read(VOICE, dtype="int16")
    data = np.resize(data, int(seconds * rate))
    run = [sys.executable, "-m", "ecdc"]
    encoder = subprocess.Popen(
        [*run, "compress", "--live", "--raw", "--rate", str(rate), "--channels", "1", *options, "-q", "-", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    decoder = subprocess.Popen(
        [*run, "decompress", "-q", "--raw", "-", "-"], stdin=encoder.stdout, stdout=subprocess.PIPE
    )
    encoder.stdout.close()
    started = time.monotonic()

    def feed() -> None:
        for index in range(int(seconds / STEP)):
            time.sleep(max(0.0, started + (index + 1) * STEP - time.monotonic()))
            encoder.stdin.write(data[int(index * STEP * rate) : int((index + 1) * STEP * rate)].tobytes())
            encoder.stdin.flush()
        encoder.stdin.close()

    threading.Thread(target=feed, daemon=True).start()
    found, samples = [], 0
    while piece := decoder.stdout.read1(1 << 16):
        if SETTLE < samples / rate < seconds - 0.5:
            found.append(time.monotonic() - started - samples / rate)
        samples += len(piece) // 2
    return np.array(found)


def main() -> None:
    for options in ((), ("--packet", "20ms"), ("--no-lm",), ("--no-lm", "--packet", "20ms")):
        found = 1000 * delays(12, *options)
        print(
            f"delay, --live {' '.join(options):<24}  from a sample in to the same sample out: "
            f"{np.median(found):.0f} ms, 99 % within {np.quantile(found, 0.99):.0f} ms",
            flush=True,
        )
