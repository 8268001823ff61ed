"""Every failure this system knows by name, what to do next about it, and what to tell a person.

    AppError                            code                      retryable
    ├── RequestError                    what was asked is wrong: asking again does not help
    │   ├── InvalidInput                invalid_input             no
    │   ├── InvalidVideoId              invalid_video_id          no
    │   ├── InvalidMessage              invalid_message           no
    │   ├── ProviderNotFound            provider_not_found        no
    │   └── UrlNotAllowed               url_not_allowed           no
    ├── SourceError                     what the media's origin says
    │   ├── MediaNotFound               media_not_found           no
    │   ├── MediaTooLong                media_too_long            no
    │   ├── MediaTooLarge               media_too_large           no
    │   ├── MediaLive                   media_live                no
    │   ├── MediaPrivate                media_private             no
    │   ├── MediaRemoved                media_removed             no
    │   ├── MediaRegionLocked           media_region_locked       no
    │   ├── MediaAgeRestricted          media_age_restricted      no
    │   ├── MediaUnsupported            media_unsupported         no
    │   ├── MediaCorrupt                media_corrupt             no
    │   ├── SourceAuthRequired          source_auth_required      no
    │   ├── SourceForbidden             source_forbidden          no
    │   ├── SourceTruncated             source_truncated          yes
    │   ├── SourceUnavailable           source_unavailable        yes
    │   ├── SearchFailed                search_video_id_failed    yes
    │   ├── DetailsFailed               get_media_details_failed  yes
    │   └── YouTubeApiError             youtube_api_error         no
    │       ├── YouTubeKeyRejected      youtube_api_error         no
    │       ├── YouTubeQuotaExceeded    youtube_api_error         no
    │       └── YouTubeApiUnavailable   youtube_api_error         yes
    ├── ProcessingError                 what the media did to the child process that read it
    │   ├── ProcessingCrashed           processing_crashed        yes
    │   ├── ProcessingTimeout           processing_timeout        yes
    │   └── ProcessingLimitExceeded     processing_limit          no
    ├── StorageError
    │   ├── StorageFull                 storage_full              yes
    │   ├── StorageUnavailable          storage_unavailable       yes
    │   └── BlobNotFound                blob_not_found            no
    ├── RepositoryError
    │   ├── DatabaseUnavailable         db_connection_failed      yes
    │   ├── DuplicateRecord             duplicate_record          no
    │   └── LeaseLost                   lease_lost                yes
    ├── BrokerError
    │   ├── BrokerUnavailable           broker_unavailable        yes
    │   ├── QueueFull                   queue_full                yes
    │   └── MessageTooLarge             message_too_large         no
    ├── AccessError                     who asks may not, or not now
    │   ├── Unauthorized                unauthorized              no
    │   ├── Forbidden                   forbidden                 no
    │   ├── RateLimited                 rate_limited              yes
    │   └── AccessUnavailable           access_unavailable        yes
    ├── AudioServiceUnavailable         audio_service_unavailable yes
    ├── Misconfigured                   misconfigured             no
    └── InternalError                   internal_error            yes

`code` is the wire's name (fixed, see CONTRACTS.md); `retryable` is read by the one retry policy in
`audio_service.worker.worker`; `public_message` is what a person may read, and never holds internal detail. The detail
given to the constructor is for logs and records of operators.

It is one long module on purpose: the tree is read as a whole, and a code, what to do about it and its two sentences
belong side by side.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

Locale = Literal["es", "en"]


class Text(NamedTuple):
    """One sentence for people, in Argentine Spanish and in English."""

    es: str
    en: str

    def to(self, locale: Locale) -> str:
        """Return the sentence in one language."""
        return self.es if locale == "es" else self.en


class AppError(Exception):
    """Root of the tree. Subclasses set the class attributes; instances carry a detail for the log.

    `needs_operator` is for what a program meets at its start and neither time nor a restart will mend.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    needs_operator: ClassVar[bool] = False
    public_message: ClassVar[Text] = Text(
        "Algo falló de nuestro lado. Probá de nuevo en un rato.",
        "Something failed on our side. Try again in a while.",
    )

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail or self.code

    def message(self, locale: Locale = "es") -> str:
        """Return the sentence for people in the given locale."""
        return self.public_message.to(locale)


