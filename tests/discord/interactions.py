"""One thing a person did (a command, a button, a menu, typing in an option) and everything the bot answered to it.

The rules of Discord that a bot may break are kept here: a token is answered once, an answer can be deferred and filled
later, the first follow-up after a deferral fills the deferred answer, edits need an answer first. The three seconds
are recorded (`answered_after`), not enforced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tests.discord.core import Core, Json, RestError, listed
from tests.discord.messages import EPHEMERAL, LOADING, Message
from tests.waiting import patience

# Interaction types.
COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
# Callback types.
_MESSAGE, _DEFER, _DEFER_UPDATE, _UPDATE, _CHOICES, _MODAL = 4, 5, 6, 7, 8, 9
DEADLINE_SECONDS = 3.0
_STANDSTILL_SECONDS = 5.0
"""For how long a busy machine may let the bot or the test stand still; a bot that waits for something waits longer."""

_Found = TypeVar("_Found")
Kind = Literal[
    "deferred",
    "message",
    "edit",
    "followup",
    "followup edit",
    "delete",
    "deferred update",
    "update",
    "choices",
    "modal",
]
_KINDS: dict[int, Kind] = {
    _MESSAGE: "message",
    _DEFER: "deferred",
    _DEFER_UPDATE: "deferred update",
    _UPDATE: "update",
    _CHOICES: "choices",
    _MODAL: "modal",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something the bot did with the interaction; `after` is seconds since the person acted, `text` what it shows."""

    kind: Kind
    after: float
    text: str
    body: Json


