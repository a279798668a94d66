"""Request and reply bodies in Ollama's form."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import MAX_NAME, ImageText
from shared.options import Options


class ShowRequest(BaseModel):
    """A request for the details of a model, in Ollama's form."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=MAX_NAME)


class OllamaRequest(ShowRequest):
    """A request in Ollama's form; fields that are not listed are passed on to Ollama unchanged."""

    format: Literal["", "json"] | dict[str, Any] | None = Field(
        None, description="`json` or a JSON schema"
    )
    stream: bool | None = True
    think: bool | str | None = Field(
        None, description="true, false, or for our own models `low`, `medium`, `high` or `max`"
    )
    options: Options | None = None


class GenerateRequest(OllamaRequest):
    """A request for an answer to a prompt."""

    prompt: str | None = ""
    images: tuple[ImageText, ...] | None = Field((), description="images in base64")


class ChatMessage(BaseModel):
    """A message of a chat."""

    model_config = ConfigDict(extra="allow")

    content: str | None = ""
    images: tuple[ImageText, ...] | None = Field((), description="images in base64")


class ChatRequest(OllamaRequest):
    """A request for the next message of a chat."""

    messages: tuple[ChatMessage, ...] | None = ()


class OllamaReply(BaseModel):
    """A reply in Ollama's form; streamed as one JSON object per line unless `stream` is false."""

    model_config = ConfigDict(extra="allow")
