// One file's way up: prepare, PUT with progress, complete. Rejects with what to tell the user.

import { say } from "./words.js";

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    throw new Error(say("offline"));
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error?.message ?? say("offline"));
  return told;
}

// Another address of this same server (PUBLIC_URL, a proxy's) is used as this page was.
export function here(address) {
  const url = new URL(address, location.href);
  return url.pathname.startsWith("/api/v1/") ? url.pathname + url.search : url.href;
}

function put(permission, file, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(permission.method, here(permission.url));
    for (const [name, value] of Object.entries(permission.headers)) {
      if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value); // the browser's own to set
    }
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / file.size));
    request.addEventListener("load", () => {
      if (request.status < 300) return resolve();
      let message;
      try {
        message = JSON.parse(request.responseText).error.message;
      } catch {
        message = say("offline");
      }
      reject(new Error(message));
    });
    request.addEventListener("error", () => reject(new Error(say("offline"))));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    if (signal.aborted) reject(new DOMException("", "AbortError"));
    else request.send(file);
  });
}

export async function upload(file, chat, { signal, onPrepared, onProgress }) {
  if (!file.size) throw new Error(say("emptyFile"));
  // Types with parameters that the API does not take (codecs="opus") say nothing that it reads.
  const type = file.type.split(";")[0] || "application/octet-stream";
  const prepared = await ask("/chats/upload/prepare/", { name: file.name, size: file.size, type, chat_id: chat });
  signal.throwIfAborted();
  await put(prepared.upload, file.slice(0, file.size, type), signal, onProgress);
  onPrepared(prepared.asset_id);
  await ask("/chats/upload/complete/", { asset_id: prepared.asset_id });
}
