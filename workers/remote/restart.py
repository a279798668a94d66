"""Restarting a server by the operator's means: a shell command, and a URL that gets a POST."""

import asyncio
import os

import httpx2
import structlog

from shared.ollama_settings import OllamaSettings

log = structlog.get_logger(__name__)

RESTART_TIMEOUT_S = 120.0
"""How long a restart may take."""


async def request_restart(environment: OllamaSettings, server: str, model: str) -> None:
    """Run the command and call the URL that the operator has set; failures are only logged."""
    log.warning("restarting ollama", server=server, model=model)
    if environment.restart_command:
        variables = {"OLLAMA_SERVER": server, "OLLAMA_MODEL": model}
        await _run(environment.restart_command, variables)
    if environment.restart_url:
        await _post(environment.restart_url, {"server": server, "model": model})


async def _run(command: str, variables: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_shell(
        command,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RESTART_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        log.warning("restart command timed out", command=command)
        return
    tail = output.decode(errors="replace")[-500:]
    log.info("restart command finished", status=process.returncode, output=tail)


async def _post(url: str, body: dict[str, str]) -> None:
    try:
        async with httpx2.AsyncClient(timeout=RESTART_TIMEOUT_S, trust_env=False) as http:
            reply = await http.post(url, json=body)
        log.info("restart webhook answered", status=reply.status_code)
    except httpx2.HTTPError as err:
        log.warning("restart webhook failed", error=f"{type(err).__name__}: {err}")
