"""Uploads, and uploaded files, that are refused."""

from __future__ import annotations

from common.errors.base import Text
from common.errors.requests import RequestError


class UploadError(RequestError):
    """An upload, or the file that was uploaded, is refused."""


class FileNotAllowed(UploadError):
    """By its content the file is of no allowed kind, whatever its name says."""

    code = "file_not_allowed"
    public_message = Text(
        "Ese archivo no es de un tipo permitido: solo audio.", "That file is not of an allowed kind: audio only."
    )


class FileCorrupt(UploadError):
    """The uploaded file is damaged, cut off or without sound."""

    code = "file_corrupt"
    public_message = Text("Archivo dañado", "File corrupted")


class UploadMissing(UploadError):
    """The upload is said to be complete, and there is no file."""

    code = "upload_missing"
    public_message = Text("El archivo todavía no llegó: subilo primero.", "The file has not arrived: upload it first.")


class UploadMismatch(UploadError):
    """The file is not as announced, or was replaced after it was complete."""

    code = "upload_mismatch"
    public_message = Text(
        "El archivo que llegó no es el que se anunció.", "The file that arrived is not the one that was announced."
    )


class UploadRefused(UploadError):
    """The upload's URL is not signed by us, has expired, or was used."""

    code = "upload_refused"
    public_message = Text(
        "Ese enlace de subida no vale: venció, ya se usó o no es nuestro.",
        "That upload link is not valid: it has expired, was used, or is not ours.",
    )


class UploadTooLarge(UploadError):
    """Larger than UPLOAD_MAX_BYTES."""

    code = "upload_too_large"
    public_message = Text("Ese archivo es demasiado grande.", "That file is too large.")


class QuotaExceeded(UploadError):
    """The owner has too many open uploads, or made too many in a day."""

    code = "quota_exceeded"
    public_message = Text(
        "Subiste demasiados archivos. Esperá un rato.", "You have uploaded too many files. Wait a while."
    )


class AssetNotFound(UploadError):
    """There is no asset with that id."""

    code = "asset_not_found"
    public_message = Text("Ese archivo no existe.", "There is no such file.")
