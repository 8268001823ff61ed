"""A bot just large enough to try the fake with: `python -m tests.discord.small_bot DCA_FILE`, settings by environment.

It plays the file's frames as they are, says in the text channel what happens to it, and registers /small with the
subcommands play, stop, pause, resume, slow, ask, form, twice and talk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import discord
from discord import app_commands
from discord.http import Route

from common.dca import DcaReader

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1


class Frames(discord.AudioSource):
    """The packets of a DCA file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._frames = iter(list(DcaReader(file)))
        self.ended = False

    def read(self) -> bytes:
        frame = next(self._frames, b"")
        self.ended = not frame
        return frame

    def is_opus(self) -> bool:
        return True


class Panel(discord.ui.View):
    """A button, a disabled button and a menu."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.presses = 0

    @discord.ui.button(label="Mas", custom_id="more")
    async def more(self, interaction: discord.Interaction, _button: discord.ui.Button[Panel]) -> None:
        self.presses += 1
        await interaction.response.edit_message(content=f"pressed {self.presses}", view=self)

    @discord.ui.button(label="Nunca", custom_id="never", disabled=True)
    async def never(self, interaction: discord.Interaction, _button: discord.ui.Button[Panel]) -> None:
        await interaction.response.defer()

    @discord.ui.select(custom_id="colour", options=[discord.SelectOption(label=name) for name in ("red", "blue")])
    async def colour(self, interaction: discord.Interaction, menu: discord.ui.Select[Panel]) -> None:
        await interaction.response.send_message(f"you chose {menu.values[0]}", ephemeral=True)


class Form(discord.ui.Modal, title="Form"):
    """A form with one line."""

    name = discord.ui.TextInput[discord.ui.Modal](label="Name", custom_id="name")

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        await interaction.response.send_message(f"hello {self.name.value}")


class SmallBot(discord.Client):
    """The bot: one guild, one file."""

    def __init__(self, path: Path) -> None:
        intents = discord.Intents(guilds=True, voice_states=True, guild_messages=True)
        super().__init__(intents=intents, proxy=os.environ["DISCORD_PROXY"], guild_ready_timeout=0.05)
        self.path = path
        self.tree = app_commands.CommandTree(self)
        self.tree.add_command(Small(self))

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def on_resumed(self) -> None:
        await self.say("resumed")

    async def on_voice_state_update(
        self, member: discord.Member, _before: discord.VoiceState, after: discord.VoiceState
    ) -> None:
        await self.say(f"{member.name} is in {after.channel.name if after.channel else 'no channel'}")

    async def say(self, text: str) -> None:
        channel = next(self.get_all_channels())
        assert isinstance(channel, discord.TextChannel)
        await channel.send(text)

    @property
    def voice(self) -> discord.VoiceClient:
        client = self.voice_clients[0]
        assert isinstance(client, discord.VoiceClient)
        return client


class Small(app_commands.Group):
    """The commands."""

    def __init__(self, bot: SmallBot) -> None:
        super().__init__(name="small", description="A small bot")
        self.bot = bot

    @app_commands.command()
    async def play(
        self,
        interaction: discord.Interaction,
        title: app_commands.Range[str, 1, 20],
        times: int = 1,
        patience: int = 20,
    ) -> None:
        """Play the file; give a voice server up after `patience` seconds."""
        await interaction.response.defer()
        assert isinstance(interaction.user, discord.Member)
        assert interaction.user.voice is not None
        channel = interaction.user.voice.channel
        assert channel is not None
        try:
            client = await channel.connect(timeout=patience)
        except TimeoutError:
            await interaction.followup.send("no way in")
            return
        self._start(client, Frames(self.bot.path))
        await interaction.followup.send(f"playing {title} {times}")

    def _start(self, client: discord.VoiceClient, frames: Frames) -> None:
        loop = asyncio.get_running_loop()

        def after(error: Exception | None) -> None:
            asyncio.run_coroutine_threadsafe(self._continue(client, frames, error), loop)

        client.play(frames, after=after)

    async def _continue(self, client: discord.VoiceClient, frames: Frames, error: Exception | None) -> None:
        """Start a new player unless the song or the voice client has ended.

        The library's player wakes between two connections: it fails when it finds no key there, and gives up without
        an error when it finds no connection.
        """
        if error is not None:
            log.warning("the library's player has failed", exc_info=error)
        while not frames.ended and client in self.bot.voice_clients:
            if client.is_connected():
                client.stop()  # one that gave up still counts as playing
                self._start(client, frames)
                return
            await asyncio.to_thread(client.wait_until_connected, _LOOK_SECONDS)
        await self.bot.say("ended")

    @play.autocomplete("title")
    async def titles(self, _interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"{current} {number}", value=f"{current}{number}") for number in (1, 2)]

    @app_commands.command()
    async def stop(self, interaction: discord.Interaction) -> None:
        """Leave."""
        await self.bot.voice.disconnect()
        await interaction.response.send_message("left")

    @app_commands.command()
    async def pause(self, interaction: discord.Interaction) -> None:
        """Pause."""
        self.bot.voice.pause()
        await interaction.response.send_message("paused", ephemeral=True)

    @app_commands.command()
    async def resume(self, interaction: discord.Interaction) -> None:
        """Go on."""
        self.bot.voice.resume()
        await interaction.response.send_message("resumed", ephemeral=True)

    @app_commands.command()
    async def slow(self, interaction: discord.Interaction) -> None:
        """Answer in steps."""
        await interaction.response.defer(ephemeral=True)
        for text in ("one", "two", "three"):
            await interaction.edit_original_response(content=text, embed=discord.Embed(title="Step", description=text))
        await interaction.followup.send("and <@1> @everyone", allowed_mentions=discord.AllowedMentions.none())

    @app_commands.command()
    async def ask(self, interaction: discord.Interaction) -> None:
        """Show the panel."""
        await interaction.response.send_message("choose", view=Panel())

    @app_commands.command()
    async def form(self, interaction: discord.Interaction) -> None:
        """Open the form."""
        await interaction.response.send_modal(Form())

    @app_commands.command()
    async def twice(self, interaction: discord.Interaction) -> None:
        """Answer twice, around the library's own check."""
        await interaction.response.send_message("first")
        adapter = interaction.client.http
        route = Route("POST", f"/interactions/{interaction.id}/{interaction.token}/callback")
        try:
            await adapter.request(route, json={"type": 4, "data": {"content": "second"}})
        except discord.HTTPException as exc:
            await interaction.followup.send(f"refused: {exc.status} {exc.code}")

    @app_commands.command()
    async def talk(self, interaction: discord.Interaction, text: str) -> None:
        """Write in the channel, and report what became of it."""
        await interaction.response.defer()
        assert isinstance(interaction.channel, discord.TextChannel)
        try:
            message = await interaction.channel.send(text)
            await message.edit(content=text + "!")
            await message.delete()
        except discord.HTTPException as exc:
            await interaction.followup.send(f"refused: {exc.status} {exc.code}")
        else:
            await interaction.followup.send("written")


def main() -> None:
    """Run until it is stopped."""
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "WARNING"))
    bot = SmallBot(Path(sys.argv[1]))
    bot.run(os.environ["DISCORD_TOKEN"], log_handler=None)


if __name__ == "__main__":
    main()
