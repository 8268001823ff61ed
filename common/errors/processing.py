"""Failures of the child process that reads the media."""

from __future__ import annotations

from common.errors.base import AppError, Text


class ProcessingError(AppError):
    """The child process that read the media failed."""


class ProcessingCrashed(ProcessingError):
    """The child process died."""

    code = "processing_crashed"
    retryable = True
    public_message = Text("Falló el procesamiento del audio.", "Processing the audio failed.")


class ProcessingTimeout(ProcessingError):
    """The child process was killed at its deadline."""

    code = "processing_timeout"
    retryable = True
    public_message = Text(
        "El procesamiento tardó demasiado y se canceló.", "Processing took too long and was cancelled."
    )


class ProcessingLimitExceeded(ProcessingError):
    """The child process reached its CPU, memory or file-size limit; a retry would reach it again."""

    code = "processing_limit"
    public_message = Text(
        "Ese archivo necesita más recursos de los permitidos.",
        "That file needs more resources than are allowed.",
    )
