// The one connection to the server: questions with ids, answers by id or by type, pictures as binary messages. It comes
// back by itself, later and later, after it was lost.

const PAUSES = [0.5, 1, 2, 4, 8];

export class Socket {
  constructor() {
    this.handlers = new Map();
    this.questions = new Map();
    this.serial = 0;
    this.attempts = 0;
    this.timer = 0;
    this.up = false;
  }

  /** Calls `handler` with every message of a type; "up" and "down" are the connection's own. */
  on(type, handler) {
    this.handlers.set(type, [...(this.handlers.get(type) ?? []), handler]);
  }

  emit(type, message) {
    for (const handler of this.handlers.get(type) ?? []) handler(message);
  }

  connect() {
    clearTimeout(this.timer);
    const token = new URLSearchParams(location.search).get("token") ?? "";
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const base = location.pathname.replace(/[^/]*$/, "");
    const ws = new WebSocket(`${scheme}://${location.host}${base}ws?token=${encodeURIComponent(token)}`);
    ws.binaryType = "arraybuffer";
    ws.addEventListener("message", ({ data }) => (typeof data === "string" ? this.text(data) : this.picture(data)));
    ws.addEventListener("close", () => this.lost(ws));
    this.ws = ws;
  }

  lost(ws) {
    if (ws !== this.ws) return;
    this.up = false;
    const questions = [...this.questions.values()];
    this.questions.clear();
    for (const { reject } of questions) reject(new Error("the server was lost"));
    const pause = PAUSES[Math.min(this.attempts, PAUSES.length - 1)];
    this.attempts += 1;
    this.timer = setTimeout(() => this.connect(), pause * 1000);
    this.emit("down", { pause, attempts: this.attempts });
  }

  text(data) {
    const message = JSON.parse(data);
    if (message.type === "hello") {
      this.up = true;
      this.attempts = 0;
      this.emit("up", message);
    }
    const question = this.questions.get(message.id);
    if (question && message.type === "error") {
      this.questions.delete(message.id);
      question.reject(new Error(message.message));
      return;
    }
    if (question && message.type === "progress") question.progress?.(message);
    if (question && message.type === question.until) {
      this.questions.delete(message.id);
      question.resolve({ ...message, picture: question.picture });
    }
    this.emit(message.type, message);
  }

  picture(data) {
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const picture = { header, blob: new Blob([new Uint8Array(data, 4 + length)], { type: header.mime }) };
    const question = this.questions.get(header.id);
    if (question) question.picture = picture;
    if (question?.until === "picture") {
      this.questions.delete(header.id);
      question.resolve(picture);
    }
    this.emit("picture", picture);
  }

  /** Sends a message without waiting; its id, or null when there is no connection. */
  send(message) {
    if (!this.up || this.ws.readyState !== WebSocket.OPEN) return null;
    const id = message.id ?? ++this.serial;
    this.ws.send(JSON.stringify({ ...message, id }));
    return id;
  }

  /** Sends a message; a promise of the answer of type `until`, "picture" for a picture. */
  ask(message, until, progress = null) {
    const id = this.send(message);
    if (id === null) return Promise.reject(new Error("there is no connection to the server"));
    const answer = new Promise((resolve, reject) => this.questions.set(id, { until, resolve, reject, progress }));
    answer.id = id;
    return answer;
  }
}
