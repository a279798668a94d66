"""The stand-in itself: the engine behind a server that can go down and come back."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.ollama_standin.engine import Engine
from tests.ollama_standin.http import Handler
from tests.ollama_standin.knobs import Knobs, Spec
from tests.standin_server import StandinServer


class OllamaStandin(StandinServer, Engine):
    """A mock of an Ollama server in a ``with`` block; ``knobs`` may be set at any time."""

    def __init__(
        self, models: Mapping[str, Spec] | Sequence[str] = ("standin",), port: int = 0, **knobs: Any
    ) -> None:
        """Bind the port, or a free one; requests are answered only in the ``with`` block."""
        Engine.__init__(self, models, Knobs(**knobs))
        StandinServer.__init__(self, Handler, port)

    def go_down(self) -> None:
        """Stop like a server that is killed, and forget what was loaded."""
        super().go_down()
        self.reset()

    def state(self) -> dict[str, Any]:
        """Return counts, knobs and requests, for ``GET /standin``."""
        with self.changed:
            return {
                "knobs": self.knobs.model_dump(),
                "loads": dict(self.loads),
                "unloads": dict(self.unloads),
                "answered": self.answered,
                "aborted": self.aborted,
                "restarts": self.restarts,
                "active": self.active,
                "most_active": self.most_active,
                "requests": [vars(request) for request in self.requests],
            }
