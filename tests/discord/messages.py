"""Messages as a person sees them: the text, the embeds, the buttons, who would be pinged, and every earlier state."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.discord.bell import NotOffered
from tests.discord.core import Core, Json, listed, object_of

EPHEMERAL = 1 << 6
LOADING = 1 << 7

# Component types.
ROW, BUTTON, TEXT_DISPLAY = 1, 2, 10
SELECTS = {3, 5, 6, 7, 8}

_VISIBLE_IN_EMBED = ("title", "description")
_MENTION = re.compile(r"@everyone|@here|<@!?\d+>|<@&\d+>")
_KEPT = ("content", "embeds", "components", "flags", "allowed_mentions", "attachments")


@dataclass(frozen=True, slots=True)
class Version:
    """A state the message was in; `at` is monotonic seconds."""

    at: float
    text: str
    body: Json


@dataclass(slots=True)
class Message:
    """One message of the bot (or the answer to an interaction, which only its user sees when it is ephemeral).

    Attributes:
        body: content, embeds, components, flags, allowed_mentions as the bot sent them last.
        versions: every state it was in, the oldest first; a message that was deferred begins with its first text.
        loading: Discord shows "thinking…": the bot has deferred and not answered.
        seen_by: user id of the only person who sees it, when it is ephemeral.
    """

    core: Core
    channel_id: str
    author: Json
    body: Json
    guild_id: str | None = None
    seen_by: str | None = None
    extra: Json = field(default_factory=dict[str, Any])
    id: str = ""
    versions: list[Version] = field(default_factory=list[Version])
    deleted: bool = False

    def __post_init__(self) -> None:
        self.id = self.core.snowflake()
        if not self.loading:
            self._remember()

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    @property
    def flags(self) -> int:
        return int(self.body.get("flags") or 0)

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def content(self) -> str:
        return self.body.get("content") or ""

    @property
    def embeds(self) -> list[Json]:
        return listed(self.body, "embeds")

    @property
    def components(self) -> list[Json]:
        """Every component, at any depth, in the order of the screen."""
        return list(_flat(listed(self.body, "components")))

    @property
    def text(self) -> str:
        """Everything that can be read in it, line by line, except the labels of buttons."""
        lines = [self.content]
        for embed in self.embeds:
            lines += [object_of(embed, "author").get("name", ""), *(embed.get(key) or "" for key in _VISIBLE_IN_EMBED)]
            for one in listed(embed, "fields"):
                lines += [one["name"], one["value"]]
            lines.append(object_of(embed, "footer").get("text", ""))
        lines += [part["content"] for part in self.components if part["type"] == TEXT_DISPLAY]
        return "\n".join(line for line in lines if line)

    @property
    def buttons(self) -> list[Json]:
        return [part for part in self.components if part["type"] == BUTTON]

    @property
    def menus(self) -> list[Json]:
        return [part for part in self.components if part["type"] in SELECTS]

    @property
    def pings(self) -> list[str]:
        """The mentions in the content that would ring somebody, by Discord's rules for `allowed_mentions`."""
        found = _MENTION.findall(self.content)
        allowed = self.body.get("allowed_mentions")
        return found if allowed is None else [mention for mention in found if _rings(mention, allowed)]

    def button(self, name: str) -> Json:
        """Return the button with that custom_id, label or emoji. Raises NotOffered."""
        for button in self.buttons:
            if name in {button.get("custom_id"), button.get("label"), object_of(button, "emoji").get("name")}:
                return button
        raise NotOffered(f"no button {name!r}; there are {[_button_name(button) for button in self.buttons]}")

    def menu(self, name: str | None = None) -> Json:
        """Return the menu with that custom_id or placeholder; without a name, the only one. Raises NotOffered."""
        menus = [menu for menu in self.menus if name in {None, menu.get("custom_id"), menu.get("placeholder")}]
        if len(menus) != 1:
            raise NotOffered(f"not one menu {name!r} among {[menu.get('custom_id') for menu in self.menus]}")
        return menus[0]

    async def until(self, where: Callable[[Message], object]) -> Message:
        """Wait until the message, as it stands, satisfies `where`. Raises NotSeen with all its texts."""
        return await self.core.bell.until(
            lambda: self if not self.loading and where(self) else None,
            lambda: f"message {self.id} as wanted; it said {[version.text for version in self.versions]}",
        )

    async def edited(self, where: Callable[[Message], object] | None = None) -> Message:
        """Wait until it satisfies `where`; without one, for the next edit."""
        known = len(self.versions)
        return await self.until(where or (lambda message: len(message.versions) > known))

    async def gone(self) -> None:
        """Wait until the bot has deleted it."""
        await self.core.bell.until(lambda: self.deleted or None, lambda: f"deletion of {self.text!r}")

    def change(self, body: Json) -> None:
        """Take an edit: what it does not name stays. Tells the bot and those who wait."""
        ephemeral = self.flags & EPHEMERAL
        self.body = {**self.body, **{key: value for key, value in body.items() if key in _KEPT}}
        self.body["flags"] = (int(self.body.get("flags") or 0) & ~LOADING & ~EPHEMERAL) | ephemeral
        self._remember()
        if not self.ephemeral:
            self.core.dispatch("MESSAGE_UPDATE", self.payload())
        self.core.bell.ring()

    def delete(self) -> None:
        """Take it away. Tells the bot and those who wait."""
        self.deleted = True
        if not self.ephemeral:
            keys = {"id": self.id, "channel_id": self.channel_id, "guild_id": self.guild_id}
            self.core.dispatch("MESSAGE_DELETE", keys)
        self.core.bell.ring()

    def payload(self) -> Json:
        """Return it as REST and gateway give it."""
        edited = datetime.now(UTC).isoformat() if len(self.versions) > 1 else None
        return {
            "id": self.id,
            "channel_id": self.channel_id,
            **({"guild_id": self.guild_id} if self.guild_id else {}),
            "author": self.author,
            "type": 0,
            "content": self.content,
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": edited,
            "tts": False,
            "pinned": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [{"type": "rich", **embed} for embed in self.embeds],
            "components": listed(self.body, "components"),
            "flags": self.flags,
            **self.extra,
        }

    def _remember(self) -> None:
        self.versions.append(Version(time.monotonic(), self.text, dict(self.body)))


def _flat(parts: list[Json]) -> Iterator[Json]:
    for part in parts:
        yield part
        yield from _flat(listed(part, "components"))
        if "accessory" in part:
            yield from _flat([part["accessory"]])


def _button_name(button: Json) -> str:
    return button.get("label") or object_of(button, "emoji").get("name") or button.get("custom_id") or "?"


def _rings(mention: str, allowed: Json) -> bool:
    parse = listed(allowed, "parse")
    digits = "".join(character for character in mention if character.isdigit())
    if mention in {"@everyone", "@here"}:
        return "everyone" in parse
    kind = "roles" if "&" in mention else "users"
    return kind in parse or digits in [str(one) for one in listed(allowed, kind)]
