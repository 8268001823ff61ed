"""The bot's settings. One field is one environment key; `.env.example` documents each of them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from common.settings import DatabaseBackend, SharedSettings
from common.settings_errors import Expected

_MAX_NAME = 32
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]*")  # RFC 6750 §2.1


class BotSettings(SharedSettings):
    """The bot's settings. Only DISCORD_TOKEN has no default."""

    discord_token: Annotated[SecretStr, Field(validate_default=True)] = SecretStr("")
    command_prefix: str = "music"
    discord_guilds: str = ""
    discord_presence: str = "con {bot} /{prefix}"
    discord_proxy: str = ""

    audio_processor_url: str = "http://localhost:8080"
    audio_processor_api_key: SecretStr = SecretStr("")
    bot_http_host: str = "127.0.0.1"
    bot_http_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    bot_database_backend: DatabaseBackend | None = None
    bot_sqlite_path: Path = Path("data/bot.db")
    dynamodb_table_bot: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] = "butakero-bot"

    request_timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    playlist_limit: Annotated[int, Field(ge=1, le=500)] = 50
    queue_limit: Annotated[int, Field(ge=1, le=10_000)] = 500
    idle_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    alone_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    resume_after_restart: bool = True
    voice_reconnect_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    player_update_seconds: Annotated[float, Field(ge=1, le=600)] = 5.0

    @property
    def disk(self) -> Path:
        """A directory of the disk that may fill: with the songs, else with the bot's own database."""
        return self.local_storage_path if self.storage_backend == "local" else self.bot_sqlite_path.parent

    @property
    def store_backend(self) -> DatabaseBackend:
        """The database of the bot: BOT_DATABASE_BACKEND, else DATABASE_BACKEND."""
        return self.bot_database_backend or self.database_backend

    @field_validator("discord_token")
    @classmethod
    def _check_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value().strip()
        if not text or any(character.isspace() for character in text):
            raise Expected(
                "se espera el token del bot (discord.com/developers/applications, página Bot)",
                "the bot's token is expected (discord.com/developers/applications, page Bot)",
            )
        return SecretStr(text)

    @field_validator("audio_processor_api_key")
    @classmethod
    def _check_api_key(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().strip()
        if not _BEARER.fullmatch(text):
            raise Expected(
                "se espera una clave que haya impreso `butakero keys create`",
                "a key that `butakero keys create` has printed is expected",
            )
        return SecretStr(text)

    @field_validator("command_prefix")
    @classmethod
    def _check_prefix(cls, text: str) -> str:
        r"""Return the command's name: without one leading `!` or `/`, checked by Discord's rule for command names.

        Rule: https://discord.com/developers/docs/interactions/application-commands#application-command-object, less
        the apostrophe, which discord.py rejects.
        """
        name = text.strip()
        name = name[1:] if name[:1] in {"!", "/"} else name
        if not 1 <= len(name) <= _MAX_NAME or not all(_may_stand_in_name(character) for character in name):
            raise Expected(
                "se espera el nombre de un comando: 1 a 32 letras, dígitos, - o _, sin espacios (una ! o / inicial se "
                "descarta)",
                "the name of a slash command is expected: 1 to 32 letters, digits, - or _, no spaces (a leading ! or / "
                "is dropped)",
            )
        if name != name.lower():
            raise Expected("el nombre de un comando va en minúsculas", "the name of a slash command is lower case")
        return name

    @field_validator("discord_guilds")
    @classmethod
    def _check_guilds(cls, text: str) -> str:
        if not all(part.strip().isdecimal() for part in text.split(",") if part.strip()):
            raise Expected(
                "se esperan ids de servidores (dígitos), varios separados por comas",
                "ids of servers (digits) are expected, several separated by commas",
            )
        return text

    @field_validator("discord_proxy", "audio_processor_url")
    @classmethod
    def _check_url(cls, text: str) -> str:
        if text and not text.startswith(("http://", "https://")):
            raise Expected("se espera una URL http o https", "an http or https URL is expected")
        return text.rstrip("/")

    @property
    def guild_ids(self) -> list[int]:
        """The guild ids of DISCORD_GUILDS."""
        return [int(part) for part in self.discord_guilds.split(",") if part.strip()]


def _may_stand_in_name(character: str) -> bool:
    return character in "-_" or unicodedata.category(character)[0] in "LN"
