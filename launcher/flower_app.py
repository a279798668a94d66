"""The application of Celery that Flower gets, which reaches Redis as API and workers do."""

import os

from celery import Celery

from shared.broker import use_redis

app = Celery()
use_redis(app, os.environ["VISION_REDIS_URL"])
