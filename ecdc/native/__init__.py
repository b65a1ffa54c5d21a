"""The native library: codec, quantizer and exact language model in C, each defined by the Python form beside it.

Without a compiler at installation there is none, and PyTorch and NumPy compute everything.
"""
