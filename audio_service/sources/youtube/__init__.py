"""The YouTube Data API."""
