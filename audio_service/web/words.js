// What the pages say, in both languages. Spanish unless the browser prefers English.

const ES = {
  pages: "Páginas", library: "Biblioteca", chat: "Chat", api: "API",
  messages: "Mensajes", composer: "Mandar un mensaje",
  emptyTitle: "Todavía no hay mensajes", emptyNext: "Soltá acá un archivo de audio, elegilo o grabá una nota de voz.",
  dropHint: "Soltá archivos en cualquier lugar de la página.",
  pick: "Elegir archivos", record: "Grabar", stopRecording: "Detener y mandar", discard: "Descartar",
  noMicrophone: "No se pudo usar el micrófono: revisá el permiso del navegador.",
  insecure: "El navegador solo da el micrófono por HTTPS o en localhost.",
  recorded: "nota de voz",
  uploading: "Subiendo", percent: "{n} %", cancel: "Cancelar", retry: "Reintentar", remove: "Quitar",
  processing: "Procesando…", done: "Listo", failed: "Archivo dañado", notSent: "No se pudo mandar",
  offline: "El servicio no responde.", emptyFile: "El archivo está vacío.",
  connecting: "Conectando…", reconnecting: "Sin conexión. Reintentando…",
  off: "Los mensajes de audio están apagados: arrancá el servicio con UPLOADS=true para prenderlos.",
  closed: "Este servicio pide una clave, y esta página no la manda: usá la API.",
  file_corrupt: "No se pudo leer el sonido: está cortado o dañado.", file_not_allowed: "No es un audio que se acepte acá.",
  upload_mismatch: "Llegó distinto de lo anunciado.", processing_timeout: "Llevó demasiado tiempo.",
  play: "Reproducir {name}", pause: "Pausar {name}", position: "Posición en {name}", of: "{now} de {all}",
  speed: "Velocidad {n}×", cannotPlay: "No se pudo reproducir.",
  unnamed: "audio",
  search: "Buscá en la biblioteca", searchButton: "Buscar", more: "Más", songs: "Canciones",
  noSongs: "Nada por acá con ese título.", serviceAway: "El servicio no responde.",
  downloading: "Descargando…",
  libraryEmptyTitle: "La biblioteca está vacía", libraryEmptyNext: "Pedí una canción con /music play en Discord o con «butakero request».",
  copied: "sin recodificar", encoded: "recodificado",
};
const EN = {
  pages: "Pages", library: "Library", chat: "Chat", api: "API",
  messages: "Messages", composer: "Send a message",
  emptyTitle: "No messages yet", emptyNext: "Drop an audio file here, pick one, or record a voice note.",
  dropHint: "Drop files anywhere on the page.",
  pick: "Pick files", record: "Record", stopRecording: "Stop and send", discard: "Discard",
  noMicrophone: "The microphone could not be used: check the browser's permission.",
  insecure: "Browsers give the microphone over HTTPS or on localhost only.",
  recorded: "voice note",
  uploading: "Uploading", percent: "{n} %", cancel: "Cancel", retry: "Try again", remove: "Remove",
  processing: "Processing…", done: "Ready", failed: "File corrupted", notSent: "Could not be sent",
  offline: "The service does not answer.", emptyFile: "The file is empty.",
  connecting: "Connecting…", reconnecting: "No connection. Trying again…",
  off: "Audio messages are off: start the service with UPLOADS=true to turn them on.",
  closed: "This service asks for a key, which this page does not send: use the API.",
  file_corrupt: "The sound could not be read: it is cut off or damaged.", file_not_allowed: "It is no audio that is taken here.",
  upload_mismatch: "It arrived other than announced.", processing_timeout: "It took too long.",
  play: "Play {name}", pause: "Pause {name}", position: "Position in {name}", of: "{now} of {all}",
  speed: "Speed {n}×", cannotPlay: "It could not be played.",
  unnamed: "audio",
  search: "Search the library", searchButton: "Search", more: "More", songs: "Songs",
  noSongs: "Nothing here by that title.", serviceAway: "The service does not answer.",
  downloading: "Downloading…",
  libraryEmptyTitle: "The library is empty", libraryEmptyNext: "Ask for a song with /music play in Discord, or with “butakero request”.",
  copied: "not encoded again", encoded: "encoded",
};

const preferred = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag === "es" || tag === "en");
export const language = preferred ?? "es";
const WORDS = language === "en" ? EN : ES;

export function say(key, values = {}) {
  return WORDS[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// The reason of a failure in the page's language; the service's own words where the page has none.
export function reason(code, message) {
  return WORDS[code] ?? message;
}

export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = say(element.dataset.words);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
}
