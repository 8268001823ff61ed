"""Permissions as Discord computes them: roles first, then what a channel allows and denies (its page "Permissions")."""

from __future__ import annotations

from collections.abc import Iterable

BITS = {
    "administrator": 1 << 3,
    "manage_channels": 1 << 4,
    "manage_guild": 1 << 5,
    "add_reactions": 1 << 6,
    "view_channel": 1 << 10,
    "send_messages": 1 << 11,
    "manage_messages": 1 << 13,
    "embed_links": 1 << 14,
    "attach_files": 1 << 15,
    "read_message_history": 1 << 16,
    "mention_everyone": 1 << 17,
    "connect": 1 << 20,
    "speak": 1 << 21,
    "mute_members": 1 << 22,
    "move_members": 1 << 24,
    "manage_roles": 1 << 28,
    "use_application_commands": 1 << 31,
    "request_to_speak": 1 << 32,
}
ALL = (1 << 50) - 1
EVERYONE = (
    "add_reactions",
    "view_channel",
    "send_messages",
    "embed_links",
    "attach_files",
    "read_message_history",
    "connect",
    "speak",
    "use_application_commands",
    "request_to_speak",
)


def bits(names: Iterable[str]) -> int:
    """Return the bits of permissions by name. Raises KeyError."""
    return sum({BITS[name] for name in names})


def granted(of_roles: Iterable[int]) -> int:
    """Return what roles with these bits grant together; an administrator may do everything."""
    together = 0
    for one in of_roles:
        together |= one
    return ALL if together & BITS["administrator"] else together


def in_channel(base: int, overwrites: Iterable[tuple[int, int]]) -> int:
    """Apply (allow, deny) pairs, the weakest first."""
    if base == ALL:
        return ALL
    for allow, deny in overwrites:
        base = base & ~deny | allow
    return base
