"""Every sentence of the command line, in Argentine Spanish and in English; LOCALE chooses.

The help of the commands is in help.py. Sentences about a failed request come from `common.errors`, or from the status
event.
"""

from __future__ import annotations

from common.errors import Locale, Text
from common.messages.downloads import DownloadStage


def say(text: Text, locale: Locale, /, **values: object) -> str:
    """Return a sentence in the locale, with its `{names}` filled in."""
    sentence = text.es if locale == "es" else text.en
    return sentence.format(**values) if values else sentence


STAGES: dict[DownloadStage, Text] = {
    "resolving": Text("Buscando", "Looking it up"),
    "downloading": Text("Descargando", "Downloading"),
    "encoding": Text("Codificando", "Encoding"),
    "storing": Text("Guardando", "Storing"),
}
WAITING = Text("En la cola", "Queued")
PLAYABLE = Text("ya se puede escuchar", "can be heard already")

# request
ASKING = Text("Pidiendo: {song}", "Asking for: {song}")
NO_CONSUMER = Text(
    "Nadie está atendiendo la cola: no hay un servicio de audio en {url}. El pedido queda esperando; levantalo con "
    "`butakero up` en otra terminal.",
    "Nobody is consuming the queue: no audio service answers at {url}. The request stays there; start it with "
    "`butakero up` in another terminal.",
)
TIMED_OUT = Text(
    "Pasaron {seconds} s sin respuesta. El pedido {request_id} sigue en la cola: mirá más tarde con "
    "`butakero library list`, o volvé a pedirlo (no se descarga dos veces).",
    "{seconds} s went by without an answer. Request {request_id} stays in the queue: look later with "
    "`butakero library list`, or ask again (nothing is downloaded twice).",
)
STOPPED_WAITING = Text(
    "Dejé de esperar. El pedido sigue su curso: mirá más tarde con `butakero library list`.",
    "Stopped waiting. The request goes on: look later with `butakero library list`.",
)
FAILED = Text("No se pudo: {message} ({code})", "It failed: {message} ({code})")
READY = Text("Listo: {title}", "Ready: {title}")
ALREADY_THERE = Text("Ya estaba en la biblioteca: {title}", "It was in the library already: {title}")
ELAPSED = Text("{seconds:.1f} s", "{seconds:.1f} s")
EMPTY_SONG = Text("Falta decir qué tema: un nombre o un enlace.", "Say which song: a name or a URL.")

# Labels of facts
TITLE = Text("Título", "Title")
DURATION = Text("Duración", "Duration")
SIZE = Text("Tamaño", "Size")
PLATFORM = Text("Plataforma", "Platform")
MADE = Text("Cómo se hizo", "How it was made")
PATH = Text("Archivo", "File")
STATUS = Text("Estado", "Status")
PLAYS = Text("Veces", "Plays")
DATE = Text("Fecha", "Date")
FORMAT = Text("Formato", "Format")
FRAMES = Text("Cuadros", "Frames")
BITRATE = Text("Tasa promedio", "Average bitrate")
CHANNELS = Text("Canales", "Channels")
ORIGIN = Text("Origen", "Origin")
TOOL = Text("Programa", "Tool")
DAMAGE = Text("Primer daño", "First damage")
NO_DAMAGE = Text("ninguno", "none")
DAMAGE_AT = Text("en el byte {offset}", "at byte {offset}")
POSITION = Text("Posición", "Position")
ERROR = Text("Error", "Error")
KEY = Text("Clave", "Key")
ATTEMPT = Text("Intento", "Attempt")
HEADERS = Text("Encabezados", "Headers")
BODY = Text("Cuerpo", "Body")

ENCODINGS: dict[str, Text] = {
    "passthrough": Text("paquetes Opus copiados", "Opus packets copied"),
    "repacketised": Text("paquetes Opus reagrupados, sin recodificar", "Opus packets regrouped, not re-encoded"),
    "transcoded": Text("recodificado a Opus", "re-encoded to Opus"),
}

