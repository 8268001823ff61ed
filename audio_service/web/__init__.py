"""Static pages that talk only to the public API. `audio_service.api.pages` serves them as they are."""
