"""Certificates of a private authority, and a Redis that is reached by TLS with them."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from launcher.ports import LOOPBACK

LEAVES = {"good": ("localhost", 2), "misnamed": ("other.example", 2), "expired": ("localhost", 0)}
"""Name and days of validity of each server certificate; one of no days has expired at once."""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CHUNK = 65536


def make_authority(folder: Path) -> Path:
    """Fill a folder with an authority's certificate, ``ca.pem``, and those that it has signed."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make certificates with")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_ca = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Tests", "-days", "2")
    # From Python 3.13 on, authorities must say that they are one.
    openssl("req", "-x509", *NEW_KEY, *new_ca, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    for leaf, (name, days) in LEAVES.items():
        (folder / "names").write_text(f"subjectAltName=DNS:{name}\nauthorityKeyIdentifier=keyid")
        openssl("req", *NEW_KEY, "-keyout", f"{leaf}.key", "-out", "csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", "csr", "-out", f"{leaf}.pem", "-days", str(days), *signer)
    (folder / "folder").mkdir()
    shutil.copy(folder / "ca.pem", folder / "folder")
    openssl("rehash", "folder")
    return folder


def server_context(authority: Path, leaf: str) -> ssl.SSLContext:
    """Return the TLS of a server that has one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / f"{leaf}.pem", authority / f"{leaf}.key")
    return context


@contextlib.contextmanager
def by_tls(port: int, authority: Path) -> Iterator[int]:
    """Yield a port where a server is reached by TLS that listens on ``port`` without."""
    told: Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Queue()

    async def serve() -> None:
        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind, to_it = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(_forward(reader, to_it), _forward(behind, writer))

        context = server_context(authority, "good")
        server = await asyncio.start_server(connect, LOOPBACK, 0, ssl=context)
        over = asyncio.Event()
        told.put((asyncio.get_running_loop(), over, server.sockets[0].getsockname()[1]))
        await over.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, over, tls_port = told.get()
    try:
        yield tls_port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
