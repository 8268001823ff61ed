"""The other process in the broker's contract tests. Settings come from the environment, as in the real programs.

hold TOPIC GROUP                  take one delivery, print "VALUE ATTEMPT", and keep it until killed
publish TOPIC PREFIX [COUNT]      publish PREFIX-0, PREFIX-1, …; print each value once it is accepted
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from common.broker import open_broker
from common.broker.base import Broker
from common.settings import SharedSettings, load


def tell(line: str) -> None:
    """Print a line that the reader has even if this process is killed at the next instruction."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def hold(broker: Broker, topic: str, group: str) -> None:
    async with broker.consume(topic, group) as deliveries:
        async for delivery in deliveries:
            tell(f"{delivery.message.value.decode()} {delivery.attempt}")
            await asyncio.Event().wait()


async def publish(broker: Broker, topic: str, prefix: str, count: int | None) -> None:
    for number in itertools.count() if count is None else range(count):
        value = f"{prefix}-{number}"
        await broker.publish(topic, value, value.encode(), {})
        tell(value)


async def main(command: str, *arguments: str) -> None:
    async with open_broker(load(SharedSettings)) as broker:
        if command == "hold":
            await hold(broker, *arguments)
        else:
            topic, prefix, *count = arguments
            await publish(broker, topic, prefix, int(count[0]) if count else None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
