"""Speed of the codec and of whole commands, as ratios to the official implementation in the same run."""

import io
import statistics
import time
from typing import Callable

import click
import numpy as np
import torch

import ecdc
from ecdc.codec.codec import Codec
from peers import CONFIGS, official_model


def median_seconds(work: Callable[[], object], runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def streamed(codec: Codec, wave: torch.Tensor, n_codebooks: int) -> tuple[Callable, Callable]:
    """Encoding and decoding as the tool does it, block by block."""
    def encode() -> list:
        encoder = codec.encoder_stream(n_codebooks, codec.config.block_frames)
        return encoder.push(wave) + encoder.flush()

    def decode() -> None:
        decoder = codec.decoder_stream()
        for block in blocks:
            for _ in decoder.push(block):
                pass
        decoder.flush()

    blocks = encode()
    return encode, decode


def bench_codec(name: str, seconds: int, runs: int) -> None:
    config = CONFIGS[name]
    torch.manual_seed(0)
    official = official_model(config)
    official.set_target_bandwidth(6.0)
    codec = Codec.from_state(config, official.state_dict())
    wave = torch.randn(config.channels, seconds * config.sample_rate) * 0.1
    with torch.inference_mode():
        frames = official.encode(wave[None])
        encode, decode = streamed(codec, wave, frames[0][0].shape[1])
        theirs = median_seconds(lambda: official.encode(wave[None]), runs), \
            median_seconds(lambda: official.decode(frames), runs)
        ours = median_seconds(encode, runs), median_seconds(decode, runs)
    for direction, we, they in zip(("encode", "decode"), ours, theirs):
        print(f"{name:<18} {direction}  {seconds / we:7.1f} x real time, official {seconds / they:7.1f} x: "
              f"ratio {they / we:.2f}")


def bench_bundled(seconds: int, runs: int) -> None:
    codec, wave = ecdc.load_model(), np.random.default_rng(0).standard_normal(seconds * 24000) * 0.1
    file = io.BytesIO()

    def write() -> None:
        file.seek(0)
        ecdc.write(file, wave, 24000)

    def read() -> None:
        file.seek(0)
        ecdc.read(file)

    for direction, work in (("write", write), ("read", read)):
        print(f"{codec.config.name:<18} {direction:<6}  {seconds / median_seconds(work, runs):7.1f} x real time, "
              "container and all")


@click.command()
@click.option("--seconds", default=20, show_default=True, help="Length of the audio.")
@click.option("--runs", default=3, show_default=True, help="Runs to take the median of.")
@click.option("--threads", default=1, show_default=True, help="Threads, for both.")
def main(seconds: int, runs: int, threads: int) -> None:
    """Print speeds at 6 kbps and their ratios to the official implementation."""
    torch.set_num_threads(threads)
    print(f"{seconds} s of noise at 6 kbps, {threads} thread(s), median of {runs} runs")
    for name in ("official 24 kHz", "official 48 kHz", "bundled 24 kHz"):
        bench_codec(name, seconds, runs)
    bench_bundled(seconds, runs)


if __name__ == "__main__":
    main()
