"""What a fault costs those who listen: frames lost and repeated, counted over the payloads that were received.

What was sent by a connection that Discord had closed is counted both ways: as unheard when frames are counted as lost,
and as heard when they are counted as repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.discord import Packet
from tests.discord.concert import FRAMES_PER_SECOND, Song
from tests.reporting import Table

_TITLE = "what a fault costs (frames of 20 ms)"
_HEADINGS = ("fault", "frames heard", "lost", "repeated", "seconds until sound came back")


@dataclass(frozen=True, slots=True)
class Cost:
    """What was heard of one song around one fault. `lost` leaves out what the network itself has swallowed."""

    heard: int
    lost: int
    repeated: int
    silent_seconds: float
    swallowed: int = 0

    @classmethod
    def of(cls, song: Song, packets: Sequence[Packet], fault: int, swallowed: Sequence[Packet] = ()) -> Cost:
        """Count over everything that was received of a song, `fault` being the place at which the fault happened."""
        last = packets[fault - 1]
        replaced = any(packet.connection != last.connection for packet in packets[fault:])
        after = [packet for packet in packets[fault:] if not replaced or packet.connection != last.connection]
        heard, gone = song.numbers(packets), set(song.numbers(swallowed))
        certain = {*song.numbers(packets[:fault]), *song.numbers(after)}
        sound = next(packet for packet in after if not packet.is_silence)
        return cls(
            heard=len(set(heard)),
            lost=len(set(range(len(song.frames))) - certain - gone),
            repeated=len(heard) - len(set(heard)),
            silent_seconds=sound.arrived - last.arrived,
            swallowed=len(gone),
        )

    @property
    def is_small(self) -> bool:
        """At most a second is lost, and at most one heard twice."""
        return max(self.lost, self.repeated) <= FRAMES_PER_SECOND

    def report(self, tables: list[Table], fault: str) -> None:
        """Put it into the table that is printed at the end of the run."""
        table = next((one for one in tables if one.title == _TITLE), None)
        if table is None:
            table = Table(_TITLE, _HEADINGS)
            tables.append(table)
        by_network = f" (and {self.swallowed} by the network)" if self.swallowed else ""
        lost = f"{self.lost}{by_network}"
        table.rows.append((fault, str(self.heard), lost, str(self.repeated), f"{self.silent_seconds:.2f}"))
