"""Words for errors and refusals: what happened, and what the user can do. A test proves them complete.

Three families: errors of `common.errors` by code, refusals of the player, refusals of the bot.
"""

from __future__ import annotations

from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies.texts import SILENCES, VOICE_CAUSES, VOICE_LOST
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from bot_service.requests.entries import TIMED_OUT
from common.errors import AppError, Locale, Text, error_for_code

# Replaces the error's own message, which is a contract of the HTTP API, where that says too little to a user.
HAPPENED: dict[str, Text] = {
    "media_not_found": Text("No encontré ese tema.", "That song was not found."),
}

ADVICE: dict[str, Text] = {
    "invalid_input": Text(
        "Escribí el nombre de un tema o pegá su enlace completo.", "Type a song's name or paste its whole link."
    ),
    "invalid_video_id": Text(
        "Revisá el enlace, o buscá el tema por su nombre.", "Check the link, or search by the song's name."
    ),
    "invalid_message": Text(
        "Si se repite, avisale a quien administra el bot.", "If it happens again, tell whoever runs the bot."
    ),
    "provider_not_found": Text("Probá con un enlace de YouTube o con el nombre.", "Try a YouTube link or the name."),
    "url_not_allowed": Text("Probá con otro enlace o con el nombre del tema.", "Try another link or the song's name."),
    "file_not_allowed": Text("Subí un archivo de audio.", "Upload an audio file."),
    "file_corrupt": Text("Probá subirlo otra vez.", "Try to upload it again."),
    "upload_missing": Text("Subilo de nuevo.", "Upload it again."),
    "upload_mismatch": Text("Subilo de nuevo.", "Upload it again."),
    "upload_refused": Text("Empezá la subida otra vez.", "Begin the upload again."),
    "upload_too_large": Text("Subí uno más liviano.", "Upload a smaller one."),
    "quota_exceeded": Text("Probá más tarde.", "Try later."),
    "asset_not_found": Text("Revisá el enlace.", "Check the link."),
    "media_not_found": Text(
        "Revisá el enlace, o probá con otras palabras, por ejemplo artista y tema.",
        "Check the link, or try other words, for example artist and title.",
    ),
    "media_too_long": Text("Buscá una versión más corta.", "Look for a shorter version."),
    "media_too_large": Text("Buscá otra versión más liviana.", "Look for a smaller version."),
    "media_live": Text(
        "Pedilo cuando haya terminado, o elegí una grabación.", "Ask once it is over, or pick a recording."
    ),
    "media_private": Text("Elegí otra versión que sea pública.", "Pick another version that is public."),
    "media_removed": Text("Buscá otra versión con «search».", "Look for another version with “search”."),
    "media_region_locked": Text("Buscá otra versión con «search».", "Look for another version with “search”."),
    "media_age_restricted": Text(
        "Buscá otra versión, o pedile a quien administra el bot que configure cookies.",
        "Look for another version, or ask whoever runs the bot to set up cookies.",
    ),
    "media_unsupported": Text("Probá con un enlace a un tema o video.", "Try a link to a song or a video."),
    "media_encrypted": Text("Buscá otra versión con «search».", "Look for another version with “search”."),
    "media_corrupt": Text("Buscá otra versión con «search».", "Look for another version with “search”."),
    "source_auth_required": Text(
        "Quien administra el bot puede configurar cookies; mientras tanto, buscá otra versión.",
        "Whoever runs the bot can set up cookies; until then, look for another version.",
    ),
    "source_forbidden": Text("Buscá otra versión con «search».", "Look for another version with “search”."),
    "source_truncated": Text(
        "Si vuelve a pasar, buscá otra versión con «search».",
        "If it happens again, look for another version with “search”.",
    ),
    "source_unavailable": Text(
        "Mientras tanto, lo que ya está en la biblioteca suena igual.",
        "Until then, what is in the library already still plays.",
    ),
    "search_video_id_failed": Text("También podés pegar el enlace.", "You can also paste the link."),
    "get_media_details_failed": Text("También podés elegir otra versión.", "You can also pick another version."),
    "youtube_api_error": Text(
        "Probá en un rato, o pegá el enlace directo.", "Try again in a while, or paste the direct link."
    ),
    "processing_crashed": Text("Probá otra vez, o con otra versión.", "Try again, or with another version."),
    "processing_timeout": Text("Probá otra vez, o con una versión más corta.", "Try again, or a shorter version."),
    "processing_limit": Text("Buscá una versión más corta.", "Look for a shorter version."),
    "storage_full": Text(
        "Avisale a quien administra el bot: hay que liberar espacio.", "Tell whoever runs the bot: space must be freed."
    ),
    "storage_unavailable": Text(
        "Probá en un rato; si sigue, avisale a quien administra el bot.",
        "Try again in a while; if it stays so, tell whoever runs the bot.",
    ),
    "blob_not_found": Text(
        "Pedilo otra vez con «play» y se descarga de nuevo.", "Ask again with “play” to fetch it anew."
    ),
    "unauthorized": Text("Avisale a quien administra el bot.", "Tell whoever runs the bot."),
    "forbidden": Text("Avisale a quien administra el bot.", "Tell whoever runs the bot."),
    "rate_limited": Text("Probá en un minuto.", "Try again in a minute."),
    "access_unavailable": Text(
        "Si sigue así, avisale a quien administra el bot.", "If it stays like that, tell whoever runs the bot."
    ),
    "audio_service_unavailable": Text(
        "Probá en un rato; lo que ya está en la cola sigue sonando.",
        "Try again in a while; what is queued keeps playing.",
    ),
    "db_connection_failed": Text(
        "Probá en un rato; si sigue, avisale a quien administra el bot.",
        "Try again in a while; if it stays so, tell whoever runs the bot.",
    ),
    "duplicate_record": Text("Pedilo con «play» y suena.", "Ask for it with “play” and it plays."),
    "lease_lost": Text("Pedilo otra vez con «play».", "Ask for it again with “play”."),
    "broker_unavailable": Text(
        "Si sigue, avisale a quien administra el bot.", "If it stays so, tell whoever runs the bot."
    ),
    "queue_unavailable": Text("Probá de nuevo en un minuto.", "Try again in a minute."),
    "queue_full": Text("Mientras tanto, elegí algo de la biblioteca.", "Until then, pick something from the library."),
    "message_too_large": Text("Pegá un enlace más corto o el nombre.", "Paste a shorter link, or the name."),
    "misconfigured": Text("Avisale a quien administra el bot.", "Tell whoever runs the bot."),
    "internal_error": Text(
        "Si se repite, avisale a quien administra el bot.", "If it happens again, tell whoever runs the bot."
    ),
}

