"""Tiny trained checkpoints of the served architectures, on generated pictures of shapes."""
