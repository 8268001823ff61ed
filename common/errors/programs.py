"""Failures of our own programs: one that does not answer, one that is set up wrongly."""

from __future__ import annotations

from common.errors.base import AppError, Text


class AudioServiceUnavailable(AppError):
    """The audio service's HTTP API is unreachable, too slow, or answers 5xx or an unexpected body."""

    code = "audio_service_unavailable"
    retryable = True
    public_message = Text(
        "El servicio de audio no responde. Probá de nuevo en un rato.",
        "The audio service does not answer. Try again in a while.",
    )


class Misconfigured(AppError):
    """A setting asks for something that this program does not have; the detail names the setting."""

    code = "misconfigured"
    needs_operator = True
