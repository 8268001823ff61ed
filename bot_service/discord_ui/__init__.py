"""Everything that people see and press in Discord."""
