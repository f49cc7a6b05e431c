// Labelling: tasks are fetched ahead and made ready, so that a key shows the next one at once; answers stay in the
// browser, each under a key of its own, until the server says that it has them. What is shown comes from content.py.
const $ = (id) => document.getElementById(id), box = $("choices"), record = $("record");
const { mode, team, question, person, place } = $("bench").dataset, grid = mode === "grid", store = localStorage;
const KEYS = [..."1234567890abcdefghijklmnopqrstuvwxyz"], VERDICTS = { "-": "skip", "?": "cannot_tell", "!": "bad" };
const AHEAD = grid ? 240 : 16, mine = `tilth/${place}/${person}/`, outbox = `${mine}out/`;
const questions = {}, done = new Set(), past = [], keys = new Map();
let queue = [], kept = [], asked, now = [], filter, learned, boot, busy, filling, down;
let most = 64, wait = 0, began = 0, active = Date.now(), count = 0, spent = 0, looked = 0;

const el = (tag, props, ...inside) => {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...inside);
  return made;
};
const say = (text) => { $("said").textContent = text; };
const facts = (pairs) => el("dl", { className: "facts" }, ...pairs.flatMap(([k, v]) => [el("dt", {}, k), el("dd", { className: "lines" }, v)]));
const buttons = () => [...box.querySelectorAll(".choice")].filter((b) => !b.hidden);
const some = (tasks) => (tasks.length > 1 ? `${tasks.length} records` : tasks[0].key);
const hint = (t) => ($("hide").checked ? undefined : t.suggestion);

// What is kept here until the server has it
function keep(op) {
  op.key = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("");
  op.name = `${outbox}${Date.now()}-${String(count).padStart(6, 0)}-${op.key}`;
  kept.push(op);
  try { store.setItem(op.name, JSON.stringify(op)); } catch { say("Too large to keep here: stay until it is sent."); }
}
function forget(op) {
  kept = kept.filter((o) => o !== op);
  store.removeItem(op.name);
}
async function ask(path, body) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(20000),
    headers: { accept: "application/json", "content-type": "application/json" } });
  const told = await answer.json(), status = answer.status;
  if (status === 401 || status > 499) throw Object.assign(Error(), { told: told.error });
  if (boot && told.boot && told.boot !== boot) say("The server was restarted; your work goes on.");
  boot = told.boot ?? boot;
  if (told.wanted) [$("bar").max, $("bar").value] = [told.wanted, told.complete];
  if (told.agreement) $("agreement").textContent = told.agreement;
  if (status !== 200) say(told.error);
  wait = down = 0;
  return { status, ...told };
}
const trying = (what) => async (...given) => {
  try { await what(...given); } catch (why) {
    if (why instanceof ReferenceError) throw why;
    down = why.told || "sent when the network is back";
    wait = Math.min(wait * 2 || 1000, 30000);
    setTimeout(send, wait * (0.8 + Math.random() / 2));
  }
  busy = filling = false;
  $("net").hidden = !down;
  $("net").textContent = kept.length ? `${kept.length} kept here, ${down}` : "Not connected; tries again by itself.";
};
const send = trying(async () => {
  while (kept.length && !busy) {
    busy = true;
    const n = kept.findIndex((op) => op.undo), batch = kept.slice(0, n ? Math.min(most, n < 0 ? most : n) : 1);
    for (const op of batch) op.sent = 1;
    const told = await (n ? ask("/label/answers", { answers: batch }) : ask("/label/undo", { tasks: batch[0].undo }));
    busy = false;
    if (told.tasks && told.status === 403) batch.filter((op) => told.tasks.includes(op.task)).forEach(forget);
    else if (told.status !== 200 && batch.length > 1) most = 1;
    else batch.forEach(forget), (most = 64);
    for (const r of told.receipts ?? []) if (r.state === "refused") say(r.why);
    if (told.taken?.length) took(told);
  }
  if (!asked) fill(1);
});
function took({ taken }) {
  queue = queue.filter((t) => !taken.includes(t.id));
  show();
  say("A run has taken that answer already; it stands in the record's history.");
}
const fill = trying(async (must) => {
  if (filling || (!must && (queue.length > AHEAD / 2 || Date.now() - looked < 3000))) return;
  filling = true;
  const have = [...queue.map((t) => t.id), ...kept.flatMap((op) => op.task ?? [])], old = queue.length;
  const told = await ask("/label/next", { team, question, n: AHEAD, have, review: mode === "review" });
  if (told.status !== 200) return;
  queue = queue.filter((t, i) => !i || t.back || told.held.includes(t.id));
  take(told);
  if (queue.length <= old) looked = Date.now();
  $("none").textContent = told.why || "Nothing to answer now. This page looks again by itself.";
  if (!asked || grid) show();
});
function take(told, front) {
  for (const q of told.questions) questions[q.id] = q;
  const fresh = told.tasks.filter((t) => !done.has(t.id) && !queue.some((o) => o.id === t.id));
  for (const t of fresh) t.node = content(t), (t.back = front);
  queue = front ? [...fresh, ...queue] : [...queue, ...fresh];
}

