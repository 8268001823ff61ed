"""The root of the error tree, and the sentences that users read."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

Locale = Literal["es", "en"]


class Text(NamedTuple):
    """One sentence for users, in Argentine Spanish and in English."""

    es: str
    en: str

    def to(self, locale: Locale) -> str:
        """Return the sentence in one language."""
        return self.es if locale == "es" else self.en


class AppError(Exception):
    """Root of the tree. Subclasses set the class attributes; instances carry a detail for the log.

    `needs_operator`: neither waiting nor a restart helps; a program that meets it at its start exits with EX_CONFIG.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    needs_operator: ClassVar[bool] = False
    public_message: ClassVar[Text] = Text(
        "Algo falló de nuestro lado. Probá de nuevo en un rato.",
        "Something failed on our side. Try again in a while.",
    )

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail or self.code

    def message(self, locale: Locale = "es") -> str:
        """Return the sentence for users in the given locale."""
        return self.public_message.to(locale)


class InternalError(AppError):
    """An unexpected failure: a defect."""

    retryable = True
