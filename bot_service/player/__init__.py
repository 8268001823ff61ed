"""What a guild hears: queue, state machine, voice link, frames."""