// What is shown
const PARTS = {
  image({ value, name }) {
    const image = el("img", { src: value, alt: name });
    image.decode().then(() => image.classList.toggle("tiny", image.naturalWidth < 128), () => {});
    return image;
  },
  audio: ({ value }) => el("audio", { src: value, controls: true, preload: "auto" }),
  grey({ value, name, side }) {
    const canvas = el("canvas", { width: side, height: side, className: "tiny", role: "img", ariaLabel: name });
    const image = new ImageData(side, side);
    [...atob(value)].forEach((c, i) => image.data.fill(c.charCodeAt(0), 4 * i, 4 * i + 3).fill(255, 4 * i + 3, 4 * i + 4));
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  },
  text: ({ value, kind }) => el("p", { className: `lines ${kind}` }, value),
};
const content = (t) => el("div", { className: "content" }, ...t.parts.map((p) => (PARTS[p.kind] ?? PARTS.text)(p)),
  ...(t.facts.length ? [facts(t.facts)] : []), ...(t.votes ?? []).map(([who, said]) => el("span", { className: "vote" }, who, el("strong", {}, said))));

function show() {
  const t = queue[0];
  $("none").hidden = !!t;
  box.hidden = $("verdicts").hidden = !t;
  now = !t ? [] : grid ? queue.filter((o) => o.question === t.question && o.suggestion === t.suggestion).slice(0, 24) : [t];
  if (now.every((o) => o.off)) for (const o of now) o.off = false;
  record.replaceChildren(...(grid ? now.map(tile) : now.map((o) => o.node)));
  $("ask").textContent = t ? `${some(now)} · ${questions[t.question].ask}` : "";
  if (!t) return (asked = 0);
  if (asked !== questions[t.question] || t.fields) choices(t);
  if (filter) filtered("");
  for (const b of buttons()) b.classList.toggle("suggested", b.value === hint(t)), several() && (b.ariaPressed = false);
  $("why").replaceChildren(facts(t.why));
  if (count) $("pace").textContent = `${count} by you now, ${(spent / count).toFixed(1)} s each`;
  if (grid) record.firstChild.focus();
  began = performance.now();
}
const press = (t, b) => { b.ariaPressed = !(t.off = !t.off); };
const tile = (t) => el("button", { className: "tile", ariaPressed: !t.off, ariaLabel: t.key, onclick: (e) => press(t, e.currentTarget) }, t.node);
const several = () => asked.label === "classes";

// How it is answered
function choices(t) {
  asked = questions[t.question];
  $("guide").hidden = !asked.guide;
  $("guide").lastElementChild.textContent = asked.guide;
  keys.clear();
  filter = null;
  if (t.fields) return box.replaceChildren(form(t));
  box.replaceChildren(...asked.names.map((value) => el("button", { value, className: "choice" }, el("kbd"), value)));
  if (several()) box.append(el("button", { className: "main", onclick: accept }, "Done ", el("kbd", {}, "Enter")));
  if (asked.names.length < 21) return name(JSON.parse(store.getItem(`tilth/keys/${asked.names}`)) ?? asked.keys);
  filter = el("input", { type: "search", ariaLabel: "Type to filter", placeholder: "type to filter", oninput: () => filtered(filter.value) });
  box.prepend(filter);
}
function name(some) {
  keys.clear();
  buttons().forEach((b, i) => {
    b.firstChild.hidden = !(b.firstChild.textContent = some[i] ?? "");
    keys.set(some[i], b);
  });
}
function filtered(said) {
  filter.value = said;
  for (const b of box.querySelectorAll(".choice")) b.hidden = !b.value.toLowerCase().includes(said.toLowerCase());
  name(KEYS.slice(0, 9));
  if (matchMedia("(pointer: fine)").matches && !grid) filter.focus();
}
function form(t) {
  const fields = t.fields.map(({ tag, options, ...props }) => el(tag, props, ...(options ?? []).map((o) => new Option(o, o))));
  const onsubmit = async (e) => {
    e.preventDefault();
    const row = {};
    for (const f of fields) {
      const bytes = f.files && new Uint8Array(await f.files[0].arrayBuffer());
      row[f.name] = bytes ? btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join("")) : f.type !== "number" ? f.value : f.value && +f.value;
    }
    if (queue[0] === t) choose("answer", asked.kind === "label" ? row.label : row);
  };
  return el("form", { className: "stack", onsubmit }, ...fields.map((f) => el("label", {}, f.name, f)), el("button", { className: "main" }, "Send"));
}
function choose(verdict, value) {
  const tasks = now.filter((t) => !t.off), seconds = Math.min((performance.now() - began) / 1000 / tasks.length, 3600);
  if (!tasks.length) return;
  for (const t of tasks) {
    done.add(t.id);
    count += 1;
    spent += seconds;
    keep({ task: t.id, ticket: t.ticket, verdict, value, seconds, shown: hint(t) !== undefined });
  }
  past.push(tasks);
  queue = queue.filter((t) => !done.has(t.id));
  active = Date.now();
  show();
  say(`${verdict === "answer" ? (typeof value === "object" ? "sent" : value) : verdict}: ${some(tasks)}. ${queue.length ? `Next: ${queue[0].key}` : "Nothing is left."}`);
  send();
  fill();
}
const pick = (b) => (several() ? (b.ariaPressed = b.ariaPressed !== "true") : choose("answer", b.value));
function accept() {
  if (!asked) return;
  const value = several() ? buttons().filter((b) => b.ariaPressed === "true").map((b) => b.value) : filter?.value ? buttons()[0]?.value : hint(queue[0]);
  if (value !== undefined) choose("answer", value);
}
const undo = trying(async () => {
  let tasks = past.pop(), told;
  if (!tasks) {
    if (kept.length) return say("First what is kept here has to be sent.");
    told = await ask("/label/undo", {});
    for (const t of told.tasks) done.delete(t.id);
    take(told, 1);
    show();
    return told.taken.length ? took(told) : say(told.tasks.length ? `Undone: ${some(told.tasks)}` : "There is nothing to undo.");
  }
  const ops = kept.filter((op) => tasks.some((t) => t.id === op.task));
  if (ops.length === tasks.length && !ops.some((op) => op.sent)) ops.forEach(forget);
  else keep({ undo: tasks.map((t) => ({ task: t.id, ticket: t.ticket })) });
  for (const t of tasks) (t.back = 1), done.delete(t.id);
  queue = [...tasks, ...queue];
  count -= tasks.length;
  show();
  say(`Undone: ${some(tasks)}`);
  send();
});

