"""Job in, model out: one worker process serves one model.

``consumer`` takes jobs off the queue and hands them to an ``engine``, or to ``remote`` for models
on servers elsewhere. The Celery process holds no model and never imports torch: the model lives in
one process (``model``), which the engine starts, calls, kills and replaces. That process
alone imports a family (``families``) and what families share (``runtime``). ``llm`` asks language
models and reads their words. May import ``shared`` only.
"""
