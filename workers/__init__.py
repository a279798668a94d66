"""Job in, model out: one worker process serves one model.

``consumer`` takes jobs off the queue and hands them to an ``engine``, or to ``remote`` for models on
servers elsewhere. The Celery process holds no model and never imports torch: the model lives in one
spawned process (``model``) that the engine starts, calls, kills and replaces, and which alone
imports a family (``families``) with what families share (``runtime``). ``llm`` reads the words of
language models. May import ``shared`` only.
"""
