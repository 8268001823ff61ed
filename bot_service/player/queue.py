"""The songs that come next in a guild, and those that were. Pure: knows neither Discord nor time."""
