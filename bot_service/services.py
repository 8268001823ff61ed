"""The services that `bootstrap` opens, passed to the rest of the bot."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from bot_service.audio_api import AudioApi
from bot_service.metrics import BotMetrics
from bot_service.player.voice.frames import FrameStore
from bot_service.requests.pending import Pending
from bot_service.requests.songs import Songs
from bot_service.settings import BotSettings
from bot_service.store.base import GuildStore
from common.blobs.base import BlobStore
from common.broker.base import Broker


@dataclass(frozen=True, slots=True)
class Services:
    """One of each per process. The Discord client and the players are built on them."""

    settings: BotSettings
    broker: Broker
    store: GuildStore
    blobs: BlobStore
    api: AudioApi
    frames: FrameStore
    pending: Pending
    songs: Songs
    registry: CollectorRegistry
    metrics: BotMetrics
