"""Speed of the codec, the entropy coder and whole files, as ratios to the official implementation in the same run."""

import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from bench_commands import bench_commands
from support.delay import main as delays
from support.peers import CONFIGS, official_coded, official_model

import ecdc
from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.codec.engine import Engine
from ecdc.codec.native_codec import NativeCodec
from ecdc.codec.streaming import decoder_stream, encoder_stream
from ecdc.entropy.model_coder import ModelCoder
from ecdc.models import language_model, load_model
from ecdc.native.calls import available
from ecdc.stream.decoding import BATCH

PACKET = 375


def median_seconds(work: Callable[[], object], runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def show(name: str, what: str, ours: float, theirs: float = 0.0) -> None:
    """Speeds as multiples of real time."""
    ratio = f", official {theirs:7.2f} x: ratio {ours / theirs:6.2f}" if theirs else ""
    print(f"{name:<16} {what:<24} {ours:7.2f} x real time{ratio}", flush=True)


def streamed(codec: Engine, wave: torch.Tensor, n_codebooks: int) -> tuple[Callable, Callable]:
    """Encoding and decoding as the tool does it, block by block."""

    def encode() -> list:
        encoder = encoder_stream(codec, n_codebooks, codec.config.block_frames)
        return encoder.push(wave.numpy()) + encoder.flush()

    def decode() -> None:
        decoder = decoder_stream(codec)
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
        theirs = (
            median_seconds(lambda: official.encode(wave[None]), runs),
            median_seconds(lambda: official.decode(frames), runs),
        )
        for engine in engines(config, codec, official):
            encode, decode = streamed(engine, wave, frames[0][0].shape[1])
            ours = median_seconds(encode, runs), median_seconds(decode, runs)
            kind = "PyTorch" if engine is codec else "native"
            for direction, we, they in zip(("encode", "decode"), ours, theirs):
                show(name, f"{kind} {direction}", seconds / we, seconds / they)


def engines(config: CodecConfig, codec: Codec, official: torch.nn.Module) -> list[Engine]:
    if not available():
        return [codec]
    return [codec, NativeCodec(config, {name: tensor.numpy() for name, tensor in official.state_dict().items()})]


def bench_entropy(seconds: int, runs: int, official_seconds: float) -> None:
    """The language model and its coder alone: packets together, as in files, and one live stream."""
    model, frames = language_model(load_model()), seconds * 75
    codes = np.random.default_rng(0).integers(0, 1024, (8, frames)).astype(np.int32)
    packets = np.split(codes, range(PACKET, frames, PACKET), axis=1)
    coder = ModelCoder(model, 8)
    payloads = [coder.encode(packet, key=True) for packet in packets]
    lengths = [packet.shape[1] for packet in packets]

    def decode_file() -> None:
        for start in range(0, len(packets), BATCH):
            coder.decode_batch(payloads[start : start + BATCH], lengths[start : start + BATCH])

    encode = median_seconds(lambda: [coder.encode(packet, key=True) for packet in packets], runs)
    decode = median_seconds(decode_file, runs)
    they_encode, they_decode = official_coded(official_seconds)
    show("language model", f"encode {seconds} s", seconds / encode, they_encode)
    show("language model", f"decode {seconds} s", seconds / decode, they_decode)
    bench_live(coder, codes[:, :PACKET], they_encode, they_decode, runs)


def bench_live(coder: ModelCoder, codes: np.ndarray, they_encode: float, they_decode: float, runs: int) -> None:
    """Packets of 8 frames, one after another, each in the context of those before."""
    parts = np.split(codes, range(8, codes.shape[1], 8), axis=1)

    def encode() -> list:
        return [coder.encode(part, key=index == 0) for index, part in enumerate(parts)]

    def decode() -> None:
        coder.decode_batch(payloads[:1], [parts[0].shape[1]])
        for payload, part in zip(payloads[1:], parts[1:]):
            coder.decode(payload, part.shape[1])

    payloads, seconds = encode(), codes.shape[1] / 75
    show("language model", "encode live", seconds / median_seconds(encode, runs), they_encode)
    show("language model", "decode live", seconds / median_seconds(decode, runs), they_decode)


def bench_files(seconds: int, runs: int) -> None:
    """Whole files with the bundled model, container and all."""
    wave = np.random.default_rng(0).standard_normal(seconds * 24000) * 0.1
    show(
        "ecdc_24khz",
        "write, with LM, best",
        seconds / median_seconds(lambda: ecdc.write(io.BytesIO(), wave, 24000, best=True), runs),
    )
    for lm in (True, False):
        file = io.BytesIO()

        def write() -> None:
            file.seek(0)
            ecdc.write(file, wave, 24000, lm=lm)

        def read() -> None:
            file.seek(0)
            ecdc.read(file)

        for direction, work in (("write", write), ("read", read)):
            show("ecdc_24khz", f"{direction}, {'with' if lm else 'without'} LM", seconds / median_seconds(work, runs))


@click.command()
@click.option("--seconds", default=20, show_default=True, help="Length of the audio for the codec.")
@click.option("--file-seconds", default=300, show_default=True, help="Length of the file for the language model.")
@click.option(
    "--official-seconds",
    default=60.0,
    show_default=True,
    help="Length for the official language model, which slows down until its window of 3.5 s is full.",
)
@click.option("--runs", default=3, show_default=True, help="Runs to take the median of.")
@click.option("--delay", is_flag=True, help="Measure the delay of live streams instead.")
@click.option("--commands", is_flag=True, help="Measure whole commands as processes instead.")
@click.option("--against", metavar="COMMIT", help="With --commands: compare with this commit, in this environment.")
@click.option("--lengths", default="1,60,600", show_default=True, help="With --commands: seconds of audio.")
@click.option("--json", "saved", metavar="FILE", help="With --commands: save the figures.")
def main(
    seconds: int,
    file_seconds: int,
    official_seconds: float,
    runs: int,
    delay: bool,
    commands: bool,
    against: str | None,
    lengths: str,
    saved: str | None,
) -> None:
    """Print speeds at 6 kbps and their ratios to the official implementation.

    One thread, for both, unless OMP_NUM_THREADS says otherwise.
    """
    if delay:
        delays()
        return
    if commands:
        rows = bench_commands(against, [int(length) for length in lengths.split(",")], runs, print)
        if saved:
            Path(saved).write_text(json.dumps(rows, indent=1) + "\n")
        return
    print(f"{seconds} s of noise at 6 kbps, {torch.get_num_threads()} thread(s), median of {runs} runs")
    for name in ("official 24 kHz", "official 48 kHz", "bundled 24 kHz"):
        bench_codec(name, seconds, runs)
    bench_entropy(file_seconds, 1, official_seconds)
    bench_files(60, 1)


if __name__ == "__main__":
    main()
