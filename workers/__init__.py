"""Job in, model out: one worker process serves one model.

The Celery process holds no model and never imports torch; the model lives in one spawned process
(``model_process``) that the engine starts, calls, kills and replaces. May import ``shared`` only;
the families in ``workers.families`` are imported in the model process alone.
"""