REFUSALS: dict[RefusalCode | BotRefusalCode, Text] = {
    RefusalCode.NOTHING_PLAYING: Text(
        "No está sonando nada. Poné algo con «play».", "Nothing is playing. Start something with “play”."
    ),
    RefusalCode.ALREADY_PAUSED: Text("Ya está en pausa. Seguí con «resume».", "It is paused already. Use “resume”."),
    RefusalCode.NOT_PAUSED: Text("No está en pausa: ya está sonando.", "It is not paused: it is playing already."),
    RefusalCode.SILENCED: Text(
        "Acá no me dejan hablar; cuando un moderador me deje, sigo por mi cuenta.",
        "I am not allowed to speak here; I go on by myself once a moderator lets me.",
    ),
    RefusalCode.NO_SUCH_POSITION: Text(
        "No hay nada en esa posición. Mirá los números con «queue».",
        "There is nothing at that position. See the numbers with “queue”.",
    ),
    RefusalCode.STILL_FETCHING: Text(
        "Ese tema todavía se está preparando. Esperá un momento.", "That song is still being fetched. Wait a moment."
    ),
    RefusalCode.QUEUE_FULL: Text(
        "La cola está llena. Esperá a que avance, o sacá algo con «remove».",
        "The queue is full. Wait until it moves on, or take something out with “remove”.",
    ),
    RefusalCode.QUEUE_EMPTY: Text(
        "La cola está vacía. Agregá algo con «play».", "The queue is empty. Add something with “play”."
    ),
    RefusalCode.TOO_MANY_OF_YOURS: Text(
        "Llegaste al máximo de temas por persona. Esperá a que suene alguno.",
        "You reached the limit of songs per person. Wait until one was played.",
    ),
    RefusalCode.OTHER_CHANNEL: Text(
        "Estoy sonando en otro canal de voz. Entrá ahí, o esperá a que termine.",
        "I am playing in another voice channel. Join it, or wait until it is over.",
    ),
    RefusalCode.NO_CHANNEL: Text(
        "No estoy en ningún canal de voz. Poné algo con «play» y entro al tuyo.",
        "I am in no voice channel. Play something with “play” and I join yours.",
    ),
    RefusalCode.CANNOT_SEEK: Text(
        "No puedo ir a ese momento: está fuera del tema. Mirá cuánto dura con «playing».",
        "I cannot go there: it is outside of the song. See its length with “playing”.",
    ),
    RefusalCode.NOTHING_BEFORE: Text(
        "No hay un tema anterior. Mirá lo que sonó con «history».",
        "There is no song before this one. See what was played with “history”.",
    ),
    RefusalCode.SHUTTING_DOWN: Text(
        "El bot se está reiniciando. Probá en un minuto.", "The bot is restarting. Try again in a minute."
    ),
    BotRefusalCode.NOT_IN_GUILD: Text(
        "Solo funciono dentro de un servidor. Usá el comando ahí.",
        "I only work inside a server. Use the command there.",
    ),
    BotRefusalCode.NOT_IN_VOICE: Text(
        "No estás en un canal de voz. Entrá a uno y probá otra vez.",
        "You are not in a voice channel. Join one and try again.",
    ),
    BotRefusalCode.IN_OTHER_VOICE: Text(
        "Estoy en otro canal de voz. Entrá a ese canal para manejar la música.",
        "I am in another voice channel. Join that one to control the music.",
    ),
    BotRefusalCode.CANNOT_SEE: Text(
        "No puedo ver tu canal de voz. Pedí que me den permiso de «Ver canal».",
        "I cannot see your voice channel. Ask for the “View Channel” permission for me.",
    ),
    BotRefusalCode.CANNOT_CONNECT: Text(
        "No tengo permiso para entrar a tu canal de voz. Pedí que me den «Conectar».",
        "I may not join your voice channel. Ask for the “Connect” permission for me.",
    ),
    BotRefusalCode.CANNOT_SPEAK: Text(
        "No tengo permiso para hablar en tu canal de voz. Pedí que me den «Hablar».",
        "I may not speak in your voice channel. Ask for the “Speak” permission for me.",
    ),
    BotRefusalCode.CANNOT_ASK_TO_SPEAK: Text(
        "No puedo hablar ni pedir la palabra en tu canal de escenario. Pedí que me den «Solicitar hablar».",
        "I may neither speak nor ask to in your stage channel. Ask for the “Request to Speak” permission for me.",
    ),
    BotRefusalCode.AFK_CHANNEL: Text(
        "En el canal de ausentes no se escucha a nadie. Entrá a otro y probá otra vez.",
        "Members cannot be heard in the AFK channel. Join another one and try again.",
    ),
    BotRefusalCode.CHANNEL_FULL: Text(
        "Tu canal de voz está lleno. Hacé lugar, o probá desde otro.",
        "Your voice channel is full. Make room, or try from another one.",
    ),
    BotRefusalCode.DJ_ONLY: Text(
        "Acá eso lo maneja quien tiene el rol de DJ. Pedíselo a alguien con ese rol.",
        "Here that is up to people with the DJ role. Ask one of them.",
    ),
    BotRefusalCode.VOTE_FIRST: Text(
        "Acá se vota para cambiar de tema, y hay uno que pidió otra persona. Votá con «skip».",
        "Here a change of song is voted on, and somebody else asked for one of these. Vote with “skip”.",
    ),
    BotRefusalCode.MANAGERS_ONLY: Text(
        "Los ajustes los cambia quien puede gestionar el servidor. Pedíselo a alguien con ese permiso.",
        "Settings are changed by people who may manage the server. Ask one of them.",
    ),
    BotRefusalCode.BAD_TIME: Text(
        "No entiendo ese momento. Escribilo como 1:23, 83 o 1m23s.", "I cannot read that time. Write 1:23, 83 or 1m23s."
    ),
    BotRefusalCode.NO_FAVOURITES: Text(
        "Todavía no tenés favoritas. Guardá lo que suena con «favorites add».",
        "You have no favourites yet. Keep what is playing with “favorites add”.",
    ),
    BotRefusalCode.NO_SUCH_FAVOURITE: Text(
        "Esa favorita no existe. Mirá los números con «favorites list».",
        "There is no such favourite. See the numbers with “favorites list”.",
    ),
    BotRefusalCode.FAVOURITES_FULL: Text(
        "Llegaste al máximo de favoritas. Sacá alguna con «favorites remove».",
        "You have as many favourites as there may be. Remove one with “favorites remove”.",
    ),
    BotRefusalCode.STARTING: Text(
        "Recién arranco. Probá otra vez en unos segundos.", "I am just starting. Try again in some seconds."
    ),
}

