"""What keeps a model from being downloaded, as sentences that tell an operator what to do."""

import errno
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from shared.model_spec import ModelSpec
from workers.model.family import LoadError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

_TOKEN = "HF_TOKEN, or in the file that HF_TOKEN_PATH names"  # noqa: S105 - names of variables
_MAX_SAID_CHARS = 200


def explain(err: "OSError | httpx2.HTTPError", spec: ModelSpec, folder: Path) -> LoadError:
    """Return an error of a download as a sentence with advice.

    Args:
        err: raised by the hub's client, or by the file system.
        spec: the model, which has a source.
        folder: where its files belong.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(err, HfHubHTTPError):
        return _refusal(err, spec)
    if isinstance(err, OfflineModeIsEnabled):
        advice = "HF_HUB_OFFLINE is set: unset it, or put the files there by hand"
        return LoadError(f"{spec.source} is not fetched into {folder}, because {advice}.")
    match getattr(err, "errno", None):
        case errno.ENOSPC | errno.EDQUOT:
            advice = "Free some space there; what has arrived is kept"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            advice = "Let the worker's user read and write it, or put the files there by hand"
        case errno.EEXIST | errno.ENOTDIR:  # a file is where a folder is to be made
            advice = "Let VISION_MODELS_DIR name a folder"
        case _:
            advice = (
                "Check the network, HTTPS_PROXY and HF_ENDPOINT, or put the files there by hand"
            )
    return LoadError(f"Cannot fetch {spec.source} into {folder}: {str(err).rstrip('.')}. {advice}.")


def _refusal(err: "HfHubHTTPError", spec: ModelSpec) -> LoadError:
    """Return what the hub refused as a sentence.

    Its own words follow where they may say more. URLs do not, because those that it redirects to
    are signed.
    """
    from huggingface_hub import get_token

    text = _missing(err, spec) or _locked(err, spec, has_token=bool(get_token()))
    said = " ".join((err.server_message or "").split())[:_MAX_SAID_CHARS].rstrip(".")
    return LoadError(f"{text} (it says: {said})." if said else f"{text}.")


def _missing(err: "HfHubHTTPError", spec: ModelSpec) -> str:
    """Return what to do about what the hub does not have, or that it has trouble; or nothing."""
    from huggingface_hub import errors

    row, status = f"the row of {spec.name}", err.response.status_code
    match err:
        case errors.RevisionNotFoundError():
            return (
                f"The hub has no revision {spec.revision!r} of {spec.source}: check `revision` in "
                f"{row}"
            )
        case errors.DisabledRepoError():
            return f"The hub has disabled {spec.source}: choose another `source` in {row}"
        case _ if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            return ""
        case _ if status == HTTPStatus.TOO_MANY_REQUESTS:
            return "The hub has had too many requests from here: wait a while"
        case _:
            return (
                f"The hub answered {status} when asked for {spec.source}: wait until it works "
                "again, or name a mirror in HF_ENDPOINT"
            )


def _locked(err: "HfHubHTTPError", spec: ModelSpec, *, has_token: bool) -> str:
    """Return what to do about what the hub does not show to this client."""
    from huggingface_hub import errors
    from huggingface_hub.constants import ENDPOINT

    source, row = spec.source, f"the row of {spec.name}"
    match err:
        case errors.GatedRepoError() if has_token:
            return (
                f"The hub does not let the token read {source}: accept the licence on "
                f"{ENDPOINT}/{source} with the account of the token, and if the token is "
                "fine-grained, let it read gated repositories"
            )
        case errors.GatedRepoError():
            return (
                f"The hub asks for a licence to be accepted: do so on {ENDPOINT}/{source}, and put "
                f"a token of that account in {_TOKEN}"
            )
        case errors.RepositoryNotFoundError() if has_token:
            return (
                f"The hub knows no {source} that the token may read: check `source` in {row}, or "
                "use a token that may read it"
            )
        case errors.RepositoryNotFoundError():
            return (
                f"The hub knows no public {source}: check `source` in {row}, and if the repository "
                f"is private, put a token that may read it in {_TOKEN}"
            )
        case _ if err.response.status_code == HTTPStatus.UNAUTHORIZED:
            return (
                f"The hub does not accept the token: make a new one on {ENDPOINT}/settings/tokens, "
                f"and put it in {_TOKEN}"
            )
        case _:
            return (
                f"The hub does not let the token read {source}: check on "
                f"{ENDPOINT}/settings/tokens what it may do"
            )
