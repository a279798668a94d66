"""How a request to a server fails, and whether that is the server's fault or the request's."""

import re

from shared.text import well_formed

_REQUEST_STATUSES = frozenset({400, 405, 413, 414, 415, 422, 431})
_ABOUT_REQUEST = re.compile(
    # Of Qwen's models: https://github.com/ollama/ollama/issues/11297 and 13113.
    r"larger than factor|aspect ratio|\b(?:under|below|least) \d+ ?(?:px|pixels)"
    r"|image:? (?:unknown format|(?:is )?too (?:small|large|big)|(?:has )?(?:an )?invalid)"
    r"|(?:unknown|invalid|unsupported|illegal|corrupt\w*|broken|bad|empty) (?:image|picture|base64)"
    r"|(?:load|decode|read|parse|process|open) (?:the |an )?(?:webp )?(?:image|picture)"
    r"|image (?:size|dimension|data|input|format)s?|(?:one|multiple|several|more than \w+) images?"
    r"|does not support|exceeds? the (?:available )?context|(?:prompt|input) (?:is )?too long"
    r"|invalid format",
    re.IGNORECASE,
)
_ABOUT_SERVER = re.compile(
    r"cuda|rocm|hip\b|vulkan|metal\b|ggml|memory|runner|resource|exit status|crash|terminated"
    r"|timed? ?out|connection|\beof\b|busy",
    re.IGNORECASE,
)


class ServerError(Exception):
    """The server answered with an error, or with something unexpected."""

    def __init__(self, message: str, status: int | None = None) -> None:
        message = well_formed(message)  # it is published, in UTF-8
        super().__init__(message)
        self.message, self.status = message, status

    @property
    def is_about_request(self) -> bool:
        """Whether every server would answer so to this request.

        Ollama gives most errors of its models the status 500, so the words of the message decide.
        """
        if self.status in _REQUEST_STATUSES:
            return True
        if "larger than factor" in self.message:  # the runner's panic, with "runner" around it
            return True
        about_server = _ABOUT_SERVER.search(self.message)
        return not about_server and bool(_ABOUT_REQUEST.search(self.message))


class ServerDown(ServerError):
    """The server cannot be reached, or closed the connection."""


class ServerStalled(ServerError):
    """The server was silent for too long."""


class MalformedReply(ServerError):
    """The server's reply is not what Ollama's API promises."""
