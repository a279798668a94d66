"""What API and workers keep in Redis beside Celery's own keys."""
