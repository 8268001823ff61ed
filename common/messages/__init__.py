"""The wire contract: one module for each conversation that travels over the broker."""
