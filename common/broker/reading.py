"""How services read a subscription until they are told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta

from common.broker.base import Delivery


async def until(stop: asyncio.Event, deliveries: AsyncIterator[Delivery]) -> AsyncGenerator[Delivery]:
    """Yield deliveries until `stop`. One that arrives in that moment stays with the subscription, which releases it."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while True:
            upcoming = asyncio.ensure_future(anext(deliveries))
            try:
                await asyncio.wait({upcoming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not upcoming.done():
                    upcoming.cancel()
                    await asyncio.wait({upcoming})
            if stopping.done() or upcoming.cancelled():
                return
            yield upcoming.result()
    finally:
        stopping.cancel()


async def pause(stop: asyncio.Event, seconds: timedelta) -> None:
    """Wait, but not beyond `stop`."""
    try:
        async with asyncio.timeout(seconds.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return