@dataclass(slots=True)
class Interaction:
    """What a person did, and the answers.

    Attributes:
        label: the words to call it by in a failure, e.g. "/music play".
        source: the message whose component was used.
        original: the answer (for a component that updates: the message it stands on).
    """

    core: Core
    type: int
    label: str
    user_id: str
    show: Callable[[Message], None]
    new_message: Callable[[Json], Message]
    source: Message | None = None
    id: str = ""
    token: str = ""
    sent_at: float = field(default_factory=time.monotonic)
    events: list[Event] = field(default_factory=list[Event])
    original: Message | None = None
    followups: list[Message] = field(default_factory=list[Message])
    choices: list[Json] | None = None
    modal: Json | None = None
    expired: bool = False

    def __post_init__(self) -> None:
        self.id = self.core.snowflake()
        self.token = f"token-of-{self.id}"

    # What a test awaits.

    @property
    def answered_after(self) -> float | None:
        """Seconds until the first answer, None as long as there is none. Discord gives three."""
        return self.events[0].after if self.events else None

    @property
    def in_time(self) -> bool:
        """Whether it was answered within three seconds, but for what this machine adds to them."""
        limit = patience(DEADLINE_SECONDS) + _STANDSTILL_SECONDS
        return self.answered_after is not None and self.answered_after <= limit

    @property
    def kinds(self) -> list[Kind]:
        """What the bot did, in order."""
        return [event.kind for event in self.events]

    async def event(self, *kinds: Kind) -> Event:
        """Wait for the first event, or the first of these kinds."""
        return await self._wait(
            lambda: next((event for event in self.events if not kinds or event.kind in kinds), None),
            " or ".join(kinds) or "any answer",
        )

    async def deferred(self) -> Event:
        """Wait until the bot says that it is thinking."""
        return await self.event("deferred", "deferred update")

    async def message(self, where: Callable[[Message], object] | None = None) -> Message:
        """Wait for the answer's text: sent at once, or filled in after a deferral; with `where`, in that state."""

        def look() -> Message | None:
            shown = self.original
            if shown is None or shown.loading or shown is self.source:
                return None
            return shown if where is None or where(shown) else None

        return await self._wait(look, "a message as wanted")

    async def followup(self, where: Callable[[Message], object] | None = None) -> Message:
        """Wait for a further message of the same interaction."""
        return await self._wait(
            lambda: next((message for message in self.followups if where is None or where(message)), None),
            "a follow-up as wanted",
        )

    async def updated(self) -> Message:
        """Wait until the bot has changed the message on which the used component stands."""
        await self.event("update", "edit")
        assert self.source is not None, "only components stand on a message"
        return self.source

    async def offered(self) -> list[Json]:
        """Wait for the choices of an autocomplete: `name` and `value` each."""
        await self.event("choices")
        return self.choices or []

    async def form(self) -> Json:
        """Wait for the modal the bot opens: `custom_id`, `title`, `components`."""
        await self.event("modal")
        return self.modal or {}

    def expire(self) -> None:
        """Let its token end, as it does after 15 minutes: edits and follow-ups are refused from now on."""
        self.expired = True

    async def _wait(self, look: Callable[[], _Found | None], wanted: str) -> _Found:
        return await self.core.bell.until(look, lambda: f"{wanted} to {self.label}; {self._story()}")

    def _story(self) -> str:
        told = [f"{event.kind} after {event.after:.2f} s: {event.text!r}" for event in self.events]
        return f"seen: {told or 'nothing'}; problems: {self.core.problems}"

    # What the bot does by REST.

    def answer(self, kind: int, data: Json) -> Message | None:
        """Take the callback. Raises RestError when there was one before, or when the type is no type."""
        if self.events:
            self.core.problem(f"{self.label} was answered twice: {_KINDS.get(kind, kind)} after {self.kinds}")
            raise RestError(400, 40060, "Interaction has already been acknowledged.")
        if kind not in _KINDS:
            raise RestError(400, 50035, f"Invalid Form Body: type {kind}")
        if (kind == _CHOICES) != (self.type == AUTOCOMPLETE) or (kind in {_DEFER_UPDATE, _UPDATE} and not self.source):
            self.core.problem(f"{self.label} was answered by {_KINDS[kind]}, which Discord refuses there")
            raise RestError(400, 50035, "Invalid Form Body: this type of answer is not allowed here")
        self._apply(kind, data)
        self._tell(_KINDS[kind], data, self.original)
        return self.original

    def _apply(self, kind: int, data: Json) -> None:
        if kind == _CHOICES:
            self.choices = listed(data, "choices")
        elif kind == _MODAL:
            self.modal = data
        elif kind in {_DEFER_UPDATE, _UPDATE}:
            self.original = self.source
            if kind == _UPDATE and self.source:
                self.source.change(data)
        else:
            flags = int(data.get("flags") or 0)
            self.original = self._show({**data, "flags": flags | LOADING} if kind == _DEFER else data)

    def follow_up(self, body: Json) -> Message:
        """Take a further message. The first one after a deferral fills the deferred answer."""
        self._alive()
        if self.original is not None and self.original.loading:
            return self.edit("@original", body)
        message = self._show(body)
        self.followups.append(message)
        self._tell("followup", body, message)
        return message

    def find(self, message_id: str) -> Message:
        """Return a message of this interaction; "@original" is the answer. Raises RestError."""
        self._alive()
        if message_id == "@original" and self.original is not None and not self.original.deleted:
            return self.original
        for message in [*self.followups, self.original, self.source]:
            if message is not None and message.id == message_id and not message.deleted:
                return message
        raise RestError(404, 10008, "Unknown Message")

    def edit(self, message_id: str, body: Json) -> Message:
        """Change one of its messages."""
        message = self.find(message_id)
        filled = message.loading
        message.change(body)
        kind: Kind = "followup edit" if message in self.followups else "edit"
        self._tell("message" if filled else kind, body, message)
        return message

    def delete(self, message_id: str) -> None:
        """Delete one of its messages."""
        message = self.find(message_id)
        message.delete()
        self._tell("delete", {}, message)

    def _alive(self) -> None:
        if self.expired:
            raise RestError(401, 50027, "Invalid Webhook Token")
        if not self.events:
            self.core.problem(f"{self.label}: a message was sent or edited before the interaction was answered")
            raise RestError(404, 10015, "Unknown Webhook")

    def _show(self, body: Json) -> Message:
        message = self.new_message(body)
        if message.flags & EPHEMERAL:
            message.seen_by = self.user_id
        self.show(message)
        return message

    def _tell(self, kind: Kind, body: Json, message: Message | None) -> None:
        text = message.text if message is not None and kind not in {"choices", "modal"} else ""
        self.events.append(Event(kind, time.monotonic() - self.sent_at, text, body))
        self.core.bell.ring()


@dataclass(slots=True)
class Interactions:
    """All of them, by token and in order."""

    all: list[Interaction] = field(default_factory=list[Interaction])
    by_token: dict[str, Interaction] = field(default_factory=dict[str, Interaction])

    def add(self, interaction: Interaction) -> None:
        """Make it answerable."""
        self.all.append(interaction)
        self.by_token[interaction.token] = interaction

    def of(self, token: str) -> Interaction:
        """Find it by its token. Raises RestError."""
        if token not in self.by_token:
            raise RestError(404, 10062, "Unknown interaction")
        return self.by_token[token]
