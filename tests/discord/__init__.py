"""A Discord of our own: REST, gateway, voice WebSocket and voice UDP, to which a real bot process talks.

Nothing of the bot or of its library is patched. The bot gets three settings, `discord.environment`: DISCORD_TOKEN,
DISCORD_PROXY (a proxy that leads every host to our TLS port) and SSL_CERT_FILE (our certificate).

    async with open_fake_discord() as discord:
        guild = discord.guild("Casa")                       # has a text channel "general"; guild.me is the bot
        voice, ana = guild.voice_channel("Musica"), guild.member("ana", locale="es-ES")
        ana.join(voice)
        async with a_bot_process(discord.environment):
            played = await ana.slash("music", "play", input="dua lipa")   # waits until the command is registered
            await played.deferred()
            answer = await played.message(lambda message: "Sonando" in message.text)
            packets = await guild.voice.sound(100)          # decrypted RTP packets
            assert_plays(packets, frames_of(path_of_the_dca_file))
            paused = ana.press(answer, "Pausa")             # by label, emoji or custom_id
            guild.voice.close(4006)                         # a fault
            await guild.voice.connected(2)                  # the second voice connection
        assert not discord.problems

- People (`guild.member`): `slash`, `autocomplete`, `press`, `choose`, `fill` (a form), `join`, `leave`, `give`, `take`;
  what Discord would not let them do raises NotOffered.
- `Interaction`: await `event`, `deferred`, `message`, `followup`, `updated`, `offered`, `form`; look at `kinds`,
  `events`, `answered_after`, `in_time`; `expire` ends the token.
- Channels: `next_message(where)`, `now`, `messages`; a `Message` has `text`, `embeds`, `buttons`, `menus`, `pings`,
  `ephemeral`, `versions`, and `until`, `edited`, `gone` to await.
- `guild.voice`: await `packets`, `sound`, `silence`, `connected`, `disconnected`; faults are `close`, `cut`, `lose`,
  `new_server`, `server_lost`; `guild.me.leave()` kicks the bot from voice; also `guild.move_bot`, `channel.delete`.
- `discord.gateway`: faults are `cut`, `close`, `reconnect`, `invalidate`, `forget`, `refuse`, `acknowledge`; await
  `identified`, `resumed`, `disconnected`.
- `discord.rest.faults`: `fail`, `limit` (429), `hang`; also `discord.rest.calls`, `called`.
- `discord.proxy.down()`: an outage of the network, until `up()`.

Every wait is for an event and fails with NotSeen, which tells what there was, after `patience` seconds.

Not here: end-to-end encryption in voice (version 0 is negotiated; a group of one cannot be keyed without Discord's
side), rate limits other than those a test asks for, direct messages, threads, attachments' contents, compression of the
gateway. The 3 seconds for an answer and the 15 minutes of a token are recorded or made to end, never waited for.
"""

from __future__ import annotations

from tests.discord.acting import Member
from tests.discord.bell import NotOffered, NotSeen
from tests.discord.fake import FakeDiscord, open_fake_discord
from tests.discord.interactions import Interaction
from tests.discord.messages import Message
from tests.discord.model import Guild
from tests.discord.places import Channel, Role
from tests.discord.rtp import Packet, assert_plays, assert_stream, frames_of, heard_frames
from tests.discord.voice import VoiceCapture

__all__ = [
    "Channel",
    "FakeDiscord",
    "Guild",
    "Interaction",
    "Member",
    "Message",
    "NotOffered",
    "NotSeen",
    "Packet",
    "Role",
    "VoiceCapture",
    "assert_plays",
    "assert_stream",
    "frames_of",
    "heard_frames",
    "open_fake_discord",
]
