"""A fork server in which torch has used a GPU, as it cannot without one."""

import socket

import torch

from shared.model_spec import ModelSpec
from shared.settings import Settings
from workers.model.fork_server import serve


def serve_after_using_a_gpu(control: socket.socket, settings: Settings, spec: ModelSpec) -> None:
    """Serve, while torch says in each forked process that its GPUs cannot be used."""
    torch.cuda._is_in_bad_fork = lambda: True
    serve(control, settings, spec)
