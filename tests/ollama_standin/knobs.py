"""What a test can set: speed, slowdowns, failures, and the form of answers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Until = Literal["reload", "restart", "never"]
"""What ends a slowdown: reloading the model, restarting the server, or nothing."""


class Spec(BaseModel):
    """What an installed model is like."""

    size: int = 4_000_000_000
    thinks: bool = False
    family: str = "standin"
    modified_at: str = "2026-01-02T03:04:05.678901234Z"

    @property
    def capabilities(self) -> list[str]:
        return ["completion", "vision", *(["thinking"] if self.thinks else [])]


class Knobs(BaseModel):
    """Knobs named ``…_next`` apply to that many of the next answers; -1: to all."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    token_s: float = Field(0.0, description="seconds per token; 0: none, but 1 µs is reported")
    prompt_s: float = Field(0.0, description="seconds before the first token")
    load_s: float = 0.0
    unload_s: float = Field(0.0, description="seconds that /api/ps still lists an unloaded model")
    parallel: int = Field(4, description="generations of a model at the same time; others wait")
    max_queue: int = Field(512, description="waiting requests beyond which the answer is 503")

    slow_after: int | None = Field(
        None, description="answers of a model after which it becomes slow"
    )
    slow_factor: float = 10.0
    slow_until: Until = "reload"
    cpu_after: int | None = Field(
        None, description="answers of a model after which it runs on the CPU"
    )
    cpu_factor: float = 10.0
    cpu_until: Until = "reload"
    recurs: bool = Field(
        default=False, description="a slowdown that ended comes again after as many answers"
    )
    contention: bool = Field(
        default=False, description="time of a token is multiplied by the number of generations"
    )
    gpu_share: float = Field(1.0, description="size_vram / size of a model on the GPU")

    fail_next: int = 0
    fail_status: int = 500
    fail_message: str = "llama runner process has terminated: exit status 2"
    fail_at: Literal["headers", "stream"] = Field(
        "headers", description="stream: after the first token"
    )
    hang_next: int = 0
    hang_at: Literal["headers", "stream"] = "headers"
    reload_fails: bool = Field(
        default=False, description="reloading a model is an error until the server restarts"
    )
    cut_next: int = Field(0, description="the connection is reset after the first token")
    fail_all: bool = Field(
        default=False, description="every route answers fail_status, also /api/tags"
    )
    hang_all: bool = Field(
        default=False, description="every route hangs, as on a machine that swaps"
    )
    missing_next: int = Field(0, description="404, although the model is listed")
    case_sensitive: bool = Field(
        default=False, description="a name in another case is unknown, as to some other servers"
    )
    min_side_px: int = Field(0, description="smaller images are an error, as with Qwen2.5-VL")
    one_image: bool = Field(
        default=False, description="several images are an error, as with mllama"
    )
    lists: Any = Field(None, description="what /api/tags and /api/ps have as `models`")
    key: str = Field("", description="bearer key that is required")

    empty_next: int = 0
    broken_next: int = Field(0, description="the answer is broken JSON")
    malformed_next: int = Field(0, description="`malformed` follows the first token as a line")
    malformed: str = "<html>502 Bad Gateway</html>"
    odd_next: int = Field(0, description="the text of the answer is `odd`")
    odd: str = "I'm sorry, but I can't help with that."
    answer: str | None = Field(None, description="the text of all answers")
    echo: bool = Field(default=False, description="the prompt follows the colour")
    in_thinking: bool = Field(
        default=False, description="the answer is in `thinking`, and `response` is empty"
    )
    fenced: bool = Field(
        default=False, description="the JSON is in a code fence, with a sentence before it"
    )
    percent: bool = Field(default=False, description="numbers are 0 to 100 instead of 0 to 1")
