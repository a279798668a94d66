"""A stand-in for the Hugging Face hub on loopback: serves folders with the hub's API.

``huggingface_hub`` downloads from it when ``HF_ENDPOINT`` is its ``url``. As the real one, it has
files in git-lfs on a server of their own, to which it redirects with signed addresses; it answers
requests for a part of a file, and it says why it keeps a repository from the owner of a token.
"""

from tests.hub_standin.contents import SHA, blob_id, sha256
from tests.hub_standin.server import HubStandIn

__all__ = ["SHA", "HubStandIn", "blob_id", "sha256"]
