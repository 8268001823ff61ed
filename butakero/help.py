"""The help and the usage errors in Spanish. The English is at the commands, in commands.py, and is the key here."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from common.errors import Locale

SPANISH: Mapping[str, str] = {
    "A music system for Discord: ask for songs, look at what was made of them.": (
        "Un sistema de música para Discord: pedí temas y mirá qué se hizo con ellos."
    ),
    "Print the version and exit.": "Muestra la versión y termina.",
    "What the library holds.": "Lo que hay en la biblioteca.",
    "Dead letters: messages that were given up.": "Mensajes muertos: los que se dieron por perdidos.",
    "API keys: who may use the HTTP API.": "Claves de la API: quién puede usar la API HTTP.",
    "At most so many.": "Cuántos como máximo.",
    "The topic they came from. [default: download requests]": (
        "El tópico del que vinieron. [por omisión: pedidos de descarga]"
    ),
    "Instead of API_KEYS_FILE.": "En lugar de API_KEYS_FILE.",
    "As `dlq list` shows it.": "Como la muestra `dlq list`.",
    "Make a short song, serve it here and ask for it.": "Hace un tema corto, lo sirve acá y lo pide.",
    "Ask for this song once the service is ready.": "Pide este tema cuando el servicio esté listo.",
    "Instead of HTTP_PORT; 0: any free one.": "En lugar de HTTP_PORT; 0: cualquiera libre.",
    "Seconds until a stuck start is given up.": "Segundos hasta abandonar un arranque trabado.",
    "Start the audio service on this machine; Ctrl-C stops it.\n\n"
    "Exit codes: 0 stopped by a signal; 1 the port is taken or the start got stuck; else the service's own.": (
        "Arranca el servicio de audio en esta máquina; Ctrl-C lo detiene.\n\n"
        "Códigos de salida: 0 lo detuvo una señal; 1 el puerto está ocupado o el arranque se trabó; si no, el del "
        "servicio."
    ),
    "mongodb://HOST/DATABASE/COLLECTION or dynamodb:TABLE.": "mongodb://HOST/BASE/COLECCIÓN o dynamodb:TABLA.",
    "The folder that holds its songs.": "La carpeta donde están sus temas.",
    "The bucket that holds its songs, in place of DIR.": "El bucket donde están sus temas, en lugar de DIR.",
    "Paths that begin with OLD are looked up below NEW.": "Las rutas que empiezan con OLD se buscan bajo NEW.",
    "Read and prove everything, and write nothing.": "Lee y verifica todo, y no escribe nada.",
    "Move the library of the original bot into this one. It may be repeated; the original stays as it is.\n\n"
    "Exit codes: 0 all of its songs are here; 1 some were left out, each with its reason; 2 wrong usage.": (
        "Trae la biblioteca del bot original a esta. Se puede repetir; la original queda como está.\n\n"
        "Códigos de salida: 0 están todos sus temas; 1 algunos quedaron afuera, cada uno con su motivo; 2 "
        "uso incorrecto."
    ),
    "A name or a URL.": "Un nombre o un enlace.",
    "Who is to provide it.": "Quién lo provee.",
    "Seconds to wait for the answer.": "Segundos que se espera la respuesta.",
    "On whose behalf.": "En nombre de quién.",
    "Print the status event alone, as JSON.": "Imprime solo el evento de estado, en JSON.",
    "Ask for a song and wait for it.\n\n"
    "Exit codes: 0 it is there; 1 it failed (the code says why); 2 wrong usage; 3 no answer within the time-out (the\n"
    "request stays queued); 130 Ctrl-C (the request goes on).": (
        "Pide un tema y lo espera.\n\n"
        "Códigos de salida: 0 está; 1 falló (el código dice por qué); 2 mal uso; 3 no hubo respuesta a tiempo (el "
        "pedido sigue en la cola); 130 Ctrl-C (el pedido sigue)."
    ),
    "A .dca file.": "Un archivo .dca.",
    "Look into a DCA file and read it through.\n\nExit codes: 0 whole; 1 damaged; 2 no DCA file, or not to be read.": (
        "Mira adentro de un archivo DCA y lo lee entero.\n\n"
        "Códigos de salida: 0 sano; 1 dañado; 2 no es un archivo DCA o no se puede leer."
    ),
    "All of them.": "Todos.",
    "All of them, failed requests too.": "Todos, también los pedidos que fallaron.",
    "List the songs, last updated first.": "Lista los temas, primero los más recientes.",
    "Part of a title.": "Parte de un título.",
    "Find songs by a part of their title.": "Busca temas por una parte del título.",
    "List the dead letters that were not replayed.": "Lista los mensajes muertos que no se reenviaron.",
    "The topic they came from.": "El tópico del que vinieron.",
    "Show one dead letter: why it is there, its headers and its body.": (
        "Muestra un mensaje muerto: por qué está ahí, sus encabezados y su cuerpo."
    ),
    "Send dead letters back to the topic they came from.": "Reenvía mensajes muertos al tópico del que vinieron.",
    "Whose it is to be.": "De quién va a ser.",
    "One of media:read, sources:read, requests:cancel, uploads:write, assets:read, metrics:read; may be given several "
    "times.": (
        "Uno de media:read, sources:read, requests:cancel, uploads:write, assets:read, metrics:read; puede repetirse."
    ),
    "Days until it expires; 0: it does not.": "Días hasta que venza; 0: no vence.",
    "Make a key and print it, this once.": "Hace una clave y la muestra, esta única vez.",
    "List the keys: whose, what for, until when. The keys themselves are not shown.": (
        "Lista las claves: de quién, para qué, hasta cuándo. Las claves mismas no se muestran."
    ),
    "As `keys list` shows it.": "Como lo muestra `keys list`.",
    "Make a key useless from its next request on.": "Inutiliza una clave desde su próximo pedido.",
    "Install completion for the current shell.": "Instala el autocompletado en esta terminal.",
    "Show completion for the current shell, to copy it or customize the installation.": (
        "Muestra el autocompletado para copiarlo o adaptarlo."
    ),
}
# What the library writes around the texts above, and parts of the sentences of its usage errors.
_WORDS: tuple[tuple[str, str], ...] = (
    ("Usage: ", "Uso: "),
    ("\nArguments:\n", "\nArgumentos:\n"),
    ("\nOptions:\n", "\nOpciones:\n"),
    ("\nCommands:\n", "\nComandos:\n"),
    ("Show this message and exit.", "Muestra esta ayuda y termina."),
    ("[OPTIONS]", "[OPCIONES]"),
    ("COMMAND [ARGS]...", "COMANDO [ARGUMENTOS]..."),
    ("[required]", "[obligatorio]"),
    ("[default: ", "[por omisión: "),
    ("Try '", "Probá '"),
    ("' for help.", "'."),
    ("Missing argument ", "Falta el argumento "),
    ("Missing option ", "Falta la opción "),
    ("Missing command.", "Falta el comando."),
    ("No such command ", "No existe el comando "),
    ("No such option: ", "No existe la opción "),
    ("Did you mean ", "¿Quisiste decir "),
    ("Got unexpected extra argument(s) ", "Sobra "),
    ("Got unexpected extra argument ", "Sobra "),
    ("Got unexpected extra arguments ", "Sobran "),
    ("Option '", "La opción '"),
    ("' requires an argument.", "' necesita un valor."),
    ("Invalid value for ", "Valor no válido para "),
    ("Input should be a valid integer, unable to parse string as an integer", "se espera un número entero"),
    ("Input should be a valid number, unable to parse string as a number", "se espera un número"),
    ("Input should be greater than or equal to ", "se espera un número mayor o igual a "),
    ("Input should be less than or equal to ", "se espera un número menor o igual a "),
    (" is not one of ", " no es uno de "),
)


def speak_spanish(command: Any) -> None:  # noqa: ANN401 - typer keeps the class of its commands to itself
    """Put Spanish in place of the English of a command, its options and the commands below it."""
    for named in (command, *command.params):
        named.help = SPANISH.get(named.help, named.help)
    english = command.get_help

    def get_help(ctx: object) -> str:
        return in_spanish(english(ctx))

    vars(command)["get_help"] = get_help
    for below in getattr(command, "commands", {}).values():
        speak_spanish(below)


def usage_error(exc: Any, locale: Locale) -> str:  # noqa: ANN401 - see above
    """Return what the library prints about wrong usage."""
    shown = io.StringIO()
    exc.show(file=shown)
    return in_spanish(shown.getvalue()) if locale == "es" else shown.getvalue()


def in_spanish(text: str) -> str:
    """Return what the library wrote, with its own words in Spanish."""
    for english, spanish in _WORDS:
        text = text.replace(english, spanish)
    return text