REQUEST_TIMED_OUT = Text(
    "Nadie respondió el pedido a tiempo. Pedilo otra vez; si se repite, mirá «status».",
    "The request was not answered in time. Ask again; if it happens again, see “status”.",
)


def explain(error: BaseException, locale: Locale) -> str:
    """Return what happened and what to do. An unknown exception is an internal error, without details."""
    if isinstance(error, (PlayerRefusal, BotRefusal)):
        return REFUSALS[error.code].to(locale)
    return explain_code(error.code if isinstance(error, AppError) else "internal_error", locale)


def explain_code(code: str, locale: Locale) -> str:
    """Return what an error code means, and what to do."""
    error = error_for_code(code)
    happened = HAPPENED[error.code].to(locale) if error.code in HAPPENED else error.message(locale).rstrip()
    happened = happened if happened.endswith((".", "!", "?")) else f"{happened}."
    return f"{happened} {ADVICE[error.code].to(locale)}"


def explain_failure(code: str, locale: Locale) -> str:
    """Return why a request failed: by its error code, or TIMED_OUT."""
    if code == TIMED_OUT:
        return REQUEST_TIMED_OUT.to(locale)
    return explain_code(code, locale)


def explain_voice(cause: str, locale: Locale) -> str:
    """Return why the voice connection was given up, by the cause of VoiceLost."""
    return VOICE_CAUSES.get(cause, VOICE_LOST).to(locale)


def explain_silence(reason: str, locale: Locale) -> str:
    """Return why the bot is not heard in its channel, and what to do."""
    return SILENCES[reason].to(locale)
