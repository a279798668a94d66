"""What a test can turn: speed, decline, failures, and the form of answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Cure = Literal["reload", "restart", "never"]
"""What ends a decline: unloading and loading the model, a new server process, or nothing."""


class Spec(BaseModel):
    """A model that is installed."""

    size: int = 4_000_000_000
    thinks: bool = False
    family: str = "standin"
    modified_at: str = "2026-01-02T03:04:05.678901234Z"

    @property
    def capabilities(self) -> list[str]:
        return ["completion", "vision", *(["thinking"] if self.thinks else [])]


class Knobs(BaseModel):
    """Counts named ``…_next`` say how many of the next answers are hit; -1 hits all."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    token_s: float = Field(0.0, description="time of a token; 0 takes none and reports 1 µs")
    prompt_s: float = Field(0.0, description="time before the first token")
    load_s: float = 0.0
    unload_s: float = Field(0.0, description="how long /api/ps still shows an unloaded model")
    parallel: int = Field(4, description="generations at a time of each model; more wait in line")
    max_queue: int = Field(512, description="requests in line beyond which the answer is 503")

    slow_after: int | None = Field(None, description="answers of a model after which it is slow")
    slow_factor: float = 10.0
    slow_cure: Cure = "reload"
    cpu_after: int | None = Field(None, description="answers after which it runs on the CPU")
    cpu_factor: float = 10.0
    cpu_cure: Cure = "reload"
    relapse: bool = Field(
        default=False, description="count again after a cure; else it is for good"
    )
    crowded: bool = Field(
        default=False, description="a token takes as many times longer as answers are made at once"
    )
    gpu_share: float = Field(1.0, description="size_vram / size while the model is well")

    fail_next: int = 0
    fail_status: int = 500
    fail_at: Literal["headers", "stream"] = Field("headers", description="stream: after a token")
    hang_next: int = 0
    hang_at: Literal["headers", "stream"] = "headers"
    reload_fails: bool = Field(
        default=False, description="of each server process: loading a model again is an error"
    )
    cut_next: int = Field(0, description="break the connection after the first token")
    fail_all: bool = Field(
        default=False, description="every path answers fail_status, /api/tags too"
    )
    hang_all: bool = Field(default=False, description="every path hangs, as a machine that swaps")
    one_image: bool = Field(default=False, description="several images are refused, as by mllama")
    key: str = Field("", description="bearer key that is asked for")

    empty_next: int = 0
    broken_next: int = Field(0, description="answer JSON of which nothing can be used")
    answer: str | None = Field(None, description="say just this")
    echo: bool = Field(default=False, description="repeat the prompt after the colour")
    in_thinking: bool = Field(
        default=False, description="answer in `thinking`, leave `response` empty"
    )
    fenced: bool = Field(default=False, description="a sentence, and the JSON in a code fence")
    percent: bool = Field(default=False, description="shares as 0 to 100")
