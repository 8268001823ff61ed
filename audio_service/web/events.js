// A chat's changes. A connection begins with the whole state, so that after a lost one nothing is missing.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export function follow(chat, { onUpdate, onState }) {
  let wait = FIRST_WAIT_MS;
  let timer;

  function connect() {
    clearTimeout(timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/chats/${encodeURIComponent(chat)}`);
    socket.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      onState("open");
    });
    socket.addEventListener("message", (event) => {
      const update = JSON.parse(event.data);
      if (update.type === "chat_message_update") onUpdate(update);
    });
    socket.addEventListener("close", () => {
      onState("lost");
      // Not all at once, when the server comes back.
      timer = setTimeout(connect, wait * (0.5 + Math.random() / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    });
  }

  connect();
}
