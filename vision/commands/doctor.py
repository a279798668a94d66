"""``vision doctor``: what is wrong with a set-up, and what to do."""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from vision import exits
from vision.console import put, results
from vision.doctor.findings import SIGNS, STYLES, Finding, Findings, Mark, wrong
from vision.doctor.machine import check_flower, check_machine, check_port
from vision.doctor.service import check_service
from vision.doctor.vision_yml import URI_VARIABLE, check_vision_yml
from vision.options import DEFAULT_URL, Json, Key, Url
from vision.service import Service, ServiceError, is_loopback


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    url: Url = DEFAULT_URL,
    key: Key = "",
    *,
    json_: Json = False,
    vision_yml: Annotated[
        Path | None,
        typer.Option("--vision-yml", metavar="FILE", help="Also check a vision.yml of PhotoPrism."),
    ] = None,
    vision_uri: Annotated[
        str,
        typer.Option(
            "--vision-uri",
            envvar=URI_VARIABLE,
            metavar="URL",
            help="Value of PHOTOPRISM_VISION_URI, if it is set for PhotoPrism.",
            show_default=False,
        ),
    ] = "",
    machine: Annotated[
        bool | None,
        typer.Option(
            "--machine/--no-machine",
            help="Check the weights, disk and GPU of this machine.",
            show_default="if the service is at 127.0.0.1 or localhost",
        ),
    ] = None,
) -> None:
    """Check each part of a set-up; the exit status is 1 if something is wrong (✘)."""
    service = Service(url, key)
    findings = _check_service(service)
    if is_loopback(service.url) if machine is None else machine:
        findings = chain(findings, check_machine(service))
    if vision_yml:
        findings = chain(findings, check_vision_yml(vision_yml, service, vision_uri))
    found = list(_shown(findings, silent=json_))
    if json_:
        put(json.dumps([finding._asdict() for finding in found], indent=2, ensure_ascii=False))
    if any(finding.mark is Mark.WRONG for finding in found):
        raise typer.Exit(exits.FAILED)


def _check_service(service: Service) -> Findings:
    try:
        yield from check_service(service)
        if flower := service.flower_url():
            yield from check_flower(flower)
    except ServiceError as err:
        part = "Redis" if err.status == 503 else "API"
        yield wrong(part, str(err), "`vision logs` may have the reason.")
        if err.status == 0:
            yield from check_port(service.url)


def _shown(findings: Iterable[Finding], *, silent: bool) -> Findings:
    """Print each finding as soon as it is there, as some take seconds."""
    for finding in findings:
        if not silent:
            line = Text(f"{SIGNS[finding.mark]} ", style=STYLES[finding.mark])
            line.append(f"{finding.part}: ", style="bold").append(finding.says, style="default")
            results.print(line)
            if finding.advice:
                results.print(Text(f"  {finding.advice}", style="italic"))
        yield finding
