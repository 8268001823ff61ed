"""The real bot process between a Discord of our own and a real audio service: what people type, and what they get."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from audio_service.settings import AudioSettings
from tests.discord import Channel, FakeDiscord, Guild, Member, assert_plays, frames_of, open_fake_discord
from tests.servers.media_files import opus_webm
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.system import AudioProcess, free_port, open_audio_process, settings_for

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.asyncio(loop_scope="module")
