// A chat of audio messages: sends files, and shows everybody's.

import { button, clock, make } from "./dom.js";
import { follow } from "./events.js";
import { player } from "./player.js";
import { record } from "./recorder.js";
import { here, upload } from "./upload.js";
import { reason, say, translate } from "./words.js";

const chat = decodeURIComponent(location.pathname.split("/")[2]);
const find = (id) => document.getElementById(id);
const cards = new Map(); // by asset id

translate();
find("chat").textContent = chat;
document.title = `Butakero: ${chat}`;

function card(name) {
  const element = make("li", { class: "card" });
  find("messages").append(element);
  const shown = { element, name, state: "" };
  showEmpty();
  return shown;
}

function show(shown, state, ...content) {
  shown.state = state;
  shown.element.dataset.state = state;
  shown.element.replaceChildren(make("div", { class: "name" }, shown.name || say("unnamed")), ...content);
}

function tell(shown, words) {
  find("news").textContent = `${shown.name}: ${words}`;
}

function showEmpty() {
  find("empty").hidden = find("messages").children.length > 0;
}

function showProcessing(shown) {
  const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
  show(shown, "processing", make("div", { class: "row" }, spinner, make("span", { class: "state" }, say("processing"))));
}

function showFailed(shown, title, reason, ...actions) {
  const words = make("div", { class: "grow" }, make("div", { class: "state" }, title), make("div", {}, reason));
  show(shown, "failed", make("div", { class: "row" }, words, ...actions));
  tell(shown, `${title}. ${reason}`);
}

function onUpdate(update) {
  let shown = cards.get(update.asset_id);
  if (shown && (shown.state === update.status || shown.state === "done")) return;
  if (!shown) {
    shown = card(update.name);
    cards.set(update.asset_id, shown);
  }
  shown.name = update.name || shown.name;
  if (update.status === "processing") {
    if (shown.state !== "failed") showProcessing(shown);
  } else if (update.status === "done") {
    const { waveform, duration } = update;
    show(shown, "done", player({ name: shown.name, url: here(update.url), waveform, duration }));
    tell(shown, say("done"));
  } else if (update.status === "failed") {
    showFailed(shown, say("failed"), reason(update.error_code, update.message));
  }
}

async function send(file, shown = card(file.name)) {
  const cancelling = new AbortController();
  const bar = make("progress", { max: "1", value: "0", "aria-label": `${say("uploading")} ${file.name}` });
  const part = make("span", { class: "muted" }, say("percent", { n: 0 }));
  const cancel = button(say("cancel"), () => cancelling.abort());
  const words = make("div", { class: "grow" }, make("div", { class: "state muted" }, say("uploading"), " ", part), bar);
  show(shown, "uploading", make("div", { class: "row" }, words, cancel));
  shown.element.scrollIntoView({ block: "nearest" });
  const remove = () => {
    shown.element.remove();
    showEmpty();
  };
  try {
    await upload(file, chat, {
      signal: cancelling.signal,
      onProgress(done) {
        bar.value = done;
        part.textContent = say("percent", { n: Math.floor(done * 100) });
      },
      onPrepared(assetId) {
        cards.set(assetId, shown);
        showProcessing(shown);
      },
    });
  } catch (error) {
    if (error.name === "AbortError") return remove();
    const again = button(say("retry"), () => send(file, shown));
    showFailed(shown, say("notSent"), error.message, again, button(say("remove"), remove));
  }
}

function sendAll(files) {
  for (const file of files) send(file);
}

function complain(words) {
  find("complaint").textContent = words;
  find("complaint").hidden = !words;
}

function offerFiles() {
  find("files").addEventListener("change", () => {
    sendAll(find("files").files);
    find("files").value = "";
  });
  let inside = 0; // each element that is entered tells, and each that is left
  const dropping = (change) => {
    inside = change === 0 ? 0 : inside + change;
    document.body.classList.toggle("dropping", inside > 0);
  };
  addEventListener("dragenter", (event) => { event.preventDefault(); dropping(1); });
  addEventListener("dragleave", () => dropping(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dropping(0);
    sendAll(event.dataTransfer.files);
  });
}

function offerRecording() {
  let running = null;
  let ticking;
  const shownAs = (isRecording) => {
    find("record").textContent = say(isRecording ? "stopRecording" : "record");
    find("record").classList.toggle("stop", isRecording);
    find("discard").hidden = find("clock").hidden = !isRecording;
    clearInterval(ticking);
    if (!isRecording) return;
    const began = performance.now();
    const tick = () => { find("clock").textContent = clock((performance.now() - began) / 1000); };
    tick();
    ticking = setInterval(tick, 500);
  };
  const end = () => {
    const ended = running;
    running = null;
    shownAs(false);
    return ended;
  };
  find("record").addEventListener("click", async () => {
    if (running) {
      send(await end().stop());
      return;
    }
    complain("");
    find("record").disabled = true;
    try {
      running = await record();
      shownAs(true);
    } catch (error) {
      complain(error.message);
    } finally {
      find("record").disabled = false;
    }
  });
  find("discard").addEventListener("click", () => end()?.discard());
}

function onState(state) {
  find("connection").textContent = state === "open" ? "" : say("reconnecting");
  if (state === "open") showEmpty();
}

if (document.body.dataset.uploads !== "on" || document.body.dataset.access !== "open") {
  find("unusable").textContent = say(document.body.dataset.uploads === "on" ? "closed" : "off");
  find("unusable").hidden = false;
} else {
  find("composer").hidden = false;
  find("connection").textContent = say("connecting");
  offerFiles();
  offerRecording();
  follow(chat, { onUpdate, onState });
}
