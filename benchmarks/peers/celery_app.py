"""Flask and Celery as in tutorials: a task per image, prefork processes, and ``get()``."""

import os
from functools import cache
from typing import Any

from celery import Celery
from flask import Flask, request

from benchmarks.peers.served import REDIS, Served

celery = Celery("peers", broker=os.environ[REDIS], backend=os.environ[REDIS])
application = Flask(__name__)
served = cache(Served)
"""Loaded by the first task of each process."""


@celery.task
def answer(data_url: str) -> dict[str, Any]:
    """Answer one image."""
    return served().answer([data_url])[0]


@application.post("/predict")
def predict() -> dict[str, Any]:
    """Have one image answered."""
    result: dict[str, Any] = answer.delay(request.get_json()["images"][0]).get(timeout=60)
    return result