class InternalError(AppError):
    """A failure without a name of its own: a defect, until somebody names it."""

    retryable = True


class RequestError(AppError):
    """What was asked is wrong; asking again in the same words does not help."""


class InvalidInput(RequestError):
    """A field is missing, empty, too long or not of its form."""

    code = "invalid_input"
    public_message = Text(
        "El pedido no es válido: revisá lo que escribiste.", "The request is not valid: check what you typed."
    )


class InvalidVideoId(RequestError):
    """The text cannot be the id of a media record."""

    code = "invalid_video_id"
    public_message = Text("El ID del video no es válido.", "The video id is not valid.")


class InvalidMessage(RequestError):
    """The bytes of a broker message are not a message of the wire contract."""

    code = "invalid_message"
    public_message = Text("No se pudo leer el pedido. Volvé a intentarlo.", "The request could not be read. Try again.")


class ProviderNotFound(RequestError):
    """`provider_type` names no source of ours."""

    code = "provider_not_found"
    public_message = Text("No conozco ese proveedor de música.", "That music provider is not known.")


class UrlNotAllowed(RequestError):
    """The URL, a redirect or something inside the page leads where this service does not go."""

    code = "url_not_allowed"
    public_message = Text(
        "Esa dirección no está permitida: solo enlaces públicos http o https.",
        "That address is not allowed: only public http or https links.",
    )


class SourceError(AppError):
    """What the media's origin says, or fails to say."""


class MediaNotFound(SourceError):
    """Neither the library nor the source has it."""

    code = "media_not_found"
    public_message = Text("Media no encontrado", "Media not found")


class MediaTooLong(SourceError):
    """Longer than MAX_DURATION_SECONDS."""

    code = "media_too_long"
    public_message = Text("Ese tema es demasiado largo.", "That track is too long.")


class MediaTooLarge(SourceError):
    """More bytes than MAX_DOWNLOAD_BYTES."""

    code = "media_too_large"
    public_message = Text("Ese archivo es demasiado grande.", "That file is too large.")


class MediaLive(SourceError):
    """A live stream has no end to wait for."""

    code = "media_live"
    public_message = Text(
        "Es una transmisión en vivo: todavía no se puede descargar.",
        "It is a live stream: it cannot be downloaded yet.",
    )


class MediaPrivate(SourceError):
    """The owner keeps it private."""

    code = "media_private"
    public_message = Text("Ese video es privado.", "That video is private.")


class MediaRemoved(SourceError):
    """It was there once."""

    code = "media_removed"
    public_message = Text("Ese video fue eliminado.", "That video was removed.")


class MediaRegionLocked(SourceError):
    """Not available where this service runs."""

    code = "media_region_locked"
    public_message = Text(
        "Ese video no está disponible en la región del servidor.",
        "That video is not available in the server's region.",
    )


class MediaAgeRestricted(SourceError):
    """The source asks for a confirmed age."""

    code = "media_age_restricted"
    public_message = Text("Ese video tiene restricción de edad.", "That video is age restricted.")


class MediaUnsupported(SourceError):
    """What came is not media, or holds no sound."""

    code = "media_unsupported"
    public_message = Text("Ahí no hay audio que pueda usar.", "There is no usable audio there.")


class MediaCorrupt(SourceError):
    """The container or the codec data is damaged."""

    code = "media_corrupt"
    public_message = Text("El archivo está dañado.", "The file is damaged.")


class SourceAuthRequired(SourceError):
    """The source wants somebody to sign in; cookies may help (COOKIES_YOUTUBE)."""

    code = "source_auth_required"
    public_message = Text("El sitio pide iniciar sesión para verlo.", "The site asks to sign in to see it.")


