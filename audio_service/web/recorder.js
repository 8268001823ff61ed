// Records the microphone, and gives one file.

import { say } from "./words.js";

const ENDINGS = { "audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "m4a" };

// Rejects with what to tell the user. The result's `stop` resolves to a File, its `discard` to nothing.
export async function record() {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(say("insecure"));
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    throw new Error(say("noMicrophone"));
  }
  const recorder = new MediaRecorder(stream);
  const parts = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.start(1000);
  const end = () => new Promise((resolve) => {
    recorder.addEventListener("stop", resolve, { once: true });
    recorder.stop();
    for (const track of stream.getTracks()) track.stop();
  });
  return {
    discard: end,
    async stop() {
      await end();
      const type = recorder.mimeType.split(";")[0];
      return new File(parts, `${say("recorded")}.${ENDINGS[type] ?? "webm"}`, { type });
    },
  };
}
