"""A stand-in for an Ollama server on loopback: no model, the documented API, and many knobs.

It answers from the colour of the first pixel of each image, as the family ``fake`` does. In
process: ``with OllamaStandin(models=["gemma3"], token_s=0.01) as host: host.url``; knobs can be
turned while it runs (``host.knobs.fail_next = 3``). In a process of its own, to be killed:
:class:`OllamaProcess`, or ``python -m tests.ollama_standin``.
"""

from tests.ollama_standin.knobs import Knobs, Spec
from tests.ollama_standin.process import OllamaProcess
from tests.ollama_standin.server import OllamaStandin

__all__ = ["Knobs", "OllamaProcess", "OllamaStandin", "Spec"]
