"""The transcriber's settings, all with working defaults; never read at import."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import SettingsError
from .manners.wording import DEFAULT_NOTICE, MAX_NOTICE_CHARACTERS

NONE = "none"
_DEEPGRAM = "deepgram/nova-3"
_EMBEDDED = "faster-whisper/tiny.en"


class SendAudio(StrEnum):
    """Which of a participant's audio goes to the STT."""

    SPEECH = "speech"
    """What is said, from just before to just after it."""
    ALWAYS = "always"
    """All of it, through one stream for as long as they are there."""


class RecordedAs(StrEnum):
    """What is recorded."""

    ROOM = "room"
    """Everybody mixed, in one file: encoded by Egress, and billed as transcoding."""
    TRACKS = "tracks"
    """Each person's microphone as it is, in a file of its own."""


class ModelChoice(NamedTuple):
    """A `provider/model` setting in its two parts; a model may have slashes of its own."""

    provider: str
    model: str


class AgentSettings(BaseSettings):
    """Where LiveKit is, which models are used, and what the worker is called.

    LiveKit's and the providers' own variables keep their names; ours begin with `TALLYROOM_`.
    """

    model_config = SettingsConfigDict(
        env_prefix="TALLYROOM_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    livekit_url: str = Field(default="", validation_alias="LIVEKIT_URL")
    livekit_api_key: str = Field(default="", validation_alias="LIVEKIT_API_KEY")
    livekit_api_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="LIVEKIT_API_SECRET"
    )
    deepgram_api_key: SecretStr = Field(default=SecretStr(""), validation_alias="DEEPGRAM_API_KEY")
    deepgram_base_url: str = Field(
        default="https://api.deepgram.com/v1/listen", validation_alias="DEEPGRAM_BASE_URL"
    )
    openai_api_key: SecretStr = Field(default=SecretStr(""), validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field(default="", validation_alias="OPENAI_BASE_URL")
    assemblyai_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias="ASSEMBLYAI_API_KEY"
    )
    assemblyai_base_url: str = Field(
        default="wss://streaming.assemblyai.com", validation_alias="ASSEMBLYAI_BASE_URL"
    )
    agent_name: str = Field(default="transcriber", min_length=1)
    stt: str = ""
    stt_fallbacks: Annotated[tuple[str, ...], NoDecode] = ()
    stt_limits: str = ""
    send_audio: SendAudio = SendAudio.SPEECH
    notice: str = Field(default=DEFAULT_NOTICE, max_length=MAX_NOTICE_CHARACTERS)
    recording_path: str = ""
    recording_s3_bucket: str = ""
    recording_s3_region: str = ""
    recording_s3_endpoint: str = ""
    recording_s3_access_key: SecretStr = SecretStr("")
    recording_s3_secret: SecretStr = SecretStr("")
    moderation: str = ""
    llm: str = NONE
    tts: str = NONE
    tts_voice: str = ""
    answers: bool = True
    mcp_servers: Path | None = None
    answers_max_cost: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)
    notes: str = "minutes"
    notes_templates: Path | None = None
    notes_max_cost: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)
    data_dir: Path = Path("data")
    tenants: Annotated[tuple[str, ...], NoDecode] = ()
    idle_processes: int | None = Field(default=None, ge=0)
    load_threshold: float | None = Field(default=None, gt=0)
    health_port: int | None = Field(default=None, ge=0, le=65535)
    prometheus_port: int | None = Field(default=None, ge=0, le=65535)

    @field_validator("tenants", "stt_fallbacks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("deepgram_base_url")
    @classmethod
    def _complete_deepgram_url(cls, value: str) -> str:
        """A bare host is as good as the plugin's full `.../v1/listen`."""
        url = value if "://" in value else f"https://{value}"
        url = url.rstrip("/")
        return url if url.endswith("/v1/listen") else f"{url.removesuffix('/v1')}/v1/listen"

    @field_validator("assemblyai_base_url")
    @classmethod
    def _shorten_assemblyai_url(cls, value: str) -> str:
        """A bare host, or all of `.../v3/ws`, is as good as the plugin's base."""
        url = value if "://" in value else f"wss://{value}"
        return url.rstrip("/").removesuffix("/v3/ws")

    @classmethod
    def load(cls) -> Self:
        """From the environment.

        Raises:
            SettingsError: a value that cannot be used; the message names it.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            variable = name if name.isupper() else f"TALLYROOM_{name.upper()}"
            raise SettingsError(f"{variable} cannot be used: {first['msg']}") from None

    @property
    def stt_choice(self) -> ModelChoice:
        """As set, else Deepgram where there is a key for it, else the embedded model."""
        default = _DEEPGRAM if self.deepgram_api_key.get_secret_value() else _EMBEDDED
        return parse_choice("TALLYROOM_STT", self.stt or default)

    @property
    def stt_choices(self) -> tuple[ModelChoice, ...]:
        """The STT that is wanted, then those that stand in for it while it is away.

        Raises:
            SettingsError: one has not two parts.
        """
        fallbacks = (parse_choice("TALLYROOM_STT_FALLBACKS", value) for value in self.stt_fallbacks)
        return tuple(dict.fromkeys((self.stt_choice, *fallbacks)))

    @property
    def llm_choice(self) -> ModelChoice | None:
        """As set; None where there is to be no LLM.

        Raises:
            SettingsError: it has not two parts.
        """
        return None if self.llm == NONE else parse_choice("TALLYROOM_LLM", self.llm)

    @property
    def tts_choice(self) -> ModelChoice | None:
        """As set; None where nothing is to be said aloud.

        Raises:
            SettingsError: it has not two parts.
        """
        return None if self.tts == NONE else parse_choice("TALLYROOM_TTS", self.tts)

    @property
    def transcripts_path(self) -> Path:
        """Where transcripts are written, absolute; a folder for each job."""
        return self.data_dir.expanduser().absolute() / "transcripts"


def parse_choice(variable: str, value: str) -> ModelChoice:
    """Split `provider/model`.

    Raises:
        SettingsError: it has not two parts.
    """
    provider, slash, model = value.partition("/")
    if not (provider and slash and model):
        raise SettingsError(f"{variable}={value!r} is not provider/model, such as {_DEEPGRAM!r}")
    return ModelChoice(provider.lower(), model)
