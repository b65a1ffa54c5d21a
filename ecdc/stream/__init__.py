"""What joins audio, codec, entropy coding and bitstream: compression, decompression, seeking, editing, repair."""