// Keys and clicks
function learn(key) {
  if (key === "escape") learned = 0;
  else if (key.length === 1 && !"-?!=* ".includes(key) && !learned.includes(key)) learned.push(key);
  if (learned && learned.length === asked.names.length) {
    store.setItem(`tilth/keys/${asked.names}`, JSON.stringify(learned));
    name(learned);
    learned = 0;
  }
  say(learned ? `Press the key for ${asked.names[learned.length]}; Esc leaves them as they are.` : "The keys stand.");
}
function move(key) {
  const tiles = [...record.children], row = tiles.filter((t) => t.offsetTop === tiles[0].offsetTop).length;
  tiles[tiles.indexOf(document.activeElement) + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[key]]?.focus();
}
document.addEventListener("keydown", (e) => {
  const key = e.key.toLowerCase(), on = e.target, field = on.matches("input:not([type=checkbox]), textarea, select"), mod = e.ctrlKey || e.metaKey;
  const free = !field || (on === filter && !filter.value), found = keys.get(key);
  let act;
  if (e.isComposing || e.altKey || (field && on !== filter)) return;
  if (free && (key === "backspace" || (mod && key === "z"))) act = undo;
  else if (mod || e.repeat || !asked) return;
  else if (learned) act = () => learn(key);
  else if (key === "enter") act = !on.matches("a, summary, audio, [type=checkbox], button:not(.tile)") && accept;
  else if (free && VERDICTS[key]) act = () => choose(VERDICTS[key]);
  else if (free && key === "=") act = () => $("guide").toggleAttribute("open");
  else if (grid && key.startsWith("arrow")) act = () => move(e.key);
  else if (grid && key === "*") act = () => [...record.children].forEach((b, i) => press(now[i], b));
  else if (found) act = () => pick(found);
  else if (filter && key.length === 1 && key !== " ") filter.focus();
  if (act) e.preventDefault(), act();
});
$("bench").addEventListener("click", (e) => {
  const b = e.target.closest(".choice, [data-do]"), what = b?.dataset.do;
  // a pointer would leave the focus on what it clicked, and Enter press that again
  if (b && e.detail) b.blur();
  if (what === "undo") undo();
  else if (what === "keys") learn((learned = []).join());
  else if (what === "reset") store.removeItem(`tilth/keys/${asked.names}`), name(asked.keys);
  else if (b) what ? choose(what) : pick(b);
});
$("hide").checked = store.getItem(`${mine}hide`);
$("hide").onchange = (e) => { store.setItem(`${mine}hide`, e.target.checked ? 1 : ""); show(); };
addEventListener("online", send);
addEventListener("pagehide", () => navigator.sendBeacon("/label/leave"));
addEventListener("pageshow", (e) => e.persisted && fill(1));
setInterval(() => Date.now() - active < 300000 && fill(1), 60000);
setInterval(() => asked || document.hidden || fill(1), 5000);
kept = Object.keys(store).filter((n) => n.startsWith(outbox)).sort().map((n) => JSON.parse(store.getItem(n)));
for (const op of kept) done.add(op.task);
await send();
await fill(1);
