"""The bot's Prometheus metrics. Labels come from closed sets (commands, outcomes, reasons), never from user text."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The target for a library song is 0.3 s; a download may take minutes.
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300)


@dataclass(frozen=True, slots=True)
class BotMetrics:
    """The metrics. One instance per process, on the process's registry."""

    first_packet_seconds: Histogram
    frames_sent: Counter
    frames_starved: Counter
    voice_reconnects: Counter
    guilds: Gauge
    voice_connections: Gauge
    queue_length: Gauge
    commands: Counter
    requests: Counter
    library_hits: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> BotMetrics:
        """Create the metrics on `registry`."""
        return cls(
            first_packet_seconds=Histogram(
                "butakero_bot_first_packet_seconds",
                "Time from the command for a song that starts at once to its first voice packet.",
                buckets=_SECONDS,
                registry=registry,
            ),
            frames_sent=Counter("butakero_bot_frames_sent", "Frames of songs handed to Discord.", registry=registry),
            frames_starved=Counter(
                "butakero_bot_frames_starved", "Silence frames sent because no frame was there.", registry=registry
            ),
            voice_reconnects=Counter(
                "butakero_bot_voice_reconnects", "Voice connections that were rebuilt.", ["reason"], registry=registry
            ),
            guilds=Gauge("butakero_bot_guilds", "Servers the bot is in.", registry=registry),
            voice_connections=Gauge("butakero_bot_voice_connections", "Voice channels joined.", registry=registry),
            queue_length=Gauge("butakero_bot_queue_length", "Entries waiting in all queues.", registry=registry),
            commands=Counter(
                "butakero_bot_commands", "Commands answered, by outcome.", ["name", "outcome"], registry=registry
            ),
            requests=Counter(
                "butakero_bot_requests", "Songs that had to be fetched, by outcome.", ["outcome"], registry=registry
            ),
            library_hits=Counter(
                "butakero_bot_library_hits", "Songs asked for that the library had already.", registry=registry
            ),
        )
