"""All errors of this system: their codes, whether a retry may help, and the sentence that users read.

    AppError                            code                      retryable
    ├── RequestError                    the request is invalid: repeating it does not help
    │   ├── InvalidInput                invalid_input             no
    │   ├── InvalidVideoId              invalid_video_id          no
    │   ├── InvalidMessage              invalid_message           no
    │   ├── ProviderNotFound            provider_not_found        no
    │   ├── UrlNotAllowed               url_not_allowed           no
    │   └── UploadError                 an upload, or the file that was uploaded, is refused
    │       ├── FileNotAllowed          file_not_allowed          no
    │       ├── FileCorrupt             file_corrupt              no
    │       ├── UploadMissing           upload_missing            no
    │       ├── UploadMismatch          upload_mismatch           no
    │       ├── UploadRefused           upload_refused            no
    │       ├── UploadTooLarge          upload_too_large          no
    │       ├── QuotaExceeded           quota_exceeded            no
    │       └── AssetNotFound           asset_not_found           no
    ├── SourceError                     the media's origin refused or failed
    │   ├── MediaNotFound               media_not_found           no
    │   ├── MediaTooLong                media_too_long            no
    │   ├── MediaTooLarge               media_too_large           no
    │   ├── MediaLive                   media_live                no
    │   ├── MediaPrivate                media_private             no
    │   ├── MediaRemoved                media_removed             no
    │   ├── MediaRegionLocked           media_region_locked       no
    │   ├── MediaAgeRestricted          media_age_restricted      no
    │   ├── MediaUnsupported            media_unsupported         no
    │   ├── MediaEncrypted              media_encrypted           no
    │   ├── MediaCorrupt                media_corrupt             no
    │   ├── SourceAuthRequired          source_auth_required      no
    │   ├── SourceForbidden             source_forbidden          no
    │   ├── SourceTruncated             source_truncated          yes
    │   │   └── MediaTruncated          source_truncated          no
    │   ├── SourceUnavailable           source_unavailable        yes
    │   ├── SearchFailed                search_video_id_failed    yes
    │   ├── DetailsFailed               get_media_details_failed  yes
    │   └── YouTubeApiError             youtube_api_error         no
    │       ├── YouTubeKeyRejected      youtube_api_error         no
    │       ├── YouTubeQuotaExceeded    youtube_api_error         no
    │       └── YouTubeApiUnavailable   youtube_api_error         yes
    ├── ProcessingError                 the child process that read the media failed
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
    │   ├── QueueUnavailable            queue_unavailable         yes
    │   ├── QueueFull                   queue_full                yes
    │   └── MessageTooLarge             message_too_large         no
    ├── AccessError                     the caller has no permission, or not now
    │   ├── Unauthorized                unauthorized              no
    │   ├── Forbidden                   forbidden                 no
    │   ├── RateLimited                 rate_limited              yes
    │   └── AccessUnavailable           access_unavailable        yes
    ├── AudioServiceUnavailable         audio_service_unavailable yes
    ├── Misconfigured                   misconfigured             no
    └── InternalError                   internal_error            yes

`code` is the name in messages and HTTP answers (fixed, see CONTRACTS.md); `retryable` is read by the one retry policy
in `audio_service.worker`; `public_message` is shown to users and never holds internal detail. The detail given to the
constructor is for logs and operators' records.

One long module on purpose: the tree is read as a whole, and each code stands beside its sentences.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

Locale = Literal["es", "en"]


class Text(NamedTuple):
    """One sentence for users, in Argentine Spanish and in English."""

    es: str
    en: str

    def to(self, locale: Locale) -> str:
        """Return the sentence in one language."""
        return self.es if locale == "es" else self.en


class AppError(Exception):
    """Root of the tree. Subclasses set the class attributes; instances carry a detail for the log.

    `needs_operator`: neither waiting nor a restart helps; a program that meets it at its start exits with EX_CONFIG.
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
        """Return the sentence for users in the given locale."""
        return self.public_message.to(locale)


class InternalError(AppError):
    """An unexpected failure: a defect."""

    retryable = True


class RequestError(AppError):
    """The request is invalid; repeating it does not help."""


class InvalidInput(RequestError):
    """A field is missing, empty, too long or malformed."""

    code = "invalid_input"
    public_message = Text(
        "El pedido no es válido: revisá lo que escribiste.", "The request is not valid: check what you typed."
    )


