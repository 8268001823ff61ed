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
"""

from __future__ import annotations

from common.errors.access import AccessError, AccessUnavailable, Forbidden, RateLimited, Unauthorized
from common.errors.base import AppError, InternalError, Locale, Text
from common.errors.engines import (
    BlobNotFound,
    BrokerError,
    BrokerUnavailable,
    DatabaseUnavailable,
    DuplicateRecord,
    LeaseLost,
    MessageTooLarge,
    QueueFull,
    QueueUnavailable,
    RepositoryError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from common.errors.processing import ProcessingCrashed, ProcessingError, ProcessingLimitExceeded, ProcessingTimeout
from common.errors.programs import AudioServiceUnavailable, Misconfigured
from common.errors.requests import (
    InvalidInput,
    InvalidMessage,
    InvalidVideoId,
    ProviderNotFound,
    RequestError,
    UrlNotAllowed,
)
from common.errors.sources import (
    DetailsFailed,
    MediaAgeRestricted,
    MediaCorrupt,
    MediaEncrypted,
    MediaLive,
    MediaNotFound,
    MediaPrivate,
    MediaRegionLocked,
    MediaRemoved,
    MediaTooLarge,
    MediaTooLong,
    MediaTruncated,
    MediaUnsupported,
    SearchFailed,
    SourceAuthRequired,
    SourceError,
    SourceForbidden,
    SourceTruncated,
    SourceUnavailable,
    YouTubeApiError,
    YouTubeApiUnavailable,
    YouTubeKeyRejected,
    YouTubeQuotaExceeded,
)
from common.errors.uploads import (
    AssetNotFound,
    FileCorrupt,
    FileNotAllowed,
    QuotaExceeded,
    UploadError,
    UploadMismatch,
    UploadMissing,
    UploadRefused,
    UploadTooLarge,
)

__all__ = [
    "AccessError",
    "AccessUnavailable",
    "AppError",
    "AssetNotFound",
    "AudioServiceUnavailable",
    "BlobNotFound",
    "BrokerError",
    "BrokerUnavailable",
    "DatabaseUnavailable",
    "DetailsFailed",
    "DuplicateRecord",
    "FileCorrupt",
    "FileNotAllowed",
    "Forbidden",
    "InternalError",
    "InvalidInput",
    "InvalidMessage",
    "InvalidVideoId",
    "LeaseLost",
    "Locale",
    "MediaAgeRestricted",
    "MediaCorrupt",
    "MediaEncrypted",
    "MediaLive",
    "MediaNotFound",
    "MediaPrivate",
    "MediaRegionLocked",
    "MediaRemoved",
    "MediaTooLarge",
    "MediaTooLong",
    "MediaTruncated",
    "MediaUnsupported",
    "MessageTooLarge",
    "Misconfigured",
    "ProcessingCrashed",
    "ProcessingError",
    "ProcessingLimitExceeded",
    "ProcessingTimeout",
    "ProviderNotFound",
    "QueueFull",
    "QueueUnavailable",
    "QuotaExceeded",
    "RateLimited",
    "RepositoryError",
    "RequestError",
    "SearchFailed",
    "SourceAuthRequired",
    "SourceError",
    "SourceForbidden",
    "SourceTruncated",
    "SourceUnavailable",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "Text",
    "Unauthorized",
    "UploadError",
    "UploadMismatch",
    "UploadMissing",
    "UploadRefused",
    "UploadTooLarge",
    "UrlNotAllowed",
    "YouTubeApiError",
    "YouTubeApiUnavailable",
    "YouTubeKeyRejected",
    "YouTubeQuotaExceeded",
    "all_errors",
    "error_for_code",
]


def error_for_code(code: str, detail: str = "", *, retryable: bool | None = None) -> AppError:
    """Return the error of a code that was received from another process.

    If several classes share the code, the first that is as `retryable` as that process says; for an unknown code,
    InternalError.
    """
    classes = _BY_CODE.get(code, [InternalError])
    return next((cls for cls in classes if cls.retryable is retryable), classes[0])(detail)


def all_errors() -> list[type[AppError]]:
    """Return all classes of the tree that define a code, in the order of their modules."""
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
