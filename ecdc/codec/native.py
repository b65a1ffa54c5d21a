"""Encoder and decoder of any EnCodec model in the native library: arrays of NumPy in and out.

Each output is one fixed chain of multiply-adds, so that results do not depend on how a signal is cut into pieces.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..native.calls import address, library, made
from .architecture import Activation, Convolution, Layer, Recurrent, Residual, decoder_layers, encoder_layers
from .config import CodecConfig

Arrays = Mapping[str, np.ndarray]
CONV, TRANSPOSED, RESIDUAL, LSTM = range(4)


class _Tensors(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("weight", "bias", "gain", "shift")]


class _Description(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("kind", "in_", "out", "hidden", "kernel", "stride", "dilation")),
        *((name, ctypes.c_int64) for name in ("left", "right", "active", "depth")),
        ("kernels", _Tensors * 3),
    ]


class _Describer:
    """Layers as the library takes them; `arrays` keeps alive what they point to."""

    def __init__(self, arrays: Arrays, prefix: str):
        self.source, self.prefix = arrays, prefix
        self.arrays: list[np.ndarray] = []

    def _pointer(self, array: np.ndarray) -> int:
        self.arrays.append(np.ascontiguousarray(array, np.float32))
        return self.arrays[-1].ctypes.data

    def _tensors(self, name: str, kind: str = "conv") -> _Tensors:
        name = self.prefix + name
        norm = [self.source.get(f"{name}norm.{part}") for part in ("weight", "bias")]
        return _Tensors(
            self._pointer(self.source[f"{name}{kind}.weight"]),
            self._pointer(self.source[f"{name}{kind}.bias"]),
            *(None if part is None else self._pointer(part) for part in norm),
        )

    def described(self, layers: Sequence[Layer]) -> list[_Description]:
        found, active = [], False
        for layer in layers:
            if isinstance(layer, Activation):
                active = True
                continue
            found.append(self._described(layer, active))
            active = False
        return found

    def _described(self, layer: Layer, active: bool) -> _Description:
        if isinstance(layer, Convolution):
            kernels = (_Tensors * 3)(self._tensors(layer.name))
            return _convolution(CONV, layer, layer.channels_out, 0, active, kernels)
        if isinstance(layer, Residual):
            convs = [*layer.branch, *([layer.shortcut] if layer.shortcut else [])]
            first = layer.branch[0]
            kernels = (_Tensors * 3)(*(self._tensors(conv.name) for conv in convs))
            return _convolution(RESIDUAL, first, first.channels_in, first.channels_out, True, kernels)
        if isinstance(layer, Recurrent):
            size, depth = layer.dimension, layer.layers
            return _Description(LSTM, size, size, 0, 1, 1, 1, 0, 0, 0, depth, self._recurrent(layer))
        assert not isinstance(layer, Activation)
        kernels = (_Tensors * 3)(self._tensors(layer.name, "convtr"))
        sizes = layer.channels_in, layer.channels_out, 0, 2 * layer.stride, layer.stride, 1, layer.left, layer.right
        return _Description(TRANSPOSED, *sizes, active, 0, kernels)

    def _recurrent(self, layer: Recurrent) -> ctypes.Array[_Tensors]:
        stacked = {
            part: np.stack([self.source[f"{self.prefix}{layer.name}{part}_l{index}"] for index in range(layer.layers)])
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        bias = self._pointer(stacked["bias_ih"] + stacked["bias_hh"])
        return (_Tensors * 3)(
            _Tensors(self._pointer(stacked["weight_ih"]), bias), _Tensors(self._pointer(stacked["weight_hh"]))
        )


def _convolution(
    kind: int, conv: Convolution, channels_out: int, hidden: int, active: bool, kernels: Any
) -> _Description:
    sizes = conv.kernel_size, conv.stride, conv.dilation, conv.left, conv.right
    return _Description(kind, conv.channels_in, channels_out, hidden, *sizes, active, 0, kernels)


class NativeNetwork:
    """An encoder or a decoder; read-only, so that any number of threads may have streams through it."""

    def __init__(self, layers: Sequence[Layer], arrays: Arrays, prefix: str, rate: int, reflect: bool):
        describer = _Describer(arrays, prefix)
        described = describer.described(layers)
        self.library = library()
        self.channels_in, self.channels_out = described[0].in_, described[-1].out
        self.handle = made(
            self.library.ecdc_network_new(
                (_Description * len(described))(*described),
                ctypes.c_int64(len(described)),
                ctypes.c_int64(rate),
                ctypes.c_int64(reflect),
            )
        )

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.library.ecdc_network_free(self.handle)

    def stream(self) -> NativeStream:
        """The beginning of a signal."""
        return NativeStream(self)

    def whole(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Whole signals [C, T], each by itself; those of equal length share the reading of recurrent weights."""
        streams = [self.stream() for _ in signals]
        for stream, signal in zip(streams, signals):
            stream.push(signal)
        run(streams, last=True)
        return [stream.pull() for stream in streams]


class NativeStream:
    """One signal's way through a network. One thread at a time."""

    def __init__(self, network: NativeNetwork):
        # Its weights must outlive the stream.
        self.network, self.library = network, network.library
        self.handle = made(self.library.ecdc_stream_new(network.handle))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.library.ecdc_stream_free(self.handle)

    def step(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        """The next stretch [C, T] of the signal; what can be computed by now, [C, T]. `last`: it ends here."""
        self.push(x)
        run([self], last)
        return self.pull()

    def push(self, x: np.ndarray) -> None:
        x = np.asarray(x, np.float32)
        channel, row = (stride // x.itemsize for stride in x.strides)
        if not self.library.ecdc_stream_push(
            self.handle, address(x), ctypes.c_int64(x.shape[1]), ctypes.c_int64(channel), ctypes.c_int64(row)
        ):
            raise MemoryError

    def pull(self) -> np.ndarray:
        rows, channels = self.library.ecdc_stream_ready(self.handle), self.network.channels_out
        # Latents are wanted frame by frame, waves channel by channel: each in one piece.
        y = np.empty((rows, channels), np.float32).T if channels > 2 else np.empty((channels, rows), np.float32)
        channel, row = (stride // y.itemsize for stride in y.strides)
        self.library.ecdc_stream_pull(self.handle, address(y), ctypes.c_int64(channel), ctypes.c_int64(row))
        return y


def run(streams: Sequence[NativeStream], last: bool) -> None:
    """Takes what was pushed to streams of one network through it."""
    handles = (ctypes.c_void_p * len(streams))(*(stream.handle for stream in streams))
    if not streams[0].library.ecdc_streams_run(handles, ctypes.c_int64(len(streams)), last):
        raise MemoryError


def native_encoder(config: CodecConfig, arrays: Arrays) -> NativeNetwork:
    """`arrays`: of `runtime_state`."""
    reflect = config.pad_mode == "reflect"
    return NativeNetwork(encoder_layers(config), arrays, "encoder.", config.hop_length, reflect)


def native_decoder(config: CodecConfig, arrays: Arrays) -> NativeNetwork:
    reflect = config.pad_mode == "reflect"
    return NativeNetwork(decoder_layers(config), arrays, "decoder.", 1, reflect)
