"""Celery's side of a worker: takes jobs off the queue, answers them, and says how the worker is.

Hands jobs to an engine, local or remote. Knows nothing of models.
"""