class SourceForbidden(SourceError):
    """The source understood and refused (HTTP 403 and its kin)."""

    code = "source_forbidden"
    public_message = Text("El sitio no permite descargarlo.", "The site refuses to hand it out.")


class SourceTruncated(SourceError):
    """The body ended or stalled before its announced end."""

    code = "source_truncated"
    retryable = True
    public_message = Text(
        "La descarga se cortó antes de terminar. Probá de nuevo.",
        "The download broke off before its end. Try again.",
    )


class SourceUnavailable(SourceError):
    """Unreachable, refused, timed out, or answering 5xx or 429."""

    code = "source_unavailable"
    retryable = True
    public_message = Text(
        "El sitio de origen no responde. Probá de nuevo en un rato.",
        "The source does not answer. Try again in a while.",
    )


class SearchFailed(SourceError):
    """The search itself failed; an empty result is MediaNotFound."""

    code = "search_video_id_failed"
    retryable = True
    public_message = Text("Falló la búsqueda. Probá de nuevo.", "The search failed. Try again.")


class DetailsFailed(SourceError):
    """The source knows the id, and would not describe it."""

    code = "get_media_details_failed"
    retryable = True
    public_message = Text(
        "No se pudieron leer los datos del video. Probá de nuevo.",
        "The video's details could not be read. Try again.",
    )


class YouTubeApiError(SourceError):
    """The YouTube Data API refused or failed."""

    code = "youtube_api_error"
    public_message = Text(
        "La API de YouTube no responde como debería.", "The YouTube API does not answer as it should."
    )


class YouTubeKeyRejected(YouTubeApiError):
    """YOUTUBE_API_KEY is wrong, expired or not enabled for the Data API: an operator must mend it."""


class YouTubeQuotaExceeded(YouTubeApiError):
    """The key's daily units are used up; they return at midnight Pacific time."""


class YouTubeApiUnavailable(YouTubeApiError):
    """Unreachable, timed out or answering 5xx."""

    retryable = True


class ProcessingError(AppError):
    """What the media did to the child process that read it."""


class ProcessingCrashed(ProcessingError):
    """The child died."""

    code = "processing_crashed"
    retryable = True
    public_message = Text("Falló el procesamiento del audio.", "Processing the audio failed.")


class ProcessingTimeout(ProcessingError):
    """The child was killed at its deadline."""

    code = "processing_timeout"
    retryable = True
    public_message = Text(
        "El procesamiento tardó demasiado y se canceló.", "Processing took too long and was cancelled."
    )


class ProcessingLimitExceeded(ProcessingError):
    """The child reached its CPU, memory or file-size limit, and would again."""

    code = "processing_limit"
    public_message = Text(
        "Ese archivo necesita más recursos de los permitidos.",
        "That file needs more resources than are allowed.",
    )


class StorageError(AppError):
    """The blob store, or the disk below it."""


class StorageFull(StorageError):
    """No room left."""

    code = "storage_full"
    retryable = True
    public_message = Text("No queda espacio para guardar el tema.", "There is no room left to store the track.")


class StorageUnavailable(StorageError):
    """Unreachable or answering with an error."""

    code = "storage_unavailable"
    retryable = True
    public_message = Text("El almacenamiento no responde.", "The storage does not answer.")


class BlobNotFound(StorageError):
    """No file under that key."""

    code = "blob_not_found"
    public_message = Text("El archivo ya no está guardado.", "The file is no longer stored.")


class RepositoryError(AppError):
    """The library's database."""


class DatabaseUnavailable(RepositoryError):
    """Unreachable, locked for too long, or answering with an error."""

    code = "db_connection_failed"
    retryable = True
    public_message = Text("La base de datos no responde.", "The database does not answer.")