class InvalidVideoId(RequestError):
    """The text is not a valid id of a media record."""

    code = "invalid_video_id"
    public_message = Text("El ID del video no es válido.", "The video id is not valid.")


class InvalidMessage(RequestError):
    """A broker message does not parse as a message of the wire contract."""

    code = "invalid_message"
    public_message = Text("No se pudo leer el pedido. Volvé a intentarlo.", "The request could not be read. Try again.")


class ProviderNotFound(RequestError):
    """`provider_type` names an unknown source."""

    code = "provider_not_found"
    public_message = Text("No conozco ese proveedor de música.", "That music provider is not known.")


class UrlNotAllowed(RequestError):
    """The URL, a redirect or a URL inside the page leads to an address that is not allowed."""

    code = "url_not_allowed"
    public_message = Text(
        "Esa dirección no está permitida: solo enlaces públicos http o https (los de tu red, con NETWORK_ALLOW).",
        "That address is not allowed: only public http or https links (those of your network with NETWORK_ALLOW).",
    )


class UploadError(RequestError):
    """An upload, or the file that was uploaded, is refused."""


class FileNotAllowed(UploadError):
    """By its content the file is of no allowed kind, whatever its name says."""

    code = "file_not_allowed"
    public_message = Text(
        "Ese archivo no es de un tipo permitido: solo audio.", "That file is not of an allowed kind: audio only."
    )


class FileCorrupt(UploadError):
    """The uploaded file is damaged, cut off or without sound."""

    code = "file_corrupt"
    public_message = Text("Archivo dañado", "File corrupted")


class UploadMissing(UploadError):
    """The upload is said to be complete, and there is no file."""

    code = "upload_missing"
    public_message = Text("El archivo todavía no llegó: subilo primero.", "The file has not arrived: upload it first.")


class UploadMismatch(UploadError):
    """The file is not as announced, or was replaced after it was complete."""

    code = "upload_mismatch"
    public_message = Text(
        "El archivo que llegó no es el que se anunció.", "The file that arrived is not the one that was announced."
    )


class UploadRefused(UploadError):
    """The upload's URL is not signed by us, has expired, or was used."""

    code = "upload_refused"
    public_message = Text(
        "Ese enlace de subida no vale: venció, ya se usó o no es nuestro.",
        "That upload link is not valid: it has expired, was used, or is not ours.",
    )


class UploadTooLarge(UploadError):
    """Larger than UPLOAD_MAX_BYTES."""

    code = "upload_too_large"
    public_message = Text("Ese archivo es demasiado grande.", "That file is too large.")


class QuotaExceeded(UploadError):
    """The owner has too many open uploads, or made too many in a day."""

    code = "quota_exceeded"
    public_message = Text(
        "Subiste demasiados archivos. Esperá un rato.", "You have uploaded too many files. Wait a while."
    )


class AssetNotFound(UploadError):
    """There is no asset with that id."""

    code = "asset_not_found"
    public_message = Text("Ese archivo no existe.", "There is no such file.")


class SourceError(AppError):
    """The media's origin refused or failed."""


class MediaNotFound(SourceError):
    """It is neither in the library nor at the source."""

    code = "media_not_found"
    public_message = Text("Media no encontrado", "Media not found")


class MediaTooLong(SourceError):
    """Longer than MAX_DURATION_SECONDS."""

    code = "media_too_long"
    public_message = Text("Ese tema es demasiado largo.", "That track is too long.")


class MediaTooLarge(SourceError):
    """Larger than MAX_DOWNLOAD_BYTES."""

    code = "media_too_large"
    public_message = Text("Ese archivo es demasiado grande.", "That file is too large.")


class MediaLive(SourceError):
    """A live stream: it has no end."""

    code = "media_live"
    public_message = Text(
        "Es una transmisión en vivo: todavía no se puede descargar.",
        "It is a live stream: it cannot be downloaded yet.",
    )


class MediaPrivate(SourceError):
    """Its owner made it private."""

    code = "media_private"
    public_message = Text("Ese video es privado.", "That video is private.")


class MediaRemoved(SourceError):
    """It was removed from the source."""

    code = "media_removed"
    public_message = Text("Ese video fue eliminado.", "That video was removed.")


