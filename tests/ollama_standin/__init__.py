"""A stand-in for an Ollama server: it has the documented API but no model, and can be made to fail.

It answers with the colour of the first pixel of each image, as the family ``fake`` does. In the
process of a test: ``with OllamaStandin(["gemma3"], token_s=0.01) as server: server.url``. Knobs set
speed, failures and the form of answers, also while it runs: ``server.knobs.fail_next = 3``. In a
process of its own, which can be killed: :class:`OllamaProcess`, ``python -m tests.ollama_standin``.
"""

from tests.ollama_standin.knobs import Knobs, Spec
from tests.ollama_standin.process import OllamaProcess
from tests.ollama_standin.server import OllamaStandin

__all__ = ["Knobs", "OllamaProcess", "OllamaStandin", "Spec"]
