"""A worker serves one model.

The Celery process never imports torch. The model is in a process of its own (``workers.model``),
which the engine starts, calls, kills and replaces; only that process imports ``workers.families``.
Beside ``workers``, only ``shared`` may be imported.
"""
