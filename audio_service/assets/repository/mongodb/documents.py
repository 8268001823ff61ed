"""An asset as a document, and back.

`_id` is the asset's id; `tail`, which is made of it, orders the assets of one millisecond. `lease_until` is null when
no lease runs. `open_since` is there until the asset is complete, `active_at` from then to its end. Text from people is
a value, never a key; in an update pipeline it stands under `$literal`, where it is not read as an expression.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from bson import Int64

from audio_service.assets.model import Asset, AssetState, Made, Output, Upload
from audio_service.media.repository.decision import milliseconds
from common.databases.mongodb import Document


def document_of(asset: Asset) -> Document:
    """Return the document of an asset that was prepared."""
    return {
        "_id": asset.asset_id,
        "tail": tail_of(asset.asset_id),
        "kind": asset.kind,
        "state": asset.state.value,
        "owner_id": asset.owner_id,
        "chat_id": asset.chat_id,
        "upload": asdict(asset.upload),
        "created_at": asset.created_at,
        "updated_at": asset.updated_at,
        "open_since": asset.created_at,
        "completed_at": None,
        "etag": asset.etag,
        "made": made_document(asset.made),
        "error_code": asset.error_code,
        "message": asset.message,
        "attempts": asset.attempts,
        "fence": Int64(0),
        "lease_until": None,
    }


def asset_of(document: Document) -> Asset:
    """Build an asset."""
    made: Document = document["made"]
    outputs: list[dict[str, Any]] = made["outputs"]
    return Asset(
        asset_id=document["_id"],
        kind=document["kind"],
        state=AssetState(document["state"]),
        owner_id=document["owner_id"],
        chat_id=document["chat_id"],
        upload=Upload(**document["upload"]),
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        completed_at=document["completed_at"],
        etag=document["etag"],
        made=Made(tuple(Output(**output) for output in outputs), tuple(made["waveform"]), made["duration_ms"]),
        error_code=document["error_code"],
        message=document["message"],
        attempts=document["attempts"],
    )


def made_document(made: Made) -> Document:
    """Return what was made as a document."""
    return asdict(made) | {"outputs": [asdict(output) for output in made.outputs], "waveform": list(made.waveform)}


def tail_of(asset_id: str) -> Int64:
    """Return the first 63 bits of an id."""
    return Int64(uuid.UUID(asset_id).int >> 65)


def literal(value: object) -> Document:
    """Put a value into an update pipeline as it is."""
    return {"$literal": value}


def after(span: timedelta) -> Document:
    """Return the server's time at the end of a span that begins now."""
    return {"$add": ["$$NOW", milliseconds(span)]}


def passed(field: str, span: timedelta) -> Document:
    """Return the condition that a field's time was so long ago; false where the field is not there."""
    return {"$and": [{"$gt": [field, None]}, {"$lte": [field, {"$subtract": ["$$NOW", milliseconds(span)]}]}]}
