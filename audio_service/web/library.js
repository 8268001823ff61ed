// Searches the library and plays its songs.

import { make } from "./dom.js";
import { player } from "./player.js";
import { say, translate } from "./words.js";

const API = "/api/v1/media";
const form = document.querySelector("#search");
const status = document.querySelector("#status");
const songs = document.querySelector("#songs");
const more = document.querySelector("#more");

let search = { title: "", cursor: undefined };

function row(song) {
  const { title, duration_ms: duration } = song.metadata;
  const url = `${API}/${encodeURIComponent(song.video_id)}/audio.ogg`;
  const plays = player({ name: title, url, waveform: [], duration: duration / 1000 });
  return make("li", { class: "card" }, make("div", { class: "name" }, title), plays);
}

async function load() {
  const current = search;
  const query = new URLSearchParams({ title: current.title });
  if (current.cursor) query.set("cursor", current.cursor);
  let body;
  try {
    body = await (await fetch(`${API}/search?${query}`)).json();
  } catch {
    body = { success: false, error: { message: say("serviceAway") } };
  }
  if (current !== search) return; // a later search has begun
  if (!body.success) {
    status.textContent = body.error.message;
    return;
  }
  songs.append(...body.data.map(row));
  status.textContent = songs.children.length ? "" : say("noSongs");
  search = { title: current.title, cursor: body.next_cursor };
  more.hidden = !body.next_cursor;
}

translate();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search = { title: new FormData(form).get("title"), cursor: undefined };
  songs.replaceChildren();
  more.hidden = true;
  load();
});
more.addEventListener("click", load);
