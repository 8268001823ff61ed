"""The documents against the code: commands, paths and facts that they state."""
