"""Reading commands out of a page, and comparing output with what is shown."""

from __future__ import annotations

import pytest

from tests.docs.pages import PAGES, Command, fenced_commands, kinds_of_blocks, shape


def test_the_pages_are_found() -> None:
    assert {"README.md", "README.es.md", "docs/using.md", "docs/adr/0009-tools.md", "bench/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    assert not kinds_of_blocks(page)


def test_commands_come_with_the_output_below_them() -> None:
    commands = list(fenced_commands("docs/using.md"))
    health = next(command for command in commands if command.text.endswith("/readyz"))
    assert health.text == "curl http://127.0.0.1:8080/readyz"
    assert health.shown.startswith('{"ready":true')
    assert Command("curl -o song.ogg http://127.0.0.1:8080/api/v1/media/<id>/audio.ogg") in commands


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ('{"ready":true,"n":1.5}', '{"ready":true,"n":22}', True),
        ('{"ready":true}', '{"ready":false}', False),
        ("ID  web-0a1b", "ID    web-ffff00", True),
        ("first\n…\nlast", "first\nlast", True),
        ("first\n…\nlast", "first\nmore\nmore\nlast", True),
        ("first\n…\nlast", "first\nmore", False),
        ("key bk_0a_b-c", "key bk_ff_x_y", True),
        ("[a.b]", "[a-b]", False),
    ],
)
def test_output_is_compared_by_its_shape(shown: str, printed: str, alike: bool) -> None:  # noqa: FBT001 - a parameter
    assert bool(shape(shown).fullmatch(printed)) is alike
