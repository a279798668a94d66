"""Flask with the model in its process; gunicorn runs it with threads, or with two processes."""

import threading
from typing import Any

from flask import Flask, request

from benchmarks.peers.served import Served

application = Flask(__name__)
served, one_at_a_time = Served(), threading.Lock()


@application.post("/predict")
def predict() -> dict[str, Any]:
    """Answer one image; models are not called by two threads at once."""
    with one_at_a_time:
        return served.answer(request.get_json()["images"])[0]
