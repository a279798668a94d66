"""Decodes images in processes that can be ended, and makes them as small as a model sees them.

The processes have Pillow, but neither torch nor transformers; ``pool.py`` is what others use.
"""
