"""What is to be there before anything starts, beside what each setting may be by itself."""

import re
import ssl
from pathlib import Path

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.settings import Settings

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def check_files(settings: Settings) -> Catalog:
    """Read the files that settings name, and return the catalogue.

    Raises:
        ValueError: the catalogue or CA certificates cannot be read, or the catalogue has none of
            a model that is to run; the message says what to change.
    """
    catalog = Catalog.load(settings.catalog, passes_on=settings.ollama.enabled)
    for name in settings.models:
        try:
            catalog.get(name)
        except NotOffered as err:
            msg = f"VISION_MODELS: {err.message}"
            raise ValueError(msg) from err
    check_ca_certificates(*settings.extra_ca_certificates)
    return catalog


def check_ca_certificates(variable: str, path: str) -> None:
    """Raise an error if CA certificates cannot be read.

    Args:
        variable: the variable that names them, for the message.
        path: their file or folder; empty: there are none.

    Raises:
        ValueError: the message says what to change.
    """
    if not path:
        return
    try:
        load_ca_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)
        # OpenSSL looks into a folder when it meets a certificate, and sees no other names.
        has_none = Path(path).is_dir() and not any(
            _HASHED.fullmatch(file.name) for file in Path(path).iterdir()
        )
    except OSError as err:
        msg = (
            f"{variable}: no CA certificates can be read from {path!r} ({err}). Name a file in PEM "
            "format, or unset it."
        )
        raise ValueError(msg) from err
    if has_none:
        msg = (
            f"{variable}: no CA certificates can be found in {path!r}, whose files are not named "
            f"by their hashes. Run `openssl rehash {path}`, or name a file in PEM format."
        )
        raise ValueError(msg)


def load_ca_certificates(context: ssl.SSLContext, path: str) -> None:
    """Have a context trust the certificates in a file, or in a folder with OpenSSL's hashed names.

    Raises:
        OSError: they cannot be read; ``ssl.SSLError`` if there is none.
    """
    is_folder = Path(path).is_dir()
    context.load_verify_locations(
        cafile=None if is_folder else path, capath=path if is_folder else None
    )
