"""What the bot says, in Argentine Spanish and in English. `{…}` are filled with escaped text.

Errors are in `errors`, descriptions of commands in the cogs.
"""

from __future__ import annotations

from bot_service.health import Part
from common.errors import Text

REPLY_REFUSED = Text(
    "⚠️ Discord no aceptó mi respuesta. Mirá cómo quedó todo con «queue» o «status».",
    "⚠️ Discord did not take my reply. See how things stand with “queue” or “status”.",
)
CANNOT_WRITE = Text(
    "⚠️ No puedo mostrar el reproductor en <#{channel}>: dame permiso de «Ver canal», «Enviar mensajes» e «Insertar "
    "enlaces», o pedí los temas desde otro canal. La música sigue igual.",
    "⚠️ I cannot show the player in <#{channel}>: give me “View Channel”, “Send Messages” and “Embed Links”, or ask for "
    "songs in another channel. The music goes on all the same.",
)
SEARCHING = Text("🔎 Buscando {song}…", "🔎 Looking for {song}…")
PLAYING_NOW = Text("▶️ Sonando: {title}", "▶️ Playing: {title}")
ADDED = Text(
    "✅ En la cola, posición {position}: {title}",
    "✅ Queued at position {position}: {title}",
)
READY_BUT_REMOVED = Text(
    "✅ Lista, pero ya no estaba en la cola: {title}", "✅ Ready, but it was no longer queued: {title}"
)
WITHDRAWN = Text(
    "🗑️ {song}: ya no estaba en la cola, así que se canceló la descarga.",
    "🗑️ {song}: it was no longer queued, so the download was cancelled.",
)
PROGRESS = Text("⏳ {song}\n{stage} {bar}", "⏳ {song}\n{stage} {bar}")
ETA = Text("faltan {time}", "{time} left")
STAGES = {
    "resolving": Text("Buscando", "Looking for it"),
    "downloading": Text("Descargando", "Downloading"),
    "encoding": Text("Preparando el audio", "Preparing the sound"),
    "storing": Text("Guardando", "Storing"),
}
LIBRARY_NOT_ASKED = Text(
    "(La biblioteca no responde; el pedido quedó en la cola y se atiende igual.)",
    "(The library does not answer; the request is queued and will be served all the same.)",
)
FAILED = Text("❌ {song}: {reason}", "❌ {song}: {reason}")

PLAYLIST_BEGUN = Text("📜 {title} · temas pedidos: {count}", "📜 {title} · songs asked for: {count}")
PLAYLIST_CUT = Text(
    "La lista tiene {total}: tomé los primeros {count}, que es el máximo.",
    "The playlist has {total}: the first {count} were taken, which is the limit.",
)
PLAYLIST_PROGRESS = Text("📜 {title} · {ready} de {count} listas", "📜 {title} · {ready} of {count} ready")
PLAYLIST_FAILED = Text("Sin conseguir: {failed}. La última:", "Not to be had: {failed}. The last one:")
LEFT_OUT = Text(
    "Quedaron afuera: {count}. La cola está llena o llegaste a tu límite.",
    "Left out: {count}. The queue is full, or you reached your limit.",
)

SKIPPED = Text("⏭️ Salteada: {title}", "⏭️ Skipped: {title}")
NEXT_IS = Text("Ahora suena: {title}", "Now playing: {title}")
ALREADY_SKIPPED = Text("⏭️ Ya se había pasado de tema.", "⏭️ The song had been changed already.")
STALE_BUTTON = Text(
    "Ese botón es de una versión anterior del bot. Usá /{prefix}, por ejemplo /{prefix} playing.",
    "That button is of an older version of the bot. Use /{prefix}, for example /{prefix} playing.",
)
STALE_COMMAND = Text(
    "Ese comando ya no existe o cambió: ahora es /{prefix}. Si no lo ves, reiniciá Discord.",
    "That command is gone or has changed: it is /{prefix} now. If you do not see it, restart Discord.",
)
NOTHING_MORE = Text("No queda nada en la cola.", "Nothing is left in the queue.")
VOTE_CAST = Text("🗳️ Voto anotado: {votes} de {needed} para saltearla.", "🗳️ Vote noted: {votes} of {needed} to skip it.")
STOPPED = Text(
    "⏹️ Listo: paré la música y vacié la cola (temas: {count}).",
    "⏹️ Stopped, and the queue is cleared (songs: {count}).",
)
PAUSED = Text("⏸️ En pausa.", "⏸️ Paused.")
RESUMED = Text("▶️ Seguimos.", "▶️ Going on.")
REMOVED = Text("🗑️ Saqué de la cola: {title}", "🗑️ Removed from the queue: {title}")
MOVED = Text("↕️ {title} pasó a la posición {position}.", "↕️ {title} is at position {position} now.")
SHUFFLED = Text("🔀 Cola mezclada.", "🔀 Queue shuffled.")
CLEARED = Text("🧹 Vacié la cola (temas: {count}).", "🧹 Queue cleared (songs: {count}).")
SOUGHT = Text("⏩ Seguimos desde {time}.", "⏩ Going on from {time}.")
LOOPS = {
    "off": Text("➡️ Sin repetición.", "➡️ Not repeating."),
    "track": Text("🔂 Repito este tema.", "🔂 Repeating this song."),
    "queue": Text("🔁 Repito la cola.", "🔁 Repeating the queue."),
}