# up
STARTING = Text("Arrancando el servicio de audio…", "Starting the audio service…")
RUNNING = Text("El servicio de audio está andando.", "The audio service is running.")
PORT_IN_USE = Text(
    "El puerto {port} de {host} ya está en uso: elegí otro con HTTP_PORT (o `butakero up --port N`).",
    "Port {port} on {host} is in use: choose another with HTTP_PORT (or `butakero up --port N`).",
)
HOST_UNUSABLE = Text(
    "No se puede escuchar en {host}:{port} ({reason}): revisá HTTP_HOST y HTTP_PORT.",
    "Cannot listen on {host}:{port} ({reason}): check HTTP_HOST and HTTP_PORT.",
)
DIED_AT_START = Text(
    "El servicio de audio no arrancó (código {code}). Lo último que dijo:",
    "The audio service did not start (exit code {code}). The last it said:",
)
STUCK_AT_START = Text(
    "El servicio de audio no estuvo listo en {seconds:.0f} s. Lo último que dijo:",
    "The audio service was not ready within {seconds:.0f} s. The last it said:",
)
CRASHED = Text(
    "El servicio de audio se cortó (código {code}). Lo último que dijo:",
    "The audio service ended by itself (exit code {code}). The last it said:",
)
SAID_NOTHING = Text("(nada)", "(nothing)")
LOGS_AT = Text("Registro completo: {path}", "Full log: {path}")
STOPPING = Text("Parando: termino lo que está en curso…", "Stopping: finishing what is under way…")
STOPPED = Text("El servicio de audio se detuvo.", "The audio service has stopped.")
KILLED = Text(
    "El servicio de audio no se detuvo a tiempo y hubo que cortarlo; lo pendiente sigue en la cola.",
    "The audio service did not stop in time and was killed; what was pending is still in the queue.",
)
TRY_IT = Text("Para pedir un tema, en otra terminal: {command}", "To ask for a song, in another terminal: {command}")
PRESS_CTRL_C = Text("Ctrl-C para detenerlo.", "Ctrl-C stops it.")
DEMO_SONG = Text(
    "Hay un tema corto de prueba en {url}: voy a pedirlo como lo haría un usuario.",
    "A short test song is at {url}: it will be asked for as a user would.",
)
ANSWER = Text("Lo que responde GET {path}:", "What GET {path} answers:")
NO_ANSWER = Text("GET {path} no respondió lo esperado ({reason}).", "GET {path} did not answer as expected ({reason}).")
DEMO_FAILED = Text("El servicio sigue andando: podés probar con otro.", "The service stays up: try another one.")
PAGE = Text("Página", "Page")
CHAT = Text("Mensajes de audio", "Audio messages")
API = Text("API", "API")
DOCS = Text("Documentación", "Docs")
HEALTH = Text("Salud", "Health")
METRICS = Text("Métricas", "Metrics")
LOGS = Text("Registro", "Logs")
BOT = Text("Bot de Discord", "Discord bot")
BOT_STARTING = Text("arrancando; registro en {path}", "starting; logs in {path}")
BOT_RUNNING = Text("andando, conectado a Discord", "running, connected to Discord")
BOT_AWAY = Text(
    "sin conexión con Discord, o sin su base de datos; sigue intentando (ver {path})",
    "no connection to Discord, or none to its database; it goes on trying (see {path})",
)
BOT_PORT_UNUSABLE = Text(
    "El bot de Discord no arranca: no se puede escuchar en {host}:{port} ({reason}); ¿hay otro andando? Elegí otro con "
    "BOT_HTTP_PORT.",
    "The Discord bot does not start: cannot listen on {host}:{port} ({reason}); does another one run? Choose another "
    "with BOT_HTTP_PORT.",
)
BOT_DIED = Text(
    "El bot de Discord terminó (código {code}); el servicio de audio sigue. Lo último que dijo:",
    "The Discord bot ended (code {code}); the audio service goes on. The last it said:",
)

# inspect
NOT_DCA = Text("{path}: no es un archivo DCA ({reason}).", "{path}: not a DCA file ({reason}).")
UNREADABLE = Text("{path}: no se puede leer ({reason}).", "{path}: cannot be read ({reason}).")
DAMAGED = Text(
    "archivo dañado: {reason}; los {frames} cuadros anteriores se leen bien",
    "damaged file: {reason}; the {frames} frames before that read well",
)

