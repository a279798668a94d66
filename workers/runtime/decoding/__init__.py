"""Decoding in tensors of fixed shape, whose steps can be recorded as CUDA graphs."""
