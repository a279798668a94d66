"""LitServe with batches."""

import os
from typing import Any

import litserve

from benchmarks.peers.served import BATCH, PORT, Served


class Api(litserve.LitAPI):  # type: ignore[misc]  # it is not installed here
    """LitServe's interface of a model."""

    def setup(self, device: str) -> None:
        """Load the model."""
        del device
        self.served = Served()

    def decode_request(self, request: dict[str, Any]) -> str:
        """Return the image of a request."""
        return str(request["images"][0])

    def batch(self, inputs: list[str]) -> list[str]:
        """Return a batch of images."""
        return inputs

    def predict(self, x: list[str]) -> list[dict[str, Any]]:
        """Answer a batch."""
        return self.served.answer(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers of a batch."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a reply."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ[PORT]), generate_client_file=False)
