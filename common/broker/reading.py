"""Reading a subscription until a stop event is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from common.broker.base import Delivery


async def until(stop: asyncio.Event, deliveries: AsyncIterator[Delivery]) -> AsyncGenerator[Delivery]:
    """Yield deliveries until `stop` is set. One that arrives at that moment is released with its subscription."""
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
