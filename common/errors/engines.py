"""Failures of the blob store, the database and the message broker."""

from __future__ import annotations

from common.errors.base import AppError, Text


class StorageError(AppError):
    """The blob store or its disk failed."""


class StorageFull(StorageError):
    """The disk or quota is full."""

    code = "storage_full"
    retryable = True
    public_message = Text(
        "El disco está lleno: no queda espacio para guardar el tema.",
        "The disk is full: there is no room left to store the track.",
    )


class StorageUnavailable(StorageError):
    """Unreachable, or it answers with an error."""

    code = "storage_unavailable"
    retryable = True
    public_message = Text("El almacenamiento no responde.", "The storage does not answer.")


class BlobNotFound(StorageError):
    """No blob is stored under that key."""

    code = "blob_not_found"
    public_message = Text("El archivo ya no está guardado.", "The file is no longer stored.")


class RepositoryError(AppError):
    """The database failed."""


class DatabaseUnavailable(RepositoryError):
    """Unreachable, locked for too long, or it answers with an error."""

    code = "db_connection_failed"
    retryable = True
    public_message = Text("La base de datos no responde.", "The database does not answer.")


class DuplicateRecord(RepositoryError):
    """A record with that id exists already."""

    code = "duplicate_record"
    public_message = Text("Ese tema ya está en la biblioteca.", "That track is already in the library.")


class LeaseLost(RepositoryError):
    """Another worker holds a newer fencing token: the result of this one must not be recorded."""

    code = "lease_lost"
    retryable = True
    public_message = Text("Otro proceso tomó el pedido.", "Another process took the request over.")


class BrokerError(AppError):
    """The message broker failed or refused."""


class BrokerUnavailable(BrokerError):
    """Unreachable, locked for too long, or it answers with an error."""

    code = "broker_unavailable"
    retryable = True
    public_message = Text(
        "La cola de pedidos no responde. Probá de nuevo.", "The request queue does not answer. Try again."
    )


class QueueUnavailable(BrokerError):
    """A completed upload could not be queued; completing it again queues it."""

    code = "queue_unavailable"
    retryable = True
    public_message = Text(
        "La cola no responde: el archivo está guardado. Probá de nuevo.",
        "The queue does not answer: the file is stored. Try again.",
    )


class QueueFull(BrokerError):
    """The topic's unread backlog is at its limit."""

    code = "queue_full"
    retryable = True
    public_message = Text(
        "Hay demasiados pedidos en espera. Probá en un rato.",
        "Too many requests are waiting. Try again in a while.",
    )


class MessageTooLarge(BrokerError):
    """Larger than the broker's limit for one message."""

    code = "message_too_large"
    public_message = Text("El pedido es demasiado largo.", "The request is too long.")
