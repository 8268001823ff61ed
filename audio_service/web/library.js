// Searches the library and plays audio.ogg. Titles are untrusted: they become text nodes and nothing else.

const API = "/api/v1/media";
const form = document.querySelector("#search");
const status = document.querySelector("#status");
const songs = document.querySelector("#songs");
const more = document.querySelector("#more");
const player = document.querySelector("#player");

let search = { title: "", cursor: undefined };

function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const rest = String(seconds % 60).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

function play(song, button) {
  songs.querySelector("[aria-current]")?.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  status.textContent = song.metadata.title;
  player.hidden = false;
  player.src = `${API}/${encodeURIComponent(song.video_id)}/audio.ogg`;
  player.play().catch(() => { status.textContent = "No se pudo reproducir."; });
}

function row(song) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const title = document.createElement("span");
  const length = document.createElement("span");
  title.textContent = song.metadata.title;
  length.textContent = duration(song.metadata.duration_ms);
  button.append(title, length);
  button.addEventListener("click", () => play(song, button));
  item.append(button);
  return item;
}

async function load() {
  const current = search;
  const query = new URLSearchParams({ title: current.title });
  if (current.cursor) query.set("cursor", current.cursor);
  let body;
  try {
    body = await (await fetch(`${API}/search?${query}`)).json();
  } catch {
    body = { success: false, error: { message: "El servicio no responde." } };
  }
  if (current !== search) return; // a later search has begun
  if (!body.success) {
    status.textContent = body.error.message;
    return;
  }
  songs.append(...body.data.map(row));
  status.textContent = songs.children.length ? "" : "Nada por acá con ese título.";
  search = { title: current.title, cursor: body.next_cursor };
  more.hidden = !body.next_cursor;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search = { title: new FormData(form).get("title"), cursor: undefined };
  songs.replaceChildren();
  more.hidden = true;
  load();
});
more.addEventListener("click", load);
