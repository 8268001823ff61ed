from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from audio_service.api.media import MEDIA_ID_PATTERN, CursorQuery, VideoIdQuery
from audio_service.api.schemas import MediaBody, MediaPageBody, NewestBody
from audio_service.media.model import check_media_id
from audio_service.media.repository.cursors import encode_cursor
from audio_service.media.repository.sqlite.repository import open_sqlite
from common.errors import InvalidInput, InvalidVideoId
from tests.unit.audio_service.api.library import Api, add_failure, add_song, claim

TITLE = "Dua Lipa - New Rules (Official Music Video)"


def error_of(answer: httpx.Response) -> dict[str, str]:
    body = answer.json()
    assert body["success"] is False
    return body["error"]


@pytest.mark.parametrize("path", ["/api/v1/media", "/api/v1/media/"])
async def test_a_record_is_found_with_and_without_the_trailing_slash(api: Api, path: str) -> None:
    await add_song(api.deps, "k2qgadSvNyU", TITLE)
    answer = await api.client.get(path, params={"video_id": "k2qgadSvNyU"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = MediaBody.model_validate_json(answer.content)
    assert body.data.title_lower == "dua lipa  new rules official music video"
    assert body.success
    assert body.data.success


async def test_a_record_in_progress_is_shown_as_such(api: Api) -> None:
    await claim(api.deps, "k2qgadSvNyU", TITLE)
    answer = await api.client.get("/api/v1/media/?video_id=k2qgadSvNyU")
    body = MediaBody.model_validate_json(answer.content)
    assert (answer.status_code, body.data.status, body.data.success) == (200, "processing", False)


async def test_a_failed_record_says_why(api: Api) -> None:
    await add_failure(api.deps, "k2qgadSvNyU", TITLE)
    body = MediaBody.model_validate_json((await api.client.get("/api/v1/media/?video_id=k2qgadSvNyU")).content)
    assert (body.data.status, body.data.error_code, body.data.success) == ("error", "media_private", False)
    assert not body.success, "a client that reads this alone would play an empty path"
    assert body.data.message == "Ese video es privado."
    assert body.data.failures == 1


async def test_another_processs_commit_is_in_the_next_response(api: Api) -> None:
    await add_song(api.deps, "k2qgadSvNyU", TITLE)
    counts: list[int] = []
    async with open_sqlite(api.deps.settings.sqlite_path) as other:
        for _ in range(3):
            answer = await api.client.get("/api/v1/media/?video_id=k2qgadSvNyU")
            counts.append(MediaBody.model_validate_json(answer.content).data.play_count)
            await other.count_play("k2qgadSvNyU")
    assert counts == [0, 1, 2]


async def test_an_unknown_id_is_named(api: Api) -> None:
    answer = await api.client.get("/api/v1/media/?video_id=nope")
    assert answer.status_code == 404
    assert error_of(answer) == {"code": "media_not_found", "message": "Media no encontrado", "video_id": "nope"}


@pytest.mark.parametrize("query", ["", "?video_id=", f"?video_id={'a' * 101}", "?videoid=abc"])
async def test_an_id_that_is_missing_empty_or_too_long_is_invalid_input(api: Api, query: str) -> None:
    answer = await api.client.get(f"/api/v1/media/{query}")
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["field"]) == ("invalid_input", "video_id")
    assert "video_id" in error_of(answer)["message"]


@pytest.mark.parametrize("path", ["/api/v1/media", "/api/v1/media/"])
@pytest.mark.parametrize("found", [True, False])
async def test_a_query_in_any_form_gets_the_response_of_the_plain_one(api: Api, path: str, *, found: bool) -> None:
    if found:
        await add_song(api.deps, "k2qgadSvNyU", TITLE)
    plain = await api.client.get(f"{path}?video_id=k2qgadSvNyU")
    assert plain.is_success == found
    for query in ("video_id=k2qgadSvNy%55", "x=1&video_id=k2qgadSvNyU", "video_id=other&video_id=k2qgadSvNyU"):
        answer = await api.client.get(f"{path}?{query}")
        assert (answer.status_code, answer.content) == (plain.status_code, plain.content)


@given(st.text(max_size=101) | st.from_regex(MEDIA_ID_PATTERN, fullmatch=True))
def test_the_documented_pattern_accepts_what_the_library_does(text: str) -> None:
    documented = TypeAdapter(VideoIdQuery)
    try:
        check_media_id(text)
    except InvalidVideoId:
        with pytest.raises(ValidationError):
            documented.validate_python(text)
    else:
        assert documented.validate_python(text) == text


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_every_cursor_of_ours_matches_the_documented_pattern(first: int, second: int) -> None:
    cursor = encode_cursor("search", first, second)
    assert TypeAdapter(CursorQuery).validate_python(cursor) == cursor


@pytest.mark.parametrize("video_id", ["a b", "a/b", "..", "ñ", "a\x00b", "%2e%2e%2f", "😀"])
async def test_text_that_cannot_be_an_id_is_an_invalid_video_id(api: Api, video_id: str) -> None:
    answer = await api.client.get("/api/v1/media/", params={"video_id": video_id})
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_video_id")


async def test_a_part_of_the_title_finds_songs_in_any_case(api: Api) -> None:
    await add_song(api.deps, "one", TITLE)
    await add_song(api.deps, "two", "Something else")
    answer = await api.client.get("/api/v1/media/search", params={"title": "NEW rules (official"})
    body = MediaPageBody.model_validate_json(answer.content)
    assert [each.video_id for each in body.data] == ["one"]


async def test_nothing_found_is_an_empty_list_and_no_more(api: Api) -> None:
    answer = await api.client.get("/api/v1/media/search?title=nothing")
    assert (answer.status_code, answer.content) == (200, b'{"data":[],"success":true}')


async def test_only_songs_that_can_be_played_are_found(api: Api) -> None:
    await add_failure(api.deps, "failed", TITLE)
    await claim(api.deps, "going", TITLE)
    assert (await api.client.get("/api/v1/media/search?title=rules")).json()["data"] == []


async def test_ten_songs_are_a_page_and_the_cursor_leads_through_all(api: Api) -> None:
    for number in range(23):
        await add_song(api.deps, f"song{number}", f"Song number {number}")
    seen: list[str] = []
    params = {"title": "song number"}
    for expected in (10, 10, 3):
        body = MediaPageBody.model_validate_json((await api.client.get("/api/v1/media/search", params=params)).content)
        assert len(body.data) == expected
        seen += [each.video_id for each in body.data]
        if body.next_cursor is not None:
            params["cursor"] = body.next_cursor
    assert sorted(seen) == sorted(f"song{number}" for number in range(23))


async def test_a_limit_is_kept(api: Api) -> None:
    for number in range(3):
        await add_song(api.deps, f"song{number}", f"Song number {number}")
    answer = await api.client.get("/api/v1/media/search?title=song&limit=2")
    assert len(answer.json()["data"]) == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "title"),
        ("title=", "title"),
        ("title=ab", "title"),
        ("title=%20%20a%20%20", "title"),
        ("title=!!!!!!a.", "title"),
        (f"title={'a' * 201}", "title"),
        ("title=abc&limit=0", "limit"),
        ("title=abc&limit=101", "limit"),
        ("title=abc&limit=-1", "limit"),
        ("title=abc&limit=ten", "limit"),
        (f"title=abc&limit={'9' * 5000}", "limit"),
        (f"title=abc&cursor={'a' * 501}", "cursor"),
    ],
)
async def test_each_bad_parameter_of_a_search_is_named(api: Api, query: str, field: str) -> None:
    answer = await api.client.get(f"/api/v1/media/search?{query}")
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["field"]) == ("invalid_input", field)
    assert field in error_of(answer)["message"]


