"""How Celery reaches Redis: as redis-py does, which alone reads the URL.

kombu reads URLs in its own way. It does not check the certificate of a ``rediss://`` URL unless an
option says so, and would send the password to whoever answers. Flower's page of queues looks for no
options of TLS in a URL at all.
"""

import os
from typing import Any

from celery import Celery
from kombu.utils.url import as_url
from redis.connection import parse_url

BELIEVED_MORE = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
"""Variables that Celery believes more than its settings: a worker would take messages from another
Redis than the one that has its heartbeat."""


def use_redis(app: Celery, url: str) -> None:
    """Have an application use the Redis at a URL, whatever the environment of this process says.

    Raises:
        ValueError: the URL cannot be read.
    """
    parse: Any = parse_url  # redis-py does not type it
    said = parse(url)
    secure = url.startswith("rediss://")
    tls = {name: value for name, value in said.items() if name.startswith("ssl_")}
    for variable in BELIEVED_MORE:
        os.environ.pop(variable, None)
    app.conf.update(
        broker_url=as_url(
            "rediss" if secure else "redis",
            host=said.get("host"),
            port=said.get("port"),
            user=said.get("username"),
            password=said.get("password"),
            path=str(said.get("db", 0)),
        ),
        broker_use_ssl={"ssl_cert_reqs": "required", **tls} if secure else None,
    )
