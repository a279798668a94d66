"""Bodies that are small to send and large to parse: what they cost in memory and in time."""

from contextlib import closing
from pathlib import Path

import psutil

from benchmarks.prove.background import probes
from benchmarks.prove.clients import Shot, connect, send
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service
from shared.units import MEGA
from tests.api.http.hostile_bodies import HOSTILE
from tests.stack import API

SIZE = int(8 * MEGA)
SHORT = ("ones", "objects", "deep-objects", "schema", "headers", "url-encoded-escapes")
MOST_MB = 300.0
"""What one body may take at most."""


def attack(service: Service) -> list[Case]:
    """Send each body, and measure the API meanwhile."""
    names = list(HOSTILE) if service.long else SHORT
    return [_case(service, name) for name in names]


def _case(service: Service, name: str) -> Case:
    hostile = HOSTILE[name]
    shot = Shot(f"{API}/caption/fake", {"Content-Type": hostile.kind}, hostile.make(SIZE), "")
    process = service.api_process()
    before = _start_of_peak(process)
    with probes(service.base) as found, closing(connect(service.base)) as connection:
        reply = send(connection, shot)
    if not process.is_running():
        return Case(f"body: {name}", None, "the API process was ended", [f"{name} ended the API"])
    taken_mb = (_peak(process) - before) / MEGA
    what = f"body of {len(shot.body) / MEGA:.0f} MB: {name}"
    notes = (
        f"{reply.status} after {reply.seconds:.2f} s; {taken_mb:.0f} MB; longest `/livez` "
        f"{1000 * max(found.livez, default=0):.0f} ms"
    )
    complaints = found.innocent.complaints(what)
    if reply.status not in (400, 413, 422):
        complaints.append(f"{what}: {reply.status} {reply.text[:80]}")
    if taken_mb > MOST_MB:
        complaints.append(f"{what}: took {taken_mb:.0f} MB")
    return Case(what, None, notes, complaints)


def _start_of_peak(process: psutil.Process) -> int:
    """Forget the peak of a process' memory, and return what is resident now, in bytes."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # proc(5)
    return _peak(process)


def _peak(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