class MediaRegionLocked(SourceError):
    """Not available in the region where this service runs."""

    code = "media_region_locked"
    public_message = Text(
        "Ese video no está disponible en la región del servidor.",
        "That video is not available in the server's region.",
    )


class MediaAgeRestricted(SourceError):
    """The source requires a confirmed age."""

    code = "media_age_restricted"
    public_message = Text("Ese video tiene restricción de edad.", "That video is age restricted.")


class MediaUnsupported(SourceError):
    """The download is not media, or has no audio stream that can be decoded."""

    code = "media_unsupported"
    public_message = Text(
        "Ahí no hay audio que pueda usar: es otra cosa, u otro formato.",
        "There is no usable audio there: it is something else, or another format.",
    )


class MediaEncrypted(SourceError):
    """The audio is encrypted, and only its provider's own players have the key (DRM)."""

    code = "media_encrypted"
    public_message = Text(
        "Ese audio está protegido (DRM): solo lo reproduce la aplicación de su proveedor.",
        "That audio is protected (DRM): only its provider's own player can play it.",
    )


class MediaCorrupt(SourceError):
    """The container or the codec data is damaged."""

    code = "media_corrupt"
    public_message = Text("El archivo está dañado.", "The file is damaged.")


class SourceAuthRequired(SourceError):
    """The source requires a sign-in; cookies may help (COOKIES_YOUTUBE)."""

    code = "source_auth_required"
    public_message = Text("El sitio pide iniciar sesión para verlo.", "The site asks to sign in to see it.")


class SourceForbidden(SourceError):
    """The source refused the request (HTTP 403 and the like)."""

    code = "source_forbidden"
    public_message = Text("El sitio no permite descargarlo.", "The site refuses to hand it out.")


class SourceTruncated(SourceError):
    """The response body ended or stalled before its announced length."""

    code = "source_truncated"
    retryable = True
    public_message = Text(
        "Se corta antes de terminar: falta el final del archivo o se interrumpió la descarga.",
        "It ends too early: the end of the file is missing, or the download broke off.",
    )


class MediaTruncated(SourceTruncated):
    """The file was received as its server has it, and ends before the length that it states itself."""

    retryable = False


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
    """The source has the id, but its details could not be read."""

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
    """YOUTUBE_API_KEY is wrong, expired or not enabled for the Data API: an operator must fix it."""


class YouTubeQuotaExceeded(YouTubeApiError):
    """The key's daily quota is exhausted; it is reset at midnight Pacific time."""


class YouTubeApiUnavailable(YouTubeApiError):
    """Unreachable, timed out or answering 5xx."""

    retryable = True


class ProcessingError(AppError):
    """The child process that read the media failed."""


class ProcessingCrashed(ProcessingError):
    """The child process died."""

    code = "processing_crashed"
    retryable = True
    public_message = Text("Falló el procesamiento del audio.", "Processing the audio failed.")


class ProcessingTimeout(ProcessingError):
    """The child process was killed at its deadline."""

    code = "processing_timeout"
    retryable = True
    public_message = Text(
        "El procesamiento tardó demasiado y se canceló.", "Processing took too long and was cancelled."
    )


class ProcessingLimitExceeded(ProcessingError):
    """The child process reached its CPU, memory or file-size limit; a retry would reach it again."""

    code = "processing_limit"
    public_message = Text(
        "Ese archivo necesita más recursos de los permitidos.",
        "That file needs more resources than are allowed.",
    )


class StorageError(AppError):
    """The blob store or its disk failed."""


class StorageFull(StorageError):
    """The disk or quota is full."""

    code = "storage_full"
    retryable = True
    public_message = Text(
        "El disco está lleno: no queda espacio para guardar el tema.",
        "The disk is full: there is no room left to store the track.",
    )


class StorageUnavailable(StorageError):
    """Unreachable, or it answers with an error."""

    code = "storage_unavailable"
    retryable = True
    public_message = Text("El almacenamiento no responde.", "The storage does not answer.")


class BlobNotFound(StorageError):
    """No blob is stored under that key."""

    code = "blob_not_found"
    public_message = Text("El archivo ya no está guardado.", "The file is no longer stored.")


class RepositoryError(AppError):
    """The database failed."""


