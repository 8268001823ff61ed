"""Failures of the media's origin, and media that cannot be used."""

from __future__ import annotations

from common.errors.base import AppError, Text


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
