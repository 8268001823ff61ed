"""The workers' Prometheus metrics. Labels come from closed sets (codes, stages, modes), never from user text."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """What the workers count. One instance per process, on the process's own registry."""

    answers: Counter
    retries: Counter
    dead_letters: Counter
    handed_back: Counter
    leases_lost: Counter
    cache_hits: Counter
    encodings: Counter
    downloaded_bytes: Counter
    early_songs: Counter
    in_progress: Gauge
    stored_bytes: Gauge
    evictions: Counter
    evicted_bytes: Counter
    stage_seconds: Histogram

    @classmethod
    def on(cls, registry: CollectorRegistry) -> WorkerMetrics:
        """Create the metrics on `registry`."""
        return cls(
            answers=Counter(
                "butakero_answers",
                "Terminal statuses published.",
                ["pipeline", "outcome", "error_code"],
                registry=registry,
            ),
            retries=Counter(
                "butakero_retries", "Attempts that will be repeated.", ["pipeline", "error_code"], registry=registry
            ),
            dead_letters=Counter(
                "butakero_dead_letters",
                "Messages moved to a dead-letter topic.",
                ["pipeline", "error_code"],
                registry=registry,
            ),
            handed_back=Counter(
                "butakero_deliveries_handed_back",
                "Deliveries returned unfinished without counting an attempt.",
                ["pipeline", "reason"],
                registry=registry,
            ),
            leases_lost=Counter(
                "butakero_leases_lost", "Claims taken over by another worker.", ["pipeline"], registry=registry
            ),
            cache_hits=Counter(
                "butakero_cache_hits",
                "Work that was spared, by what was there already: resolution, song, job, file.",
                ["what"],
                registry=registry,
            ),
            encodings=Counter("butakero_encodings", "DCA files made, by how.", ["mode"], registry=registry),
            downloaded_bytes=Counter("butakero_downloaded_bytes", "Bytes fetched from sources.", registry=registry),
            early_songs=Counter(
                "butakero_early_songs", "Songs that could be heard before they were whole.", registry=registry
            ),
            in_progress=Gauge(
                "butakero_requests_in_progress", "Requests being worked on.", ["pipeline"], registry=registry
            ),
            stored_bytes=Gauge("butakero_stored_bytes", "Bytes of songs in the library.", registry=registry),
            evictions=Counter("butakero_evictions", "Songs removed to stay below MAX_STORED_BYTES.", registry=registry),
            evicted_bytes=Counter("butakero_evicted_bytes", "Bytes of songs removed for that.", registry=registry),
            stage_seconds=Histogram(
                "butakero_stage_seconds",
                "Duration of a request's stages.",
                ["stage"],
                buckets=_SECONDS,
                registry=registry,
            ),
        )