@pytest.mark.parametrize("cursor", ["../../etc", "", "abc", "%00", "%FF", "YQ=="])
async def test_a_cursor_that_is_not_ours_is_invalid_input(api: Api, cursor: str) -> None:
    answer = await api.client.get(f"/api/v1/media/search?title=abc&cursor={cursor}")
    assert answer.status_code == 400
    assert error_of(answer) == {"code": "invalid_input", "message": InvalidInput().message()}


@pytest.mark.parametrize(
    "title",
    [
        "%%%%%",
        "___",
        "new%rules",
        "*****",
        '" OR title:*',
        "rules' OR '1'='1",
        "'; DROP TABLE media; --",
        '{"$ne": null}',
        "{$regex: .*}",
        "new AND rules",
        "NEAR(new rules)",
        ".*.*.*",
        "new\x00rules",
        "\ufffd\ufffd\ufffd\u202e\u200b",
        "日本語",
        "(((((((((((",
    ],
)
async def test_a_query_is_text_and_never_a_pattern(api: Api, title: str) -> None:
    await add_song(api.deps, "one", TITLE)
    answer = await api.client.get("/api/v1/media/search", params={"title": title})
    assert answer.status_code in {200, 400}
    if answer.status_code == 200 and title != "new\x00rules":
        assert answer.json()["data"] == []
    assert len((await api.client.get("/api/v1/media/search?title=rules")).json()["data"]) == 1


async def test_what_is_new_has_every_status_and_says_how_songs_were_made(api: Api) -> None:
    await add_song(api.deps, "first")
    await add_failure(api.deps, "second")
    await claim(api.deps, "third", "Canción")
    shown = list[tuple[str, str, str | None]]()
    cursor: str | None = ""
    while cursor is not None:
        further = {"cursor": cursor} if cursor else {}
        answer = await api.client.get("/api/v1/media/newest", params={"limit": 2, **further})
        body = NewestBody.model_validate_json(answer.content)
        shown += [(item.video_id, item.status, item.encoding) for item in body.data]
        cursor = body.next_cursor
    assert sorted(shown) == [
        ("first", "success", "passthrough"),
        ("second", "error", None),
        ("third", "processing", None),
    ]
    refused = await api.client.get("/api/v1/media/newest?cursor=bm90IG91cnM")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_input")
