// The player of all pages: a waveform as a slider, speeds, one sound at a time. Nothing is loaded before it is played.

import { clock, drawing, make } from "./dom.js";
import { say } from "./words.js";

const PLAY = "M7 4v16l13-8z";
const PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";
const SPEEDS = [1, 1.5, 2];
const STEP_SECONDS = 5;
const HEIGHT = 40;
let playing = null;

// `bars`: 0 to 100. Each covers one unit of width, less a gap.
function outline(bars) {
  return bars.map((bar, at) => {
    const height = Math.max(2, (bar / 100) * HEIGHT);
    return `M${at} ${(HEIGHT - height) / 2}h.65v${height}h-.65z`;
  }).join("");
}

function fewer(bars) {
  const wanted = window.matchMedia("(max-width: 30rem)").matches ? 50 : 100;
  if (bars.length <= wanted) return bars;
  return Array.from({ length: wanted }, (_, at) => Math.max(...bars.slice(Math.floor(at * bars.length / wanted), Math.ceil((at + 1) * bars.length / wanted))));
}

export function player({ name, url, waveform, duration }) {
  const bars = fewer(waveform.length ? waveform : new Array(50).fill(8));
  const sound = new Audio();
  sound.preload = "none";
  let speed = 0;
  let wanted = 0; // where to begin, before anything is loaded

  const icon = drawing("0 0 24 24", { d: PLAY });
  const toggle = make("button", { type: "button", class: "play" }, icon);
  const played = drawing(`0 0 ${bars.length} ${HEIGHT}`, { d: outline(bars) });
  played.setAttribute("class", "played");
  const rest = drawing(`0 0 ${bars.length} ${HEIGHT}`, { d: outline(bars) });
  rest.setAttribute("class", "rest");
  for (const layer of [rest, played]) layer.setAttribute("preserveAspectRatio", "none");
  const wave = make("div", { class: "wave", role: "slider", tabindex: "0", "aria-label": say("position", { name }), "aria-valuemin": "0" }, rest, played);
  const rate = make("button", { type: "button", class: "speed" });
  const time = make("span", { class: "time" });
  const element = make("div", { class: "player" }, toggle, wave, rate, time);

  const length = () => (Number.isFinite(sound.duration) && sound.duration) || duration;
  const position = () => (sound.readyState ? sound.currentTime : wanted);

  function show() {
    const now = Math.min(position(), length());
    const part = length() ? now / length() : 0;
    played.style.clipPath = `inset(0 ${100 - part * 100}% 0 0)`;
    wave.setAttribute("aria-valuemax", length().toFixed(1));
    wave.setAttribute("aria-valuenow", now.toFixed(1));
    wave.setAttribute("aria-valuetext", say("of", { now: clock(now), all: clock(length()) }));
    time.textContent = `${clock(now)} / ${clock(length())}`;
    const running = !sound.paused;
    icon.firstChild.setAttribute("d", running ? PAUSE : PLAY);
    toggle.setAttribute("aria-label", say(running ? "pause" : "play", { name }));
    rate.textContent = `${SPEEDS[speed]}×`;
    rate.setAttribute("aria-label", say("speed", { n: SPEEDS[speed] }));
    element.dataset.playing = String(running);
  }

  function seek(seconds) {
    wanted = Math.max(0, Math.min(seconds, length()));
    if (sound.readyState) sound.currentTime = wanted;
    show();
  }

  async function start() {
    if (playing && playing !== sound) playing.pause();
    playing = sound;
    if (!sound.src) sound.src = url;
    try {
      await sound.play();
    } catch (error) {
      if (error.name !== "AbortError") time.textContent = say("cannotPlay");
    }
  }

  function switchPlaying() {
    if (sound.paused) start();
    else sound.pause();
  }

  function frame() {
    show();
    if (!sound.paused) requestAnimationFrame(frame);
  }

  sound.addEventListener("loadedmetadata", () => {
    if (wanted) sound.currentTime = wanted;
    sound.playbackRate = SPEEDS[speed];
    show();
  });
  sound.addEventListener("play", frame);
  for (const event of ["pause", "seeked", "durationchange"]) sound.addEventListener(event, show);
  sound.addEventListener("ended", () => seek(0));

  toggle.addEventListener("click", switchPlaying);
  rate.addEventListener("click", () => {
    speed = (speed + 1) % SPEEDS.length;
    sound.playbackRate = sound.defaultPlaybackRate = SPEEDS[speed];
    show();
  });

  const at = (event) => {
    const box = wave.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * length());
  };
  wave.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    wave.setPointerCapture(event.pointerId);
    at(event);
  });
  wave.addEventListener("pointermove", (event) => {
    if (wave.hasPointerCapture(event.pointerId)) at(event);
  });
  const KEYS = {
    ArrowRight: () => seek(position() + STEP_SECONDS), ArrowUp: () => seek(position() + STEP_SECONDS),
    ArrowLeft: () => seek(position() - STEP_SECONDS), ArrowDown: () => seek(position() - STEP_SECONDS),
    PageUp: () => seek(position() + 3 * STEP_SECONDS), PageDown: () => seek(position() - 3 * STEP_SECONDS),
    Home: () => seek(0), End: () => seek(length()), " ": switchPlaying, Enter: switchPlaying,
  };
  wave.addEventListener("keydown", (event) => {
    const action = KEYS[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  show();
  return element;
}