QUEUE_TITLE = Text("Cola", "Queue")
QUEUE_EMPTY = Text(
    "La cola está vacía. Agregá algo con /{prefix} play.", "The queue is empty. Add something with /{prefix} play."
)
QUEUE_FOOTER = Text(
    "Página {page} de {pages} · temas: {count} · {time}", "Page {page} of {pages} · songs: {count} · {time}"
)
FETCHING = Text("preparando", "being fetched")
ON_NOW = Text("Sonando ahora", "Playing now")
ON_PAUSE = Text("En pausa", "Paused")
JOINING = Text("Entrando al canal…", "Joining the channel…")
WAITING_TO_JOIN = Text(
    "Esperando turno: Discord deja entrar a pocos canales por minuto, y son muchos a la vez. Ya entro.",
    "Waiting for a turn: Discord lets me join few channels a minute, and there are many at once. I will be there soon.",
)
RECONNECTING = Text("Reconectando…", "Reconnecting…")
NOTHING_ON = Text("No está sonando nada.", "Nothing is playing.")
PLATFORM = Text("Origen", "Source")
REQUESTER = Text("La pidió", "Asked for by")
UP_NEXT = Text("Sigue", "Up next")
NOTHING_NEXT = Text("nada más por ahora", "nothing else for now")
LOOP_FIELD = Text("Repetición", "Repeat")
LOOP_NAMES = {
    "off": Text("no", "off"),
    "track": Text("este tema", "this song"),
    "queue": Text("la cola", "the queue"),
}

SEARCH_TITLE = Text("Resultados para {words}", "Results for {words}")
SEARCH_NOTHING = Text(
    "No encontré nada para {words}. Probá con otras palabras, o pegá el enlace en «play».",
    "Nothing was found for {words}. Try other words, or paste the link into “play”.",
)
SEARCH_PICK = Text("Elegí un tema…", "Pick a song…")
HISTORY_TITLE = Text("Lo último que sonó", "What was played last")
HISTORY_EMPTY = Text("Acá todavía no sonó nada.", "Nothing was played here yet.")
FAVOURITES_TITLE = Text("Tus favoritas", "Your favourites")
FAVOURITES_EMPTY = Text(
    "No tenés favoritas todavía: guardá lo que suena con /{prefix} favorites add.",
    "You have no favourites yet: keep what is playing with /{prefix} favorites add.",
)
FAVOURITE_ADDED = Text("⭐ Guardada en tus favoritas: {title}", "⭐ Kept among your favourites: {title}")
FAVOURITE_KNOWN = Text("⭐ Ya estaba en tus favoritas: {title}", "⭐ It already is one of your favourites: {title}")
FAVOURITE_REMOVED = Text("Saqué de tus favoritas: {title}", "Removed from your favourites: {title}")
FAVOURITES_QUEUED = Text("⭐ Favoritas en la cola: {count}.", "⭐ Favourites queued: {count}.")
MORE = Text("… y {count} más", "… and {count} more")

STATUS_TITLE = Text("Estado", "Status")
STATUS_WELL = Text("✅ funciona", "✅ works")
STATUS_DOWN = Text("❌ no responde", "❌ does not answer")
STATUS_DISCORD = Text("Discord", "Discord")
STATUS_PARTS = {
    Part.AUDIO_SERVICE: Text("Servicio de audio", "Audio service"),
    Part.BROKER: Text("Cola de pedidos", "Request queue"),
    Part.STORE: Text("Base del bot", "Bot's database"),
    Part.BLOBS: Text("Archivos", "Files"),
}
STATUS_WAITING = Text("Pedidos en camino", "Requests under way")
STATUS_LAST_FAILURE = Text("Último tema que falló", "Last song that failed")
STATUS_NO_FAILURE = Text("ninguno desde que arrancó el bot", "none since the bot started")

SETTINGS_TITLE = Text("Ajustes de este servidor", "Settings of this server")
SETTINGS_SAVED = Text("Ajustes guardados.", "Settings saved.")
YES = Text("sí", "yes")
NO = Text("no", "no")
EVERYBODY = Text("todos", "everybody")
NO_LIMIT = Text("sin límite", "no limit")
OF_EACH_USER = Text("el de cada usuario", "each user's own")
LANGUAGES = {"es": "español", "en": "English"}
SETTING_NAMES = {
    "locale": Text("Idioma", "Language"),
    "dj_role_id": Text("Rol de DJ", "DJ role"),
    "vote_skip": Text("Votar para saltear", "Vote to skip"),
    "max_per_user": Text("Temas por persona", "Songs per person"),
    "fair_queue": Text("Cola justa (por turnos)", "Fair queue (in turns)"),
    "stay": Text("Quedarse 24/7", "Stay 24/7"),
    "resume_after_restart": Text("Seguir después de reiniciar", "Go on after a restart"),
    "announce": Text("Anunciar cada tema", "Announce each song"),
}

