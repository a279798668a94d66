"""Rows of a small catalogue: one model for each task."""

CAPTIONER = {"name": "writer", "family": "blip", "source": "some/where", "version": "2.1"}
LABELLER = {"name": "sorter", "family": "efficientnet_lite", "aliases": ["sorter-lite-0"]}
GUARD = {"name": "guard", "family": "onnx", "tasks": ["nsfw"]}