# library
LIBRARY_EMPTY = Text(
    "La biblioteca está vacía: pedí algo con `butakero request '…'`.",
    "The library is empty: ask for something with `butakero request '…'`.",
)
NO_LIBRARY = Text(
    "No hay una biblioteca en {path}. Se lee la de la carpeta donde se trabaja: andá a la de `make run`, o decí "
    "SQLITE_PATH.",
    "There is no library at {path}. The working directory's one is read: go to that of `make run`, or set SQLITE_PATH.",
)
NO_QUEUE = Text(
    "No hay una cola en {path}. Se lee la de la carpeta donde se trabaja: andá a la de `make run`, o decí "
    "EMBEDDED_BROKER_PATH.",
    "There is no queue at {path}. The working directory's one is read: go to that of `make run`, or set "
    "EMBEDDED_BROKER_PATH.",
)
NOTHING_FOUND = Text("No hay nada con «{text}».", 'Nothing matches "{text}".')
SEARCH_TOO_SHORT = Text(
    "Buscá con al menos {least} letras o números.", "Search with at least {least} letters or digits."
)
MORE = Text("Hay más: subí --limit o usá --all.", "There are more: raise --limit or use --all.")

# import
IMPORT_USAGE = Text(
    "Decí dónde están los temas, --files DIR o --bucket NOMBRE, uno de los dos; y --map como VIEJO=NUEVO.",
    "Say where its songs are, --files DIR or --bucket NAME, one of them; and --map as OLD=NEW.",
)
NO_FOLDER = Text("No hay una carpeta en {path}.", "There is no folder at {path}.")
IMPORTING = Text("Importando", "Importing")
IMPORT_DRY = Text("Fue una prueba: no se escribió nada.", "This was a dry run: nothing was written.")
IMPORT_COUNT = Text("{count:>7}  {what}", "{count:>7}  {what}")
IMPORT_LEFT_OUT = Text("{media_id}  {title}: {why} ({detail})", "{media_id}  {title}: {why} ({detail})")
IMPORT_OUTCOMES = {
    "imported": Text("importados", "imported"),
    "present": Text("ya estaban", "here already"),
    "unfinished": Text("sin terminar en el original", "not finished in the original"),
    "unreadable": Text("registro ilegible", "unreadable record"),
    "file_missing": Text("falta el archivo", "file missing"),
    "file_damaged": Text("archivo dañado", "damaged file"),
    "other_duration": Text("el archivo es de otro tema: dura otra cosa", "another song's file: its duration differs"),
}

# dlq
DLQ_EMPTY = Text("No hay mensajes muertos en {topic}.", "No dead letters in {topic}.")
DLQ_UNKNOWN = Text(
    "En {topic} no queda ningún mensaje en la posición {position}; `butakero dlq list` muestra los que hay.",
    "{topic} has no message left at position {position}; `butakero dlq list` shows what there is.",
)
DLQ_WHICH = Text(
    "Decí qué mensaje (su posición, ver `butakero dlq list`) o --all.",
    "Say which message (its position, see `butakero dlq list`) or --all.",
)
REPLAYED = Text("{position} → {topic}", "{position} → {topic}")
REPLAYED_COUNT = Text("Reenviados: {count}.", "Replayed: {count}.")

# keys
KEY_NAME = Text("Nombre", "Name")
KEY_NAME_WRONG = Text("Falta el nombre: hasta {most} caracteres.", "A name is needed: up to {most} characters.")
KEY_SCOPES = Text("Permisos", "Scopes")
KEY_CREATED = Text("Creada", "Created")
KEY_EXPIRES = Text("Vence", "Expires")
KEY_NEVER = Text("nunca", "never")
KEY_STATES = {
    "valid": Text("válida", "valid"),
    "expired": Text("vencida", "expired"),
    "revoked": Text("revocada", "revoked"),
}
KEY_IS = Text(
    "Es la clave {id} de {path}. Guardala ahora: no se puede volver a mostrar.",
    "That is key {id} of {path}. Keep it now: it cannot be shown again.",
)
KEY_REVOKED = Text("La clave {id} ya no sirve.", "Key {id} is of no use any more.")
KEY_UNKNOWN = Text("No hay una clave {id} en {path}.", "There is no key {id} in {path}.")
KEYS_EMPTY = Text("No hay claves en {path}.", "There are no keys in {path}.")
KEYS_FULL = Text(
    "El archivo ya tiene {most} claves: sacá las que no sirvan.", "The file has {most} keys already: remove old ones."
)
KEYS_NO_FILE = Text(
    "Falta decir dónde están las claves: API_KEYS_FILE o --file.", "Say where the keys are: API_KEYS_FILE or --file."
)

# OSError
SYSTEM_REFUSED = Text("El sistema no lo permite: {reason}.", "The system does not allow it: {reason}.")
