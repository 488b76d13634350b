// The page of the service: sends a recording to v1/classify and shows the answer. No library, no other host.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => (100 * share).toFixed(1);
const state = { session: "", token: "", url: "", asked: 0 };

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

class Refused extends Error {
  constructor(code, text) { super(text); this.code = code; }
}

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Refused("unreached", "The service did not answer; it may have been stopped.");
  }
  const found = await response.json().catch(() => null);
  if (response.ok && found) return found;
  const error = (found && found.error) || { code: "unknown", message: `HTTP ${response.status}`, expected: "" };
  if (error.code === "no_token") at("token-line").hidden = false;
  const text = error.expected ? `${error.message}; expected ${error.expected}.` : `${error.message}.`;
  throw new Refused(error.code, text.charAt(0).toUpperCase() + text.slice(1));
}

function say(text) { at("status").textContent = text; }
function complain(error) {
  say("");
  at("error").textContent = error.message;
}

async function classify(file) {
  const mine = ++state.asked;
  at("error").textContent = "";
  at("answer").hidden = true;
  if (file.size > Number(document.body.dataset.megabytes) * 2 ** 20) {
    complain(new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MB, expected at most ` +
      `${document.body.dataset.megabytes} MB.`));
    return;
  }
  say(`Asking about ${file.name} …`);
  try {
    if (at("adapting").checked && !state.session) await open();
    const headers = state.session ? { "X-Session-Id": state.session } : {};
    const found = await ask("v1/classify?spectrogram=1", { method: "POST", body: file, headers });
    if (mine === state.asked) show(file, found);
  } catch (error) {
    if (["closed_session", "unknown_session"].includes(error.code)) forget();
    if (mine === state.asked) complain(error);
  }
}

function show(file, found) {
  say("");
  if (state.url) URL.revokeObjectURL(state.url);
  state.url = URL.createObjectURL(file);
  at("player").src = state.url;
  at("player").setAttribute("aria-label", `Play ${file.name}`);
  at("label").textContent = called(found);
  const ms = found.milliseconds;
  at("facts").textContent = `${file.name}, ${found.seconds.toFixed(2)} s; decoded in ${ms.decode.toFixed(1)} ms, ` +
    `waited ${ms.queue.toFixed(1)} ms, computed in ${ms.compute.toFixed(1)} ms; model ${found.model.hash}`;
  at("notices").replaceChildren(...found.notices.map((one) => element("li", one.message)));
  bars(found);
  times(found.windows);
  draw(found.spectrogram);
  if (found.session) told(found.session, found);
  at("answer").hidden = false;
  at("label").focus();
}

// With a threshold the label may be "unknown" beside a best class.
function called(found) {
  const other = found.label === (found.best ?? found.label) ? "" : `best: ${found.best}, `;
  return `${found.label} (${other}${percent(found.confidence)} %)`;
}

function bars(found) {
  const rows = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]).map(([name, share]) => {
    const row = element("tr");
    if (name === (found.best ?? found.label)) row.className = "best";
    const cell = element("td", "", { class: "bar", "aria-hidden": "true" });
    const bar = element("div");
    bar.style.width = `${100 * share}%`;
    cell.append(bar);
    row.append(element("th", name, { scope: "row" }), element("td", percent(share), { class: "number" }), cell);
    return row;
  });
  at("bars").replaceChildren(...rows);
}

function times(windows) {
  const names = [...new Set(windows.map((one) => one.label))];
  at("times").hidden = windows.length < 2;
  at("windows").replaceChildren(...windows.map((one) => {
    const best = Math.max(...one.probabilities);
    const button = element("button", `${one.start.toFixed(1)}–${one.end.toFixed(1)} s: ${one.label} ${percent(best)} %`,
      { type: "button" });
    button.style.borderLeftColor = `hsl(${(360 * names.indexOf(one.label)) / names.length} 70% 45%)`;
    button.addEventListener("click", () => { at("player").currentTime = one.start; at("player").play(); });
    const item = element("li");
    item.append(button);
    return item;
  }));
}

// Black, violet, orange, white: brighter is louder, also without colours.
const STOPS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 204]];
function colour(level) {
  const place = (level / 255) * (STOPS.length - 1), low = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[low].map((value, i) => value + (place - low) * (STOPS[low + 1][i] - value));
}

const LEFT = 60, BELOW = 36;
function draw(picture) {
  const canvas = at("spectrogram"), context = canvas.getContext("2d"), { frames, bins } = picture;
  const levels = Uint8Array.from(atob(picture.levels), (character) => character.charCodeAt(0));
  const image = new ImageData(frames, bins);
  for (let t = 0; t < frames; t++) {
    for (let f = 0; f < bins; f++) {
      image.data.set([...colour(levels[t * bins + f]), 255], 4 * ((bins - 1 - f) * frames + t));
    }
  }
  const small = element("canvas", "", { width: frames, height: bins });
  small.getContext("2d").putImageData(image, 0, 0);
  const width = canvas.width - LEFT, height = canvas.height - BELOW;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(small, LEFT, 0, width, height);
  context.fillStyle = context.strokeStyle = getComputedStyle(document.body).color;
  context.font = "13px system-ui, sans-serif";
  context.textAlign = "center";
  for (let i = 0; i <= 5; i++) {
    const x = LEFT + (i * width) / 5;
    context.fillText(((picture.seconds * i) / 5).toFixed(picture.seconds < 10 ? 1 : 0), Math.min(x, canvas.width - 14),
      height + 16);
  }
  context.fillText("seconds", LEFT + width / 2, height + 32);
  context.textAlign = "right";
  for (let i = 0; i <= 4; i++) {
    context.fillText(Math.round((picture.hz * i) / 4), LEFT - 6, Math.max(height * (1 - i / 4) + 4, 12));
  }
  context.fillText("Hz", LEFT - 24, height + 16);
  state.seconds = picture.seconds;
  canvas.setAttribute("aria-label", `Spectrogram: ${picture.seconds.toFixed(2)} s, 0 to ${picture.hz} Hz`);
  at("caption").textContent = `Seconds by Hz; brighter is louder, over ${picture.range_db} dB below the loudest.`;
}

function follow() {
  const canvas = at("spectrogram"), cursor = at("cursor"), share = at("player").currentTime / state.seconds;
  cursor.hidden = !(share > 0);
  cursor.style.left = `${(100 * (LEFT + Math.min(share, 1) * (canvas.width - LEFT))) / canvas.width}%`;
}

// Sessions, where the service has them: a model that adapts to what this page sends.
async function open() {
  const found = await ask("v1/sessions", { method: "POST" });
  state.session = found.session;
  at("reset").disabled = false;
  told(found, {});
}

function forget() {
  state.session = "";
  at("reset").disabled = true;
  at("session-status").textContent = "The session is over; the next recording opens another one.";
}

function told(session, found) {
  const parts = [`${session.method}: ${session.updates} updates, ${session.rollbacks} taken back`,
    `learnt from ${session.clips_learnt_from} clips, ${session.clips_waiting} are waiting`];
  if (session.answers_from === "source") parts.push("it answers as the model was given, since adapting did harm");
  if (found.source) {
    parts.push(found.source.label === found.label ? "adapting did not change this label"
      : `without adapting this is ${found.source.label}`);
  }
  at("session-status").textContent = `${parts.join("; ")}.`;
}

async function reset() {
  try {
    told(await ask(`v1/sessions/${state.session}/reset`, { method: "POST" }), {});
  } catch (error) {
    if (["closed_session", "unknown_session"].includes(error.code)) forget();
    complain(error);
  }
}

async function leave() {
  if (at("adapting").checked || !state.session) return;
  const name = state.session;
  state.session = "";
  at("reset").disabled = true;
  at("session-status").textContent = "The session is closed.";
  await ask(`v1/sessions/${name}`, { method: "DELETE" }).catch(() => {});
}

at("file").addEventListener("change", (event) => {
  if (event.target.files.length) classify(event.target.files[0]);
  event.target.value = ""; // the same file can be chosen again
});
at("token").addEventListener("change", (event) => { state.token = event.target.value.trim(); });
at("adapting").addEventListener("change", leave);
at("reset").addEventListener("click", reset);
at("player").addEventListener("timeupdate", follow);
at("player").addEventListener("error", () => {
  at("caption").textContent += " This browser cannot play the recording.";
});
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
});
at("session").hidden = document.body.dataset.adapt !== "session";
