"""Settings from one secret of AWS Secrets Manager: a JSON object whose keys are settings, below every other source.

The secret is read once, while a program loads its settings. The SDK is imported only if AWS_SECRET_NAME is set.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, EnvSettingsSource

from common.errors import Text
from common.settings_errors import SettingsError, SettingsUnavailable

if TYPE_CHECKING:
    from common.aws import AwsSettings

KEY = "AWS_SECRET_NAME"


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret's values by key, in lower case. `used`: the keys that no other source set."""

    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    used: set[str] = field(default_factory=set[str])


_secret: ContextVar[Secret | None] = ContextVar("secret", default=None)


@contextmanager
def settings_from(secret: Secret) -> Generator[None]:
    """Let `SecretSource` read this secret in the body."""
    token = _secret.set(secret)
    try:
        yield
    finally:
        _secret.reset(token)


class SecretSource(EnvSettingsSource):
    """Reads the secret as if its keys were environment variables. Must be the last of a class's sources."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        self._secret = _secret.get() or Secret()
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {key: text for key, text in self._secret.values.items() if text}

    def __call__(self) -> dict[str, Any]:
        """Return the settings that no source before this one has set, by any of their names."""
        mine = super().__call__()
        for names in names_of(self.settings_cls):
            if not self.current_state.keys().isdisjoint(names):
                for name in names:
                    mine.pop(name, None)
        self._secret.used.update(mine)
        return mine


def names_of(settings_class: type[BaseSettings]) -> list[list[str]]:
    """Return the names of each setting, in lower case: today's first."""
    return [
        [str(choice).lower() for choice in info.validation_alias.choices]
        if isinstance(info.validation_alias, AliasChoices)
        else [name]
        for name, info in settings_class.model_fields.items()
    ]


def read_secret(name: str, settings: AwsSettings, keys: Collection[str]) -> Secret:
    """Ask Secrets Manager for a secret. Keys that are not in `keys` are no settings, and may hold anything.

    Raises:
        SettingsError: it cannot be read, or is not what is expected. Names AWS_SECRET_NAME or the key, never a value.
    """
    from common import aws  # noqa: PLC0415 - importing the SDK takes 0.6 s

    try:
        text = aws.read_secret(settings, name)
    except aws.AWS_ERRORS as exc:
        raise _explained(aws.failure_of(exc)) from exc
    return Secret(_values(text, keys))


def _values(text: str | None, keys: Collection[str]) -> dict[str, str]:
    try:
        document: object = json.loads((text or "").removeprefix("\ufeff"))
    except ValueError:
        # Not chained: json's error holds the whole text.
        document = None
    if not isinstance(document, dict):
        raise SettingsError(
            Text(
                f"{KEY}: se espera que el secreto sea un objeto JSON cuyas claves son opciones",
                f"{KEY}: the secret is expected to be a JSON object whose keys are settings",
            )
        )
    values = {key.lower(): value for key, value in cast("dict[str, object]", document).items()}
    nested = sorted(key.upper() for key in keys if isinstance(values.get(key), (dict, list)))
    if nested:
        es, en = "se espera un texto, un número o true/false", "a text, a number or true/false is expected"
        lines = [(f"{key} ({KEY}): {es}", f"{key} ({KEY}): {en}") for key in nested]
        raise SettingsError(Text("\n".join(line[0] for line in lines), "\n".join(line[1] for line in lines)))
    return {key: value if isinstance(value, str) else _plain(value) for key, value in values.items()}


def _plain(value: object) -> str:
    """Return a number, true, false or null as the environment would have it."""
    return "" if value is None else json.dumps(value)


def _explained(failure: Any) -> SettingsError:  # noqa: ANN401 - aws.AwsFailure, of a module that is imported lazily
    match failure.code:
        case "ResourceNotFoundException":
            es, en = "no hay tal secreto en AWS_REGION", "there is no such secret in AWS_REGION"
        case "InvalidRequestException":
            es, en = "el secreto está marcado para borrarse", "the secret is marked for deletion"
        case "AccessDeniedException":
            es = "sin permiso para leerlo (secretsmanager:GetSecretValue; con clave propia también kms:Decrypt)"
            en = "no right to read it (secretsmanager:GetSecretValue; with a key of one's own kms:Decrypt too)"
        case _:
            es, en = f"no se pudo leer: {failure.detail}", f"could not be read: {failure.detail}"
    kind = SettingsError if failure.needs_operator or failure.code == "InvalidRequestException" else SettingsUnavailable
    return kind(Text(f"{KEY}: {es}", f"{KEY}: {en}"))