class DuplicateRecord(RepositoryError):
    """A record with that id exists."""

    code = "duplicate_record"
    public_message = Text("Ese tema ya está en la biblioteca.", "That track is already in the library.")


class LeaseLost(RepositoryError):
    """Another worker holds a newer fencing token: what this one made must not be recorded."""

    code = "lease_lost"
    retryable = True
    public_message = Text("Otro proceso tomó el pedido.", "Another process took the request over.")


class BrokerError(AppError):
    """The message broker."""


class BrokerUnavailable(BrokerError):
    """Unreachable, locked for too long, or answering with an error."""

    code = "broker_unavailable"
    retryable = True
    public_message = Text(
        "La cola de pedidos no responde. Probá de nuevo.", "The request queue does not answer. Try again."
    )


class QueueFull(BrokerError):
    """The topic holds as much unread work as it may."""

    code = "queue_full"
    retryable = True
    public_message = Text(
        "Hay demasiados pedidos en espera. Probá en un rato.",
        "Too many requests are waiting. Try again in a while.",
    )


class MessageTooLarge(BrokerError):
    """Over the broker's limit for one message."""

    code = "message_too_large"
    public_message = Text("El pedido es demasiado largo.", "The request is too long.")


class AccessError(AppError):
    """Who asks may not, or not now."""


class Unauthorized(AccessError):
    """No key and no token, or one that is not, or no longer, valid. Without a detail: none was sent."""

    code = "unauthorized"
    public_message = Text(
        "Hace falta una clave o un token de acceso válidos.", "A valid API key or access token is needed."
    )


class Forbidden(AccessError):
    """The key or the token is valid, and not for this. `scope` is the one that it lacks."""

    code = "forbidden"
    public_message = Text(
        "Esa clave o ese token no tienen permiso para esto.", "That key or token may not be used for this."
    )

    def __init__(self, detail: str = "", *, scope: str = "") -> None:
        super().__init__(detail)
        self.scope = scope


class RateLimited(AccessError):
    """Too many requests of one caller; the next one may come after `retry_after_seconds`."""

    code = "rate_limited"
    retryable = True
    public_message = Text(
        "Demasiados pedidos seguidos. Esperá un momento.", "Too many requests in a row. Wait a moment."
    )

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class AccessUnavailable(AccessError):
    """Whether the caller may cannot be told: the issuer of the tokens does not answer."""

    code = "access_unavailable"
    retryable = True
    public_message = Text(
        "No se pudo comprobar el permiso. Probá de nuevo en un rato.",
        "The permission could not be checked. Try again in a while.",
    )


class AudioServiceUnavailable(AppError):
    """The audio service's HTTP API is unreachable, too slow, or answering 5xx or what is not its own."""

    code = "audio_service_unavailable"
    retryable = True
    public_message = Text(
        "El servicio de audio no responde. Probá de nuevo en un rato.",
        "The audio service does not answer. Try again in a while.",
    )


class Misconfigured(AppError):
    """A setting asks for something that this program does not have; the detail names the setting."""

    code = "misconfigured"
    needs_operator = True


def error_for_code(code: str, detail: str = "") -> AppError:
    """Rebuild an error from its code, for messages that crossed a process or a wire.

    The first class in the tree's order wins where several share a code; an unknown code gives InternalError.
    """
    return _BY_CODE.get(code, InternalError)(detail)


def all_errors() -> list[type[AppError]]:
    """Return every class of the tree that has a code of its own, in the tree's order."""
    return [cls for cls in _walk(AppError) if "code" in vars(cls) or cls is InternalError]


def _walk(root: type[AppError]) -> list[type[AppError]]:
    found = [root]
    for child in root.__subclasses__():
        found.extend(_walk(child))
    return found


_BY_CODE: dict[str, type[AppError]] = {}
for _cls in _walk(AppError):
    if _cls is not AppError:
        _BY_CODE.setdefault(_cls.code, _cls)
_BY_CODE["internal_error"] = InternalError
