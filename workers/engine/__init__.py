"""The local engine: batches jobs, and keeps one model process at work.

May import ``workers.model`` for what crosses the pipe; never a family, nor Celery.
"""
