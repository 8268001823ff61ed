"""What is wrong with the settings, in both languages: one line a key, which never quotes a value (it may be a secret).

Validators of ours raise `Expected`. What pydantic finds by itself is translated by its type; English stays pydantic's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic_core import ErrorDetails

from common.errors import Text

_SPANISH: Mapping[str, str] = {
    "missing": "falta",
    "int_parsing": "se espera un número entero",
    "int_type": "se espera un número entero",
    "int_from_float": "se espera un número entero",
    "int_parsing_size": "el número es demasiado grande",
    "float_parsing": "se espera un número",
    "float_type": "se espera un número",
    "finite_number": "se espera un número finito",
    "bool_parsing": "se espera true o false",
    "bool_type": "se espera true o false",
    "literal_error": "se espera {expected}",
    "enum": "se espera {expected}",
    "greater_than": "se espera un número mayor que {gt}",
    "greater_than_equal": "se espera un número mayor o igual a {ge}",
    "less_than": "se espera un número menor que {lt}",
    "less_than_equal": "se espera un número menor o igual a {le}",
    "string_pattern_mismatch": "se espera un texto de la forma {pattern}",
    "string_too_short": "se esperan al menos {min_length} caracteres",
    "string_too_long": "se esperan {max_length} caracteres como máximo",
    "string_type": "se espera un texto",
    "path_type": "se espera una ruta",
}


EX_CONFIG = 78
"""The exit code of a program that only an operator can help (sysexits.h)."""
EX_TEMPFAIL = 75
"""The exit code of a program that may work when it is started again (sysexits.h)."""


class SettingsError(Exception):
    """The environment does not hold what the program needs. `text` is one line a key, for the operator."""

    exit_code: ClassVar[int] = EX_CONFIG

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class SettingsUnavailable(SettingsError):
    """A source of settings does not answer now."""

    exit_code = EX_TEMPFAIL


class Expected(ValueError):
    """What a validator wants instead of the value."""

    def __init__(self, es: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(es, en)


def explain(errors: Iterable[ErrorDetails], keys: Mapping[str, str]) -> Text:
    """Return one line for each error. `keys` are the names, in lower case, of settings that have a former key."""
    lines = [_explain(error, keys) for error in errors]
    return Text("\n".join(line.es for line in lines), "\n".join(line.en for line in lines))


def _explain(error: ErrorDetails, keys: Mapping[str, str]) -> Text:
    location = error["loc"]
    name = str(location[0]) if location else "settings"
    key = keys.get(name, name.upper() if location else name)
    what = _expectation(error)
    return Text(f"{key}: {what.es}", f"{key}: {what.en}")


def _expectation(error: ErrorDetails) -> Text:
    context: dict[str, Any] = error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Expected):
        return cause.text
    english = error["msg"].removeprefix("Value error, ")
    if (spanish := _SPANISH.get(error["type"])) is None:
        return Text(english, english)
    values = {name: _in_spanish(value) for name, value in context.items()}
    return Text(spanish.format(**values), english)


def _in_spanish(value: object) -> object:
    """Join a list of choices in Spanish: pydantic writes 'a' or 'b'."""
    return value.replace(" or ", " o ") if isinstance(value, str) else value
