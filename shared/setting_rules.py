"""What a setting may be, beside its type: each rule returns the value, as it is to be used.

Whatever reads the environment applies them, so the launcher refuses a wrong setting before it
starts anything. No message needs the name of the variable, which :func:`get_settings` adds.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, TypeAdapter
from pydantic_settings import NoDecode

from shared.redis_url import check_redis_url

OLLAMA_PORT = 11434
_DEVICE = re.compile(r"auto|(cpu|cuda|xpu|mps)(:[0-9]+)?")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_ORIGIN = re.compile(r"\*|[\w.+*-]+://[^/]+")


def split_words(value: object) -> object:
    """Return the entries of a list as the environment has it; leave other values alone."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _an_address(value: str) -> str:
    if not value:
        msg = (
            "it is set, but empty, and the API would listen on all addresses. Write 0.0.0.0 "
            "if it should, or unset it to listen on this machine alone"
        )
        raise ValueError(msg)
    try:
        value.encode("idna")
    except UnicodeError:
        msg = "this cannot be a host. Write an address of this machine, such as 127.0.0.1"
        raise ValueError(msg) from None
    return value


def _a_device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        msg = f"{value!r} is not a device. Write auto, cpu, cuda, cuda:1, xpu or mps"
        raise ValueError(msg)
    return value


def _not_empty(value: object) -> object:
    if value == "":  # which would be the folder that the process happens to be in
        msg = "it is set, but empty. Write a path, or unset it"
        raise ValueError(msg)
    return value


def _is_web_address(value: str) -> bool:
    """Return whether it is a http(s) URL by the rules of browsers."""
    try:
        TypeAdapter(AnyHttpUrl).validate_python(value)
    except ValueError:
        return False
    return True


def _a_link(value: str) -> str:
    # A browser's own error would be all that the page shows.
    if value and not _is_web_address(value):
        msg = "a browser could not open this address. Write it as https://flower.example:5555"
        raise ValueError(msg)
    return value


def _a_webhook(value: str) -> str:
    if value and not _is_web_address(value):
        msg = "a POST cannot be sent to it. Write it as http://host:8080/restart"
        raise ValueError(msg)
    return value


def _a_key(value: str) -> str:
    # A file's last line break often comes along, and HTTP's error would quote the key.
    value = value.strip()
    if not value.isprintable():
        msg = (
            "a key has a line break or another character that no header of HTTP may have. Where "
            "a setting takes several keys, commas separate them"
        )
        raise ValueError(msg)
    return value


def _not_open_by_mistake(value: object) -> object:
    if isinstance(value, str) and value and not split_words(value):
        msg = (
            "it names no key, and the API would be open to everyone. Write keys into it, "
            "separated by commas, or leave it unset"
        )
        raise ValueError(msg)
    return value


def _an_ollama_server(url: str) -> str:
    """Accept what Ollama's own OLLAMA_HOST accepts: scheme, host and port may be left out.

    Ollama takes off quotes, too, which files of variables leave around a value.
    """
    given = url = url.strip().strip("\"'")
    try:
        if "://" not in url:
            host, slash, path = url.partition("/")
            if host.count(":") > 1 and "[" not in host:  # an IPv6 address alone
                host = f"[{host}]"
            elif host.startswith(":"):
                host = f"localhost{host}"
            if urlsplit(f"http://{host}").port is None:
                host = f"{host}:{OLLAMA_PORT}"
            url = f"http://{host}{slash}{path}"
        _ = urlsplit(url).port  # raises an error for what is not a port
        is_one = re.fullmatch(r"https?://[^/\s]+(/\S*)?", url)
    except ValueError:
        is_one = None
    if not is_one:
        host = given.rpartition("@")[2]  # a user's password may be before
        msg = f"{host!r} is not the address of an Ollama server. Write it as http://host:11434"
        raise ValueError(msg)
    return url.rstrip("/")


def without_repetition(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return URLs of servers as they are.

    Raises:
        ValueError: there is one twice.
    """
    for entry in value:
        if value.count(entry) > 1:
            msg = f"{entry.rpartition('@')[2]} is named twice"
            raise ValueError(msg)
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    # uvicorn says nothing of an entry that it cannot read, and `*` would let all clients lie.
    networks = []
    for entry in value:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            msg = (
                f"{entry!r} is not an address or CIDR network. Write the address from which "
                "the proxy connects, such as 172.18.0.1, or its network, such as 172.18.0.0/16"
            )
            raise ValueError(msg) from None
        networks.append(str(network) if "/" in entry else str(network.network_address))
    return tuple(networks)


def _hosts_and_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for entry in value:
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            if not _HOST.fullmatch(entry):
                msg = (
                    f"{entry!r} is not a host name, address or CIDR network. Write it without "
                    "scheme, port and path, as nas.lan or 192.168.1.0/24"
                )
                raise ValueError(msg) from None
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    entries = tuple(entry.rstrip("/") for entry in value)
    for entry in entries:
        if not _ORIGIN.fullmatch(entry):
            msg = f"{entry!r} is not an origin. Write it as https://example.com"
            raise ValueError(msg)
    return entries


def _url_of_redis(value: str | None) -> str | None:
    if value:
        check_redis_url(value)
    return value


Finite = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_words)]
"""A comma-separated list in the environment."""
Address = Annotated[str, AfterValidator(_an_address)]
Device = Annotated[str, AfterValidator(_a_device)]
NamedPath = Annotated[Path, BeforeValidator(_not_empty)]
Link = Annotated[str, AfterValidator(_a_link)]
Networks = Annotated[Words, AfterValidator(_networks)]
HostsAndNetworks = Annotated[Words, AfterValidator(_hosts_and_networks)]
Origins = Annotated[Words, AfterValidator(_origins)]
"""Origins of web pages without a slash at the end; ``*`` stands for any characters."""
Webhook = Annotated[str, AfterValidator(_a_webhook)]
Key = Annotated[str, AfterValidator(_a_key)]
Keys = Annotated[
    tuple[Key, ...],
    NoDecode,
    BeforeValidator(split_words),
    BeforeValidator(_not_open_by_mistake),  # of two, pydantic calls the last one first
]
OllamaServer = Annotated[str, AfterValidator(_an_ollama_server)]
"""A URL with scheme and port, and without a slash at the end."""
OllamaServers = Annotated[
    tuple[OllamaServer, ...],
    NoDecode,
    BeforeValidator(split_words),
    AfterValidator(without_repetition),
]
RedisUrl = Annotated[str | None, AfterValidator(_url_of_redis)]
