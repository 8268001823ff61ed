"""What Discord refuses in a message, with its code 50035 or 50006. Limits: its pages "Message" and "Components"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.discord.core import Json, RestError, listed, object_of

_EMBED_TEXT = 6000
_EMBEDS = 10
_FIELDS = 25
_ROWS = 5
_PER_ROW = 5
_OPTIONS = 25
_CHOICES = 25
_COMPONENTS_V2 = 1 << 15
_COMPONENTS_V2_MOST = 40
_LINK = 5
_URL = re.compile(r"attachment://\S+|https?://[^\s/?#]+\.[^\s/?#]+(?:[/?#]\S*)?", re.IGNORECASE)


def check_message(body: Json, *, new: bool) -> None:
    """Raise RestError when Discord would not take the message."""
    complaints = list(_complaints(body))
    if complaints:
        raise RestError(400, 50035, "Invalid Form Body: " + "; ".join(complaints))
    shown = ("content", "embeds", "components", "attachments", "sticker_ids", "poll")
    if new and not any(body.get(key) for key in shown):
        raise RestError(400, 50006, "Cannot send an empty message")


def check_choices(choices: list[Json]) -> None:
    """Raise RestError when Discord would not take the choices of an autocomplete."""
    complaints = list(_over("choices", len(choices), _CHOICES))
    for choice in choices:
        complaints += _over("name", len(choice["name"]), 100, least=1)
        if isinstance(choice["value"], str):
            complaints += _over("value", len(choice["value"]), 100, least=1)
    if complaints:
        raise RestError(400, 50035, "Invalid Form Body: " + "; ".join(complaints))


def _complaints(body: Json) -> Iterator[str]:
    yield from _over("content", len(body.get("content") or ""), 2000)
    embeds: list[Json] = listed(body, "embeds")
    yield from _over("embeds", len(embeds), _EMBEDS)
    yield from _over("text of embeds", sum(map(_embed_size, embeds)), _EMBED_TEXT)
    for embed in embeds:
        yield from _embed(embed)
    parts: list[Json] = listed(body, "components")
    if int(body.get("flags") or 0) & _COMPONENTS_V2:
        yield from _over("components", len(parts), _COMPONENTS_V2_MOST)
    else:
        yield from _over("rows", len(parts), _ROWS)
    for part in parts:
        yield from _component(part)
    ids = list(_custom_ids(parts))
    if len(ids) != len(set(ids)):
        yield "a custom_id stands twice"


def _embed(embed: Json) -> Iterator[str]:
    yield from _over("title", len(embed.get("title") or ""), 256)
    yield from _over("description", len(embed.get("description") or ""), 4096)
    yield from _over("footer", len(object_of(embed, "footer").get("text", "")), 2048)
    yield from _over("author", len(object_of(embed, "author").get("name", "")), 256)
    fields: list[Json] = listed(embed, "fields")
    yield from _over("fields", len(fields), _FIELDS)
    for one in fields:
        yield from _over("field name", len(one["name"]), 256, least=1)
        yield from _over("field value", len(one["value"]), 1024, least=1)
    links: list[str | None] = [embed.get("url")]
    links += [object_of(embed, key).get("url") for key in ("thumbnail", "image")]
    for link in links:
        if link and not _URL.fullmatch(link):
            yield f"Not a well formed URL: {link!r}"


def _component(part: Json) -> Iterator[str]:
    kind, below = part["type"], listed(part, "components")
    if kind == 1:
        yield from _over("components of a row", len(below), _PER_ROW, least=1)
    if kind == 2:
        yield from _over("label", len(part.get("label") or ""), 80)
        if not part.get("label") and not part.get("emoji"):
            yield "a button without label and emoji"
        if (part["style"] == _LINK) == ("custom_id" in part):
            yield "a button has either a custom_id or a URL"
    if kind == 3:
        options: list[Json] = listed(part, "options")
        yield from _over("options", len(options), _OPTIONS, least=1)
        for option in options:
            yield from _over("label of an option", len(option["label"]), 100, least=1)
            yield from _over("value of an option", len(option["value"]), 100, least=1)
            yield from _over("description of an option", len(option.get("description") or ""), 100)
        if len({option["value"] for option in options}) != len(options):
            yield "an option's value stands twice"
    yield from _over("placeholder", len(part.get("placeholder") or ""), 150)
    yield from _over("custom_id", len(part.get("custom_id") or ""), 100)
    for inner in below:
        yield from _component(inner)


def _custom_ids(parts: list[Json]) -> Iterator[str]:
    for part in parts:
        if part.get("custom_id"):
            yield part["custom_id"]
        yield from _custom_ids(listed(part, "components"))


def _embed_size(embed: Json) -> int:
    texts = [embed.get("title"), embed.get("description"), object_of(embed, "footer").get("text")]
    texts += [object_of(embed, "author").get("name")]
    texts += [text for one in listed(embed, "fields") for text in (one["name"], one["value"])]
    return sum(len(text or "") for text in texts)


def _over(what: str, size: int, most: int, *, least: int = 0) -> Iterator[str]:
    if not least <= size <= most:
        yield f"{what}: {size} is not within {least}..{most}"
