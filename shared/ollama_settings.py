"""The settings for Ollama."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.setting_rules import Key, OllamaServers, Webhook


class OllamaSettings(BaseSettings):
    """Settings for Ollama, under the names that existing configurations have."""

    model_config = SettingsConfigDict(
        env_prefix="OLLAMA_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    enabled: bool = Field(
        default=False,
        description="pass requests for models that are not in the catalogue on to Ollama",
    )
    host: OllamaServers = Field(
        (),
        description="Ollama servers; if not set, those of the row `ollama` in models.yaml, or else "
        "`http://localhost:11434`",
    )
    api_key: Key = Field(
        "", description="bearer token for Ollama servers that have no `key` in the row `ollama`"
    )
    caption_prompt: str = Field("", description="prompt for captions, instead of the built-in one")
    labels_prompt: str = Field("", description="prompt for labels, instead of the built-in one")
    nsfw_prompt: str = Field("", description="prompt for NSFW scores, instead of the built-in one")
    restart_command: str = Field(
        "",
        description="shell command that restarts a server that stays slow; `OLLAMA_SERVER` holds "
        "the server's address, `OLLAMA_MODEL` the model",
    )
    restart_url: Webhook = Field(
        "",
        description="URL that gets a POST with `server` and `model` in order to restart a server "
        "that stays slow",
    )
