"""Checks of this machine, where the service runs on it: disk, weights, GPU, ports."""

import json
import shutil
import socket
import subprocess
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import requests

from vision.doctor.findings import Findings, doubtful, good, wrong
from vision.here import checkout, worker_python
from vision.schemas import OLLAMA, Model
from vision.service import Service, ServiceError, host_and_port

LITTLE_GB, TOO_LITTLE_GB = 10.0, 1.0
"""Free space: most models take less than the first, and logs and temporary files need the other."""
INSPECT_S = 120.0
"""How long the weights may take: those that are missing are asked for at the hub."""
NVIDIA_S = 20.0
NVIDIA = ("nvidia-smi", "--query-gpu=name,driver_version,memory.used,memory.total",
          "--format=csv,noheader,nounits")  # fmt: skip
PORT_S, FLOWER_S = 2.0, 5.0


def check_machine(service: Service) -> Findings:
    """Check this machine, on which the service runs."""
    try:
        models = service.models()
    except ServiceError:
        models = []
    running = [model.name for model in models if model.workers and model.family != OLLAMA]
    yield from _check_weights(running)
    yield from _check_gpu(models)


def check_flower(url: str) -> Findings:
    """Check that Flower answers at the address that the page at ``/`` links to."""
    try:
        answers = requests.get(url, timeout=FLOWER_S).status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    except requests.RequestException:
        answers = False
    if answers:
        yield good("Ports", f"Flower answers at {url}.")
    else:
        advice = "Start it (in Docker by its profile `flower`), or correct VISION_FLOWER_URL."
        yield doubtful("Ports", f"Flower does not answer at {url}.", advice)


def check_port(url: str) -> Findings:
    """Check what listens at an address that does not answer as the service does."""
    place = host_and_port(url)
    if place is None:
        yield wrong("Ports", f"{url!r} names no port.", "Write it as http://127.0.0.1:5000")
        return
    host, port = place
    try:
        socket.create_connection(place, PORT_S).close()
    except OSError as err:
        yield wrong(
            "Ports",
            f"Nothing listens on port {port} of {host} ({err.strerror or err}).",
            "Start the service, or see whether a firewall is in the way.",
        )
    else:
        yield wrong(
            "Ports",
            f"Something else listens on port {port} of {host}.",
            "Stop it, or choose another port for the service with VISION_PORT.",
        )


def _check_weights(names: Sequence[str]) -> Findings:
    python, folder = worker_python(), checkout()
    if python is None or folder is None:
        return  # it is not the service's machine, or one without a worker
    try:
        done = subprocess.run(
            [python, "-m", "workers.model.inspection", *names],
            cwd=folder, capture_output=True, text=True, timeout=INSPECT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield doubtful("Weights", "The hub does not answer.", "Check the network and HTTPS_PROXY.")
        return
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["nothing is said"]
        yield wrong("Weights", f"They cannot be checked: {reason[0]}", "Correct the settings.")
        return
    said = json.loads(done.stdout)
    for name, found in said["models"].items():
        if found["obstacle"]:
            text = f"{name} lacks them ({found['missing']}). {found['obstacle']}"
            yield wrong("Weights", text, f"Then fetch them: vision pull {name}")
        elif found["missing"]:
            text = f"{name} lacks them ({found['missing']}); the hub has them."
            yield doubtful("Weights", text, f"Fetch them in advance: vision pull {name}")
        else:
            yield good("Weights", f"Those of {name} are there.")
    yield from _check_disk(Path(said["folder"]))


def _check_disk(folder: Path) -> Findings:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    text = f"{free_gb:.1f} GB are free for weights in {folder}."
    if free_gb < TOO_LITTLE_GB:
        yield wrong("Disk", text, "Free some, or name another folder in VISION_MODELS_DIR.")
    elif free_gb < LITTLE_GB:
        yield doubtful("Disk", text, "Large models need more; VISION_MODELS_DIR names the folder.")
    else:
        yield good("Disk", text)


def _check_gpu(models: Sequence[Model]) -> Findings:
    on_cpu = [
        model.name
        for model in models
        for worker in model.workers
        if worker.device.upper() == "CPU" and model.name not in ("opennsfw", "efficientnet-lite0")
    ]
    if not shutil.which(NVIDIA[0]):
        if Path("/dev/kfd").exists() and on_cpu:
            yield doubtful(
                "GPU",
                f"There is an AMD GPU, and {', '.join(on_cpu)} runs on the CPU.",
                "Install torch's build for ROCm: compose.rocm.yaml, or UV_TORCH_BACKEND.",
            )
        else:
            yield good("GPU", "There is no NVIDIA driver here; models run on the CPU.")
        return
    done = subprocess.run(NVIDIA, capture_output=True, text=True, timeout=NVIDIA_S, check=False)
    if done.returncode:
        yield wrong(
            "GPU",
            f"nvidia-smi fails: {' '.join((done.stdout + done.stderr).split())[:200]}",
            "Reinstall the driver, or restart the machine if the driver was updated.",
        )
        return
    for line in done.stdout.splitlines():
        name, driver, used, total = (cell.strip() for cell in line.split(","))
        yield good("GPU", f"{name}, driver {driver}, {used} of {total} MB in use.")
    if on_cpu:
        yield doubtful(
            "GPU",
            f"There is a GPU, and {', '.join(on_cpu)} runs on the CPU.",
            "Install torch's build for CUDA (UV_TORCH_BACKEND=auto), and see VISION_DEVICE.",
        )
