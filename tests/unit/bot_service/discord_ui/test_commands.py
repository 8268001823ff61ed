"""Who may ask what of the guild's player: real members of discord.py, real players, a real store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from bot_service.discord_ui.commands import FavouriteAdded, MemberCommands
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.player.rules.events import Clear, Command, Jump, Pause, Previous, Remove, Seek, SetRules, Skip, Stop
from bot_service.player.rules.model import Phase
from bot_service.player.rules.outcomes import Done, PlayerRefusal, RefusalCode, Skipped, VoteCast
from bot_service.store.base import GuildSettings
from tests.discord import Member
from tests.unit.bot_service.discord_ui.local_bot import LocalBot, open_local_bot
from tests.unit.bot_service.player.entries import track


@pytest.fixture
async def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[LocalBot]:
    async with open_local_bot(tmp_path, monkeypatch) as opened:
        yield opened


def commands_of(bot: LocalBot) -> MemberCommands:
    return bot.interactions.commands


async def playing(bot: LocalBot) -> None:
    """ana listens to a song of hers, with another one behind it; the bot is in the channel."""
    await bot.interactions.play_requests.play_tracks([track("a"), track("b")], bot.requester())
    bot.guild.me.join(bot.voice)
    assert bot.player.snapshot.phase is Phase.PLAYING


async def refusal(bot: LocalBot, by: Member, *, of: Command | None = None) -> str:
    """Return the code with which a member is refused: a command, or to play."""
    member, commands = bot.member(by), commands_of(bot)
    try:
        if of is None:
            commands.channel_to_play_in(member)
        else:
            await commands.perform(member, of)
    except (BotRefusal, PlayerRefusal) as refused:
        return str(refused.code)
    return "not refused"


async def test_music_plays_where_the_member_listens(bot: LocalBot) -> None:
    assert commands_of(bot).channel_to_play_in(bot.member(bot.ana)) == int(bot.voice.id)
    assert await refusal(bot, bot.friend("beto", listens=False)) == BotRefusalCode.NOT_IN_VOICE


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ("view_channel", BotRefusalCode.CANNOT_SEE),
        ("connect", BotRefusalCode.CANNOT_CONNECT),
        ("speak", BotRefusalCode.CANNOT_SPEAK),
    ],
)
async def test_the_bot_needs_its_own_permissions(bot: LocalBot, permission: str, code: BotRefusalCode) -> None:
    bot.voice.deny(bot.guild.everyone, permission)
    assert await refusal(bot, bot.ana) == code


async def test_a_full_channel_is_refused_unless_the_bot_may_move_members(bot: LocalBot) -> None:
    small = bot.guild.voice_channel("Chica", user_limit=1)
    bot.ana.join(small)
    assert await refusal(bot, bot.ana) == BotRefusalCode.CHANNEL_FULL
    small.allow(bot.guild.me, "move_members")
    assert commands_of(bot).channel_to_play_in(bot.member(bot.ana)) == int(small.id)


async def test_the_bot_stays_with_its_listeners_and_follows_when_they_are_gone(bot: LocalBot) -> None:
    await playing(bot)
    other = bot.guild.voice_channel("Otra")
    beto = bot.friend("beto", listens=False)
    beto.join(other)
    assert await refusal(bot, beto) == RefusalCode.OTHER_CHANNEL
    bot.ana.leave()
    assert commands_of(bot).channel_to_play_in(bot.member(beto)) == int(other.id)


async def test_only_listeners_command_the_player(bot: LocalBot) -> None:
    await playing(bot)
    beto = bot.friend("beto", listens=False)
    assert await refusal(bot, beto, of=Pause()) == BotRefusalCode.NOT_IN_VOICE
    beto.join(bot.guild.voice_channel("Otra"))
    assert await refusal(bot, beto, of=Stop()) == BotRefusalCode.IN_OTHER_VOICE
    beto.join(bot.voice)
    assert await commands_of(bot).perform(bot.member(beto), Pause()) == Done()
    assert bot.player.snapshot.phase is Phase.PAUSED


async def test_where_there_is_a_dj_role_it_is_required_of_those_who_do_not_listen_alone(bot: LocalBot) -> None:
    await playing(bot)
    role = bot.guild.role("dj")
    await bot.player.ask(SetRules(GuildSettings(dj_role_id=int(role.id))))
    assert await commands_of(bot).perform(bot.member(bot.ana), Pause()) == Done()
    beto = bot.friend("beto")
    assert await refusal(bot, bot.ana, of=Stop()) == BotRefusalCode.DJ_ONLY
    beto.give(role)
    await commands_of(bot).perform(bot.member(beto), Clear())
    assert bot.player.snapshot.entries == ()
    boss = bot.friend("jefa")
    boss.give(bot.guild.role("jefas", "manage_guild"))
    await commands_of(bot).perform(bot.member(boss), Stop())
    assert bot.player.snapshot.phase is Phase.IDLE


async def test_skips_are_voted_on_where_the_guild_wants_it(bot: LocalBot) -> None:
    await playing(bot)
    await bot.player.ask(SetRules(GuildSettings(vote_skip=True)))
    beto, caro = bot.friend("beto"), bot.friend("caro")
    bot.guild.member("radio", bot=True).join(bot.voice)
    assert await commands_of(bot).perform(bot.member(beto), Skip(int(beto.id))) == VoteCast(1, 2)
    assert isinstance(await commands_of(bot).perform(bot.member(caro), Skip(int(caro.id))), Skipped)


@pytest.mark.parametrize("command", [Jump(1), Previous(), Seek(59_980), Stop()])
async def test_a_vote_cannot_be_bypassed(bot: LocalBot, command: Command) -> None:
    await playing(bot)
    beto = bot.friend("beto")
    assert await refusal(bot, beto, of=Pause()) == "not refused"
    await bot.player.ask(SetRules(GuildSettings(vote_skip=True)))
    assert await refusal(bot, beto, of=command) == BotRefusalCode.VOTE_FIRST
    assert bot.player.snapshot.current is not None
    assert bot.player.snapshot.current.title == "Song a"
    bot.ana.leave()
    assert await refusal(bot, beto, of=Stop()) == "not refused", "who listens alone needs no vote"


async def test_a_requester_may_end_the_own_song_but_not_those_of_others(bot: LocalBot) -> None:
    await playing(bot)
    beto = bot.friend("beto")
    await bot.player.ask(SetRules(GuildSettings(vote_skip=True)))
    assert await refusal(bot, bot.ana, of=Seek(59_980)) == "not refused"
    requester = replace(bot.requester(), user_id=int(beto.id))
    await bot.interactions.play_requests.play_tracks([track("c")], requester)
    assert await refusal(bot, bot.ana, of=Stop()) == BotRefusalCode.VOTE_FIRST
    assert await refusal(bot, bot.ana, of=Jump(1)) == "not refused"


@pytest.mark.parametrize("command", [Jump(3), Remove(2), Clear()])
async def test_songs_of_others_are_not_passed_over_or_removed_where_a_vote_ends_them(
    bot: LocalBot, command: Command
) -> None:
    await playing(bot)
    beto = bot.friend("beto")
    await bot.player.ask(SetRules(GuildSettings(vote_skip=True)))
    for name, by in (("c", beto), ("d", bot.ana)):
        requester = replace(bot.requester(), user_id=int(by.id))
        await bot.interactions.play_requests.play_tracks([track(name)], requester)
    before = bot.player.snapshot.entries
    assert [entry.title for entry in before] == ["Song b", "Song c", "Song d"]
    assert await refusal(bot, bot.ana, of=command) == BotRefusalCode.VOTE_FIRST
    assert bot.player.snapshot.entries == before
    assert await refusal(bot, beto, of=Remove(2)) == "not refused"
    assert await refusal(bot, bot.ana, of=Jump(2) if command == Jump(3) else command) == "not refused"


async def test_the_vote_of_a_member_who_left_does_not_count(bot: LocalBot) -> None:
    await playing(bot)
    await bot.player.ask(SetRules(GuildSettings(vote_skip=True)))
    beto, caro, dani = bot.friend("beto"), bot.friend("caro"), bot.friend("dani")
    assert await commands_of(bot).perform(bot.member(beto), Skip(int(beto.id))) == VoteCast(1, 3)
    beto.leave()
    assert await commands_of(bot).perform(bot.member(caro), Skip(int(caro.id))) == VoteCast(1, 2)
    assert isinstance(await commands_of(bot).perform(bot.member(dani), Skip(int(dani.id))), Skipped)


async def test_a_skip_needs_no_vote_where_the_guild_has_none(bot: LocalBot) -> None:
    await playing(bot)
    beto = bot.friend("beto")
    assert isinstance(await commands_of(bot).perform(bot.member(beto), Skip(0)), Skipped)


async def test_everybody_keeps_the_current_song_as_finished(bot: LocalBot) -> None:
    beto = bot.friend("beto", listens=False)
    with pytest.raises(PlayerRefusal):
        await commands_of(bot).add_favourite(bot.member(beto))
    await bot.interactions.play_requests.play_tracks([replace(track("a"), unfinished=True)], bot.requester())
    assert await commands_of(bot).add_favourite(bot.member(beto)) == FavouriteAdded("Song a", is_new=True)
    assert await commands_of(bot).add_favourite(bot.member(beto)) == FavouriteAdded("Song a", is_new=False)
    assert await bot.services.store.favourites(int(beto.id)) == [track("a")]


async def test_too_many_favourites_are_refused(bot: LocalBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.store.sqlite.tracks.MAX_FAVOURITES", 0)
    await playing(bot)
    with pytest.raises(BotRefusal, match="favourites_full"):
        await commands_of(bot).add_favourite(bot.member(bot.ana))
