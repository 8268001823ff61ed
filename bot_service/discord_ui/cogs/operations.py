"""Commands about the bot: status, settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from discord import Member, Role, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode, is_manager
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import settings_embed, status_embed
from bot_service.discord_ui.replies.errors import explain_failure
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.locales import localised
from bot_service.health import check_all
from bot_service.player.rules.events import SetRules
from common.errors import Locale

_MAX_PER_USER = 500


class OperationCommands(commands.Cog):
    """Commands about the bot itself."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    @app_commands.command(
        name="status", description=localised("Cómo está todo y por qué falló el último tema.", "How everything is.")
    )
    async def status(self, interaction: Interaction) -> None:
        """Show the health of all parts, and the last failed song."""

        async def work(member: Member, locale: Locale) -> Reply:
            checks = (await check_all(self._interactions.services)).checks
            said = {True: texts.STATUS_WELL.to(locale), False: texts.STATUS_DOWN.to(locale)}
            facts = [(texts.STATUS_DISCORD.to(locale), f"{said[True]} · {interaction.client.latency * 1000:.0f} ms")]
            facts += [(texts.STATUS_PARTS[check.part].to(locale), said[check.ok]) for check in checks]
            facts.append((texts.STATUS_LAST_FAILURE.to(locale), self._last_failure(member, locale)))
            return Reply(embed=status_embed(texts.STATUS_TITLE.to(locale), facts), private=True)

        await self._interactions.respond(interaction, "status", work)

    @app_commands.command(
        name="settings",
        description=localised(
            "Ajustes del servidor: verlos, o cambiarlos si lo gestionás.", "Settings of this server."
        ),
    )
    @app_commands.choices(
        language=[
            app_commands.Choice(name=localised("el de cada usuario", "each user's own"), value="auto"),
            app_commands.Choice(name="español", value="es"),
            app_commands.Choice(name="English", value="en"),
        ]
    )
    @app_commands.describe(
        language=localised("Idioma de los mensajes del canal", "Language of messages in the channel"),
        dj_role=localised("Rol que maneja la música", "Role that controls the music"),
        no_dj_role=localised("Que la maneje cualquiera", "Let everybody control it"),
        vote_skip=localised("Votar para saltear", "Vote to skip"),
        per_user=localised("Temas en la cola por persona; 0: sin límite", "Queued songs per person; 0: no limit"),
        fair_queue=localised("Repartir los turnos entre personas", "Take turns between people"),
        stay=localised("Quedarse en el canal 24/7", "Stay in the channel 24/7"),
        resume=localised("Seguir sonando después de un reinicio", "Go on after a restart"),
        announce=localised("Un mensaje nuevo por tema", "A new message for each song"),
    )
    async def settings(  # noqa: PLR0913 - one parameter is one option of the command
        self,
        interaction: Interaction,
        *,
        language: str | None = None,
        dj_role: Role | None = None,
        no_dj_role: bool | None = None,
        vote_skip: bool | None = None,
        per_user: app_commands.Range[int, 0, _MAX_PER_USER] | None = None,
        fair_queue: bool | None = None,
        stay: bool | None = None,
        resume: bool | None = None,
        announce: bool | None = None,
    ) -> None:
        """Show the settings to any member, or change those that are given, for managers."""
        named: dict[str, Any] = {
            "dj_role_id": dj_role.id if dj_role is not None else None,
            "vote_skip": vote_skip,
            "max_per_user": per_user,
            "fair_queue": fair_queue,
            "stay": stay,
            "resume_after_restart": resume,
            "announce": announce,
        }
        changes = {name: value for name, value in named.items() if value is not None}
        if language is not None:
            changes["locale"] = None if language == "auto" else language
        if no_dj_role:
            changes["dj_role_id"] = None

        async def work(member: Member, locale: Locale) -> Reply:
            return await self._change(member, changes, locale)

        await self._interactions.respond(interaction, "settings", work)

    async def _change(self, member: Member, changes: dict[str, Any], locale: Locale) -> Reply:
        store = self._interactions.services.store
        if not changes:
            return Reply(embed=settings_embed(await store.settings(member.guild.id), locale), private=True)
        if not is_manager(member):
            raise BotRefusal(BotRefusalCode.MANAGERS_ONLY)
        rules = await store.settings(member.guild.id)
        rules = replace(rules, **changes)
        await store.save_settings(member.guild.id, rules)
        await self._interactions.player(member).ask(SetRules(rules))
        return Reply(texts.SETTINGS_SAVED.to(locale), embed=settings_embed(rules, locale), private=True)

    def _last_failure(self, member: Member, locale: Locale) -> str:
        failure = self._interactions.failures.get(member.guild.id)
        if failure is None:
            return texts.STATUS_NO_FAILURE.to(locale)
        reason = explain_failure(failure.code, locale)
        return f"{plain(failure.song)}: {reason} (<t:{int(failure.at.timestamp())}:R>)"
