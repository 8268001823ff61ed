"""What version 0.1 wrote for `test_store.fill`, byte by byte: databases of that version stay readable.

In SQLite a document is this text; in MongoDB it is a field. Never edit a literal: a changed format gets further ones.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot_service.settings import BotSettings
from tests.contract.store_raw import raw_items
from tests.servers.mongo import Mongo

PLAYER = (
    '{"guild_id":1234567890123456789,"phase":"playing","current":{"entry_id":"entry-1",'
    '"requester_id":1234567890123456790,"song":"song 1","asked_at":"2024-05-01T12:30:00.123456Z",'
    '"track":{"video_id":"video-1","title":"Canción № 1 🎵","duration_ms":225000,"url":"https://example.org/1",'
    '"thumbnail_url":"","platform":"YouTube","file_path":"audio/video-1.dca","unfinished":false}},'
    '"next_frame":42,"entries":[{"entry_id":"entry-2","requester_id":1234567890123456791,"song":"song 2",'
    '"asked_at":"2024-05-01T12:30:00.123456Z","track":{"video_id":"video-2","title":"Canción № 2 🎵",'
    '"duration_ms":225000,"url":"https://example.org/2","thumbnail_url":"","platform":"YouTube",'
    '"file_path":"audio/video-2.dca","unfinished":false}},{"entry_id":"entry-3",'
    '"requester_id":1234567890123456792,"song":"song 3","asked_at":"2024-05-01T12:30:00.123456Z","track":null}],'
    '"history":[{"entry_id":"entry-4","requester_id":1234567890123456793,"song":"song 4",'
    '"asked_at":"2024-05-01T12:30:00.123456Z","track":{"video_id":"video-4","title":"Canción № 4 🎵",'
    '"duration_ms":225000,"url":"https://example.org/4","thumbnail_url":"","platform":"YouTube",'
    '"file_path":"audio/video-4.dca","unfinished":false}}],"loop":"queue","voice_channel_id":1234567890123456790,'
    '"text_channel_id":1234567890123456791,"message_id":1234567890123456792,'
    '"saved_at":"2024-05-01T12:30:00.123456Z"}'
)
SETTINGS = (
    '{"locale":null,"dj_role_id":null,"vote_skip":false,"max_per_user":0,"fair_queue":false,"stay":true,'
    '"resume_after_restart":true,"announce":true}'
)
TRACK = (
    '{"video_id":"video-1","title":"Canción № 1 🎵","duration_ms":225000,"url":"https://example.org/1",'
    '"thumbnail_url":"","platform":"YouTube","file_path":"audio/video-1.dca","unfinished":false}'
)
REQUEST = (
    '{"request_id":"request-1","guild_id":1234567890123456789,"text_channel_id":1234567890123456790,'
    '"voice_channel_id":null,"user_id":1234567890123456791,"song":"song 1","locale":"es",'
    '"interaction_token":"the interaction token","application_id":1234567890123456792,"message_id":null,'
    '"asked_at":"2024-05-01T12:30:01.123456Z","playlist_id":null}'
)
PLAYED = (
    '{"track":{"video_id":"video-1","title":"Canción № 1 🎵","duration_ms":225000,"url":"https://example.org/1",'
    '"thumbnail_url":"","platform":"YouTube","file_path":"audio/video-1.dca","unfinished":false},'
    '"user_id":1234567890123456789,"at":"2024-05-01T12:30:00.123456Z"}'
)

_GUILD = _USER = 1_234_567_890_123_456_789
_SAVED_AT = "2024-05-01T12:30:00.123456+00:00"

SQLITE: Mapping[str, tuple[Any, ...]] = {
    "INSERT INTO players VALUES (?, ?, ?, ?)": (_GUILD, PLAYER, 42, _SAVED_AT),
    "INSERT INTO settings VALUES (?, ?)": (_GUILD, SETTINGS),
    "INSERT INTO favourites VALUES (?, ?, ?, ?)": (1, _USER, "video-1", TRACK),
    "INSERT INTO requests VALUES (?, ?, ?)": ("request-1", 1_714_566_601_123, REQUEST),
    "INSERT INTO history VALUES (?, ?, ?)": (1, _GUILD, PLAYED),
}

MONGODB: Mapping[str, Mapping[str, Any]] = {
    "bot_players": {
        "_id": _GUILD,
        "player": json.loads(PLAYER),
        "next_frame": 42,
        "saved_at": _SAVED_AT,
        "revision": 1_714_566_600_123_456,
    },
    "bot_settings": {"_id": _GUILD, "settings": json.loads(SETTINGS)},
    "bot_favourites": {"_id": _USER, "tracks": [json.loads(TRACK)]},
    "bot_requests": {
        "_id": "request-1",
        "asked_at": datetime(2024, 5, 1, 12, 30, 1, 123_000, tzinfo=UTC),
        "request": json.loads(REQUEST),
    },
    "bot_history": {"_id": _GUILD, "played": [json.loads(PLAYED)]},
}

DYNAMODB: tuple[Mapping[str, Mapping[str, Any]], ...] = (
    {
        "PK": {"S": "PLAYERS#7"},
        "SK": {"S": f"GUILD#{_GUILD}"},
        "guild_id": {"N": str(_GUILD)},
        "writer": {"S": "0123456789abcdef0123456789abcdef"},
        "revision": {"N": "1714566600123456"},
        "document": {"B": zlib.compress(PLAYER.encode())},
    },
    {
        "PK": {"S": "PLAYERS#7"},
        "SK": {"S": f"GUILD#{_GUILD}#POSITION"},
        "guild_id": {"N": str(_GUILD)},
        "next_frame": {"N": "7"},
        "saved_at": {"S": _SAVED_AT},
        "revision": {"N": "1714566600123455"},
    },
    {"PK": {"S": f"GUILD#{_GUILD}"}, "SK": {"S": "SETTINGS"}, "document": {"S": SETTINGS}},
    {"PK": {"S": f"USER#{_USER}"}, "SK": {"S": "FAVOURITES"}, "number": {"N": "1"}},
    {
        "PK": {"S": f"USER#{_USER}"},
        "SK": {"S": "FAVOURITE#video-1"},
        "position": {"N": "1714566600123456"},
        "document": {"S": TRACK},
    },
    {
        "PK": {"S": "REQUESTS"},
        "SK": {"S": "REQUEST#request-1"},
        "request_id": {"S": "request-1"},
        "asked_at": {"N": "1714566601123"},
        "document": {"S": REQUEST},
    },
    {"PK": {"S": f"GUILD#{_GUILD}"}, "SK": {"S": "HISTORY"}, "last": {"N": "1"}},
    {"PK": {"S": f"GUILD#{_GUILD}"}, "SK": {"S": "HISTORY#000000000000001"}, "document": {"S": PLAYED}},
)


def insert_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement, row in SQLITE.items():
            db.execute(statement, row)


async def insert_mongodb(mongo: Mongo, database: str) -> None:
    async with mongo.admin() as admin:
        for collection, document in MONGODB.items():
            await admin[database][collection].insert_one(dict(document))


async def insert_dynamodb(settings: BotSettings) -> None:
    async with raw_items(settings) as (client, _):
        for item in DYNAMODB:
            await client.put_item(TableName=settings.dynamodb_table_bot, Item=item)