NOTICES = {
    "song_failed": Text("⚠️ No se pudo reproducir {title}: {reason}", "⚠️ {title} could not be played: {reason}"),
    "too_many_failures": Text(
        "⚠️ Fallaron varios temas seguidos, así que paré: {reason} La cola sigue guardada; probá con «resume».",
        "⚠️ Several songs failed in a row, so I stopped: {reason} The queue is kept; try “resume”.",
    ),
    "voice_failed": Text(
        "⚠️ No pude quedarme en el canal de voz: {reason} La cola sigue guardada; seguí con «resume».",
        "⚠️ I could not stay in the voice channel: {reason} The queue is kept; go on with “resume”.",
    ),
    "kicked": Text(
        "👋 Me sacaron del canal de voz: paré y vacié la cola.",
        "👋 I was disconnected from the voice channel: stopped, queue cleared.",
    ),
    "channel_deleted": Text(
        "👋 Borraron el canal de voz: paré y vacié la cola.",
        "👋 The voice channel was deleted: stopped, queue cleared.",
    ),
    "left_alone": Text(
        "👋 Me quedé sin nadie en el canal, así que me fui.", "👋 Nobody was left in the channel, so I left."
    ),
    "left_idle": Text(
        "👋 Hace rato que no suena nada, así que me fui.", "👋 Nothing was played for a while, so I left."
    ),
    "silenced": Text(
        "⏸️ Pausé {title}: {reason} Después sigo por mi cuenta.",
        "⏸️ I paused {title}: {reason} After that I go on by myself.",
    ),
    "restored": Text("🔄 Me reinicié; sigo donde estaba.", "🔄 I was restarted and go on where I was."),
}

# By the `Silence` of the player. "audience" and "invited" last a moment and are not told.
SILENCES = {
    "muted": Text("un moderador me silenció. Pedí que lo deshagan.", "a moderator muted me. Ask to undo it."),
    "deafened": Text("un moderador me ensordeció. Pedí que lo deshagan.", "a moderator deafened me. Ask to undo it."),
    "may_not_speak": Text(
        "no tengo permiso para hablar en este canal. Pedí que me den «Hablar».",
        "I may not speak in this channel. Ask for the “Speak” permission for me.",
    ),
    "asked": Text(
        "estoy entre el público y pedí la palabra. Un moderador del escenario tiene que aceptarme.",
        "I am in the audience and asked to speak. A moderator of the stage has to accept me.",
    ),
    "sent_down": Text(
        "un moderador me pasó al público. Pedí que me inviten a hablar.",
        "a moderator moved me to the audience. Ask to invite me to speak.",
    ),
    "refused": Text(
        "estoy entre el público y no puedo pedir la palabra. Pedí que me inviten a hablar.",
        "I am in the audience and cannot ask to speak. Ask to invite me to speak.",
    ),
}

VOICE_LOST = Text(
    "la conexión se cortó varias veces. Probá en un rato.", "the connection broke several times. Try again in a while."
)
# By the cause of VoiceLost: a reason, or Discord's close code (developers documentation, "Opcodes and Status Codes").
VOICE_CAUSES = {
    "forbidden": Text(
        "no tengo permiso para entrar o hablar ahí. Pedí que me lo den.",
        "I may not connect or speak there. Ask for the permission.",
    ),
    "afk_channel": Text(
        "en el canal de ausentes no se escucha a nadie. Probá desde otro.",
        "members cannot be heard in the AFK channel. Try from another one.",
    ),
    "channel_full": Text("el canal está lleno. Hacé lugar.", "the channel is full. Make room."),
    "timeout": Text(
        "Discord no respondió a tiempo. Probá en un rato.", "Discord did not answer. Try again in a while."
    ),
    "stalled": Text("no salía ningún sonido. Probá en un rato.", "no sound went out. Try again in a while."),
    "4017": Text(
        "Discord exige cifrado de extremo a extremo y no lo acordamos. Avisale a quien administra el bot.",
        "Discord demands end-to-end encryption, and we did not agree on it. Tell whoever runs the bot.",
    ),
    "4021": Text(
        "Discord me cortó por llegar a un límite de uso. Esperá unos minutos.",
        "Discord cut me off for reaching a rate limit. Wait some minutes.",
    ),
    "4022": Text("Discord terminó la llamada. Volvé a empezarla.", "Discord ended the call. Start it again."),
}
