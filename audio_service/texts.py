"""What the audio service says to people, beside the errors (`common.errors`). Argentine Spanish and English."""

from __future__ import annotations

from common.errors import Text

PROCESSED = Text("Listo", "Ready")
DOWNLOADED = Text("Descarga completa", "Download complete")

# Programs read these too (CONTRACTS.md): the health answer has them in Spanish in every locale.
HEALTHY = "saludable"
UNHEALTHY = "no saludable"
ALL_HEALTHY = "Todos los servicios son saludables"
SOME_UNHEALTHY = "Hay servicios que no son saludables"

ROUTE_NOT_FOUND = Text("Esa dirección no existe en esta API.", "There is nothing at that address of this API.")
METHOD_NOT_ALLOWED = Text("Esta dirección solo se puede leer.", "That address can only be read.")
RANGE_NOT_SATISFIABLE = Text(
    "El rango pedido empieza después del final del archivo.", "The requested range begins after the end of the file."
)
QUERY_TOO_LONG = Text("La consulta es demasiado larga.", "The query is too long.")
HEADER_TOO_LONG = Text("Un encabezado del pedido es demasiado largo.", "A header of the request is too long.")
BODY_TOO_LARGE = Text("El cuerpo del pedido es demasiado grande.", "The request's body is too large.")
ORIGIN_NOT_ALLOWED = Text(
    "Las páginas de ese origen no pueden usar esta API.", "Pages of that origin may not use this API."
)
BAD_REQUEST = Text("El pedido HTTP no es válido.", "The HTTP request is not valid.")

PARAMETER_MISSING = Text("Falta el parámetro «{field}».", "The parameter “{field}” is missing.")
PARAMETER_TOO_SHORT = Text(
    "El parámetro «{field}» es demasiado corto: {limit} o más caracteres, sin contar los signos.",
    "The parameter “{field}” is too short: {limit} or more characters, not counting punctuation.",
)
PARAMETER_EMPTY = Text("El parámetro «{field}» está vacío.", "The parameter “{field}” is empty.")
PARAMETER_TOO_LONG = Text(
    "El parámetro «{field}» es demasiado largo: {limit} caracteres como máximo.",
    "The parameter “{field}” is too long: at most {limit} characters.",
)
PARAMETER_TOO_SMALL = Text(
    "El parámetro «{field}» tiene que ser {limit} o más.", "The parameter “{field}” must be {limit} or more."
)
PARAMETER_TOO_LARGE = Text(
    "El parámetro «{field}» tiene que ser {limit} o menos.", "The parameter “{field}” must be {limit} or less."
)
PARAMETER_NOT_A_NUMBER = Text(
    "El parámetro «{field}» tiene que ser un número entero.", "The parameter “{field}” must be a whole number."
)
PARAMETER_INVALID = Text("El parámetro «{field}» no es válido.", "The parameter “{field}” is not valid.")