class DatabaseUnavailable(RepositoryError):
    """Unreachable, locked for too long, or it answers with an error."""

    code = "db_connection_failed"
    retryable = True
    public_message = Text("La base de datos no responde.", "The database does not answer.")


class DuplicateRecord(RepositoryError):
    """A record with that id exists already."""

    code = "duplicate_record"
    public_message = Text("Ese tema ya está en la biblioteca.", "That track is already in the library.")


class LeaseLost(RepositoryError):
    """Another worker holds a newer fencing token: the result of this one must not be recorded."""

    code = "lease_lost"
    retryable = True
    public_message = Text("Otro proceso tomó el pedido.", "Another process took the request over.")


class BrokerError(AppError):
    """The message broker failed or refused."""


class BrokerUnavailable(BrokerError):
    """Unreachable, locked for too long, or it answers with an error."""

    code = "broker_unavailable"
    retryable = True
    public_message = Text(
        "La cola de pedidos no responde. Probá de nuevo.", "The request queue does not answer. Try again."
    )


class QueueUnavailable(BrokerError):
    """A completed upload could not be queued; completing it again queues it."""

    code = "queue_unavailable"
    retryable = True
    public_message = Text(
        "La cola no responde: el archivo está guardado. Probá de nuevo.",
        "The queue does not answer: the file is stored. Try again.",
    )


class QueueFull(BrokerError):
    """The topic's unread backlog is at its limit."""

    code = "queue_full"
    retryable = True
    public_message = Text(
        "Hay demasiados pedidos en espera. Probá en un rato.",
        "Too many requests are waiting. Try again in a while.",
    )


class MessageTooLarge(BrokerError):
    """Larger than the broker's limit for one message."""

    code = "message_too_large"
    public_message = Text("El pedido es demasiado largo.", "The request is too long.")


class AccessError(AppError):
    """The caller has no permission, or not now."""


class Unauthorized(AccessError):
    """No valid key or token. Without a detail: none was sent."""

    code = "unauthorized"
    public_message = Text(
        "Hace falta una clave o un token de acceso válidos.", "A valid API key or access token is needed."
    )


class Forbidden(AccessError):
    """The key or token is valid but lacks `scope`."""

    code = "forbidden"
    public_message = Text(
        "Esa clave o ese token no tienen permiso para esto.", "That key or token may not be used for this."
    )

    def __init__(self, detail: str = "", *, scope: str = "") -> None:
        super().__init__(detail)
        self.scope = scope


class RateLimited(AccessError):
    """Too many requests of one caller; the next one is allowed after `retry_after_seconds`."""

    code = "rate_limited"
    retryable = True
    public_message = Text(
        "Demasiados pedidos seguidos. Esperá un momento.", "Too many requests in a row. Wait a moment."
    )

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class AccessUnavailable(AccessError):
    """The permission cannot be checked: the issuer of the tokens does not answer."""

    code = "access_unavailable"
    retryable = True
    public_message = Text(
        "No se pudo comprobar el permiso. Probá de nuevo en un rato.",
        "The permission could not be checked. Try again in a while.",
    )


class AudioServiceUnavailable(AppError):
    """The audio service's HTTP API is unreachable, too slow, or answers 5xx or an unexpected body."""

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


def error_for_code(code: str, detail: str = "", *, retryable: bool | None = None) -> AppError:
    """Return the error of a code that was received from another process.

    If several classes share the code, the first in the tree's order that is as `retryable` as that process says; for
    an unknown code, InternalError.
    """
    classes = _BY_CODE.get(code, [InternalError])
    return next((cls for cls in classes if cls.retryable is retryable), classes[0])(detail)


def all_errors() -> list[type[AppError]]:
    """Return all classes of the tree that define a code, in the tree's order."""
    return [cls for cls in _walk(AppError) if "code" in vars(cls) or cls is InternalError]


def _walk(root: type[AppError]) -> list[type[AppError]]:
    found = [root]
    for child in root.__subclasses__():
        found.extend(_walk(child))
    return found


_BY_CODE: dict[str, list[type[AppError]]] = {}
for _cls in _walk(AppError):
    if _cls is not AppError:
        _BY_CODE.setdefault(_cls.code, []).append(_cls)
_BY_CODE["internal_error"] = [InternalError]
