"""Requests that are invalid, so that repeating them does not help."""

from __future__ import annotations

from common.errors.base import AppError, Text


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
