// The library: what is new, downloads under way, and a search. Covers are drawn from the title: pictures would be loaded
// from the sources' hosts, which would learn who looks.

import { make } from "./dom.js";
import { player } from "./player.js";
import { reason, say, translate } from "./words.js";

const API = "/api/v1/media";
const REFRESH_MS = 2000;
const form = document.querySelector("#search");
const status = document.querySelector("#status");
const songs = document.querySelector("#songs");
const more = document.querySelector("#more");
const empty = document.querySelector("#empty");

let shown = { path: "newest", query: {}, cursor: undefined };
let refreshing;

function cover(title) {
  const element = make("span", { class: "cover", "aria-hidden": "true" }, [...title.trim()][0]?.toUpperCase() ?? "♪");
  const hue = [...title].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 7);
  element.style.setProperty("--hue", hue);
  return element;
}

// Titles of this kind of source begin with the artist: "Artist - Title".
function named(title) {
  const [artist, ...rest] = title.split(" - ");
  return rest.length ? { artist, song: rest.join(" - ") } : { artist: "", song: title };
}

function made(song) {
  if (!song.encoding) return song.metadata.platform;
  return [song.metadata.platform, say(song.encoding === "transcoded" ? "encoded" : "copied")].filter(Boolean).join(" · ");
}

function row(song) {
  const { title, duration_ms: duration } = song.metadata;
  const { artist, song: name } = named(title || song.video_id);
  const words = make("div", { class: "grow" }, make("div", { class: "name" }, name), make("div", { class: "muted" }, [artist, made(song)].filter(Boolean).join(" · ")));
  const card = make("li", { class: "card song" }, make("div", { class: "row" }, cover(title), words));
  if (song.status === "success") {
    const url = `${API}/${encodeURIComponent(song.video_id)}/audio.ogg`;
    card.append(player({ name: title, url, waveform: [], duration: duration / 1000 }));
  } else if (song.status === "processing") {
    card.dataset.state = "processing";
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    card.append(make("div", { class: "row" }, spinner, make("span", { class: "state" }, say("downloading"))));
  } else {
    card.dataset.state = "failed";
    card.append(make("div", { class: "state" }, reason(song.error_code, song.message)));
  }
  card.dataset.version = `${song.video_id} ${song.status} ${song.updated_at}`;
  return card;
}

async function ask(path, query) {
  try {
    return await (await fetch(`${API}/${path}?${new URLSearchParams(query)}`)).json();
  } catch {
    return { success: false, error: { message: say("serviceAway") } };
  }
}

async function load() {
  const current = shown;
  const query = current.cursor ? { ...current.query, cursor: current.cursor } : current.query;
  const body = await ask(current.path, query);
  if (current !== shown) return; // a later search has begun
  if (!body.success) {
    status.textContent = body.error.message;
    return;
  }
  songs.append(...body.data.map(row));
  const isSearch = current.path === "search";
  empty.hidden = isSearch || songs.children.length > 0;
  status.textContent = songs.children.length || !isSearch ? "" : say("noSongs");
  shown = { ...current, cursor: body.next_cursor };
  more.hidden = !body.next_cursor;
  refreshSoon();
}

// While a download is under way its end is asked for. What plays stays as it is.
function refreshSoon() {
  clearTimeout(refreshing);
  if (shown.path !== "newest" || document.hidden) return;
  const isWaiting = songs.querySelector("[data-state=processing]");
  refreshing = setTimeout(refresh, isWaiting ? REFRESH_MS : 5 * REFRESH_MS);
}

async function refresh() {
  const current = shown;
  const body = await ask("newest", current.query);
  if (current !== shown) return;
  if (body.success) {
    const before = new Map([...songs.children].map((card) => [card.dataset.version.split(" ")[0], card]));
    for (const song of body.data.slice().reverse()) {
      const card = before.get(song.video_id);
      const isSame = card?.dataset.version.startsWith(`${song.video_id} ${song.status} `);
      if (isSame) continue;
      const next = row(song);
      if (card) card.replaceWith(next);
      else songs.prepend(next);
    }
    empty.hidden = songs.children.length > 0;
  }
  refreshSoon();
}

translate();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const title = new FormData(form).get("title").trim();
  shown = title ? { path: "search", query: { title } } : { path: "newest", query: {} };
  songs.replaceChildren();
  empty.hidden = more.hidden = true;
  load();
});
more.addEventListener("click", load);
document.addEventListener("visibilitychange", refreshSoon);
load();
