// Labelling: tasks are fetched ahead and made ready, so that a key shows the next at once; answers stay in the browser,
// each under a key of its own, until the server has them. What a task holds: label/content.py.
const $ = (id) => document.getElementById(id), box = $("choices"), record = $("record"), store = localStorage;
const { mode, team, question, person, place, by } = $("bench").dataset, grid = mode === "grid";
const VERDICTS = { "-": "skip", "?": "cannot_tell", "!": "bad" }, AHEAD = grid ? 240 : 16;
const outbox = `tilth/${place}/${person}/`, questions = {}, done = new Set(), past = [], keys = new Map();
let queue = [], kept = [], now = [], asked, filter, boot, down, most = 64, wait = 0;
let began = 0, active = Date.now(), count = 0, spent = 0, looked = 0, first = true;

const el = (tag, props, ...inside) => {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...inside);
  return made;
};
const facts = (pairs) => el("dl", { className: "facts lines" }, ...pairs.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));
const say = (text) => ($("said").textContent = text);
const some = (tasks) => (tasks.length > 1 ? `${tasks.length} records` : tasks[0].key);
const hint = (t) => ($("hide").checked ? undefined : t.suggestion);
const several = () => asked.label === "classes";
const buttons = () => [...box.querySelectorAll(".choice:not([hidden])")];
const saved = () => `tilth/keys/${asked.names}`;

// What is kept until the server has it
function keep(op) {
  op.key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  op.name = `${outbox}out/${Date.now()}-${1e6 + kept.length}-${op.key}`;
  kept.push(op);
  try { store.setItem(op.name, JSON.stringify(op)); } catch { say("Too large to keep: stay until it is sent."); }
}
function forget(op) {
  kept = kept.filter((o) => o !== op);
  store.removeItem(op.name);
}
function again(told, op) {
  const tasks = past.find((some) => some.some((t) => t.id === told.task)), t = tasks?.find((t) => t.id === told.task);
  if (told.again) done.delete(told.task);
  if (told.again && t) {
    tasks.splice(tasks.indexOf(t), 1);
    if (!tasks.length) past.splice(past.indexOf(tasks), 1);
    t.back = 1;
    t.refused = ` · refused: ${told.why}`;
    for (const f of t.fields ?? []) if (f.type !== "file") f.value = op.value[f.name] ?? f.value;
    queue.splice(1, 0, t); // after the record at hand, which somebody may be filling in
    if (!asked) show();
  }
  say(t ? `${t.key}: ${told.why}` : told.why);
}
async function ask(path, body) {
  const answer = await fetch(`/label/${path}`, { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(20000),
    headers: { accept: "application/json" } });
  const told = await answer.json(), status = answer.status;
  if (status === 401 || status > 499) throw Object.assign(Error(), { told: told.error });
  if (boot && told.boot && told.boot !== boot) say("The server was restarted; your work goes on.");
  boot = told.boot ?? boot;
  if (told.wanted) Object.assign($("bar"), { max: told.wanted, value: told.complete });
  if (status !== 200) say(told.error);
  wait = down = 0;
  return { status, ...told };
}
function trying(what) {
  let busy;
  return async (must) => {
    if (busy) return;
    busy = true;
    try { await what(must); } catch (why) {
      down = why.told || "sent when the network is back";
      wait = Math.min(wait * 2 || 1e3, 3e4);
      setTimeout(send, wait * (0.8 + Math.random() / 2));
    }
    busy = false;
    $("net").hidden = !down;
    $("net").textContent = kept.length ? `${kept.length} kept here, ${down}` : "Not connected; tries again.";
  };
}
const send = trying(async () => {
  while (kept.length) {
    const n = kept.findIndex((op) => op.undo), batch = kept.slice(0, n ? Math.min(most, n < 0 ? most : n) : 1);
    for (const op of batch) op.sent = 1;
    const told = await (n ? ask("answers", { answers: batch }) : ask("undo", { tasks: batch[0].undo })), { status, tasks, taken = [] } = told;
    if (status === 200 || batch.length < 2) batch.forEach(forget), (most = 64);
    else if (tasks) batch.filter((op) => tasks.includes(op.task)).forEach(forget);
    else most = 1;
    for (const r of told.receipts ?? []) if (r.state === "refused") again(r, batch.find((op) => op.key === r.key));
    if (taken.length) {
      queue = queue.filter((t) => !taken.includes(t.id));
      show();
      say("A run has taken that answer already; it stands in the record's history.");
    }
  }
  if (!asked) fill(1);
});
const fill = trying(async (must) => {
  if (!must && (queue.length > AHEAD / 2 || Date.now() - looked < 3e3)) return;
  const have = [...queue.map((t) => t.id), ...kept.flatMap((op) => op.task ?? [])];
  const told = await ask("next", { team, question, by, n: Math.min(256, AHEAD + kept.length), have, past: first, review: mode === "review" });
  if (told.status !== 200) return;
  first = false;
  for (const q of told.questions) questions[q.id] = q;
  const fresh = told.tasks.filter((t) => !done.has(t.id) && !queue.some((o) => o.id === t.id));
  queue = [...queue.filter((t, i) => !i || t.back || told.held.includes(t.id)), ...fresh];
  past.unshift(...told.past.map((t) => [t]));
  for (const t of [...fresh, ...told.past]) t.node = content(t);
  if (!fresh.length) looked = Date.now();
  for (const id of ["agreement", "none"]) $(id).textContent = told[id];
  // what is at hand stays as it is: who is about to press a key must not answer for records that came that moment
  if (!asked || now.some((t) => !queue.includes(t))) show();
});

// What is shown
function part({ kind, name, value }) {
  if (kind === "audio") return el("audio", { src: value, controls: true, preload: "auto" });
  if (kind !== "image") return el("p", { className: `lines ${kind}` }, value);
  const image = el("img", { src: value, alt: name });
  image.decode().then(() => image.classList.toggle("tiny", image.naturalWidth < 128), () => {});
  return image;
}
const content = (t) => el("div", { className: "content" }, ...t.parts.map(part), ...(t.facts.length ? [facts(t.facts)] : []),
  ...(t.votes ?? []).map(([who, said]) => el("span", { className: "vote" }, who, el("strong", {}, said))));
const press = (t) => (t.tile.ariaPressed = !(t.off = !t.off));
const tile = (t) => (t.tile = el("button", { className: "tile", ariaPressed: !t.off, ariaLabel: t.key, onclick: () => press(t) }, t.node));
function show() {
  const t = queue[0], at = now.find((o) => o.tile === document.activeElement);
  $("none").hidden = !!t;
  box.hidden = $("verdicts").hidden = !t;
  now = grid && t && !t.fields ? queue.filter((o) => o.question === t.question && o.group === t.group).slice(0, 24) : queue.slice(0, 1);
  if (now.every((o) => o.off)) for (const o of now) o.off = false;
  record.replaceChildren(...now.map((o) => (grid ? tile(o) : o.node)));
  $("ask").textContent = t ? `${some(now)} · ${questions[t.question].ask}${t.refused ?? ""}` : "";
  if (!t) return (asked = 0);
  if (asked !== questions[t.question] || t.fields) choices(t);
  if (filter) filtered("");
  for (const b of buttons()) b.classList.toggle("suggested", b.value === hint(t)), several() && (b.ariaPressed = false);
  $("why").replaceChildren(facts(t.why));
  const { value, max } = $("bar");
  $("pace").textContent = `${value} of ${max} done${count ? `; ${count} by you now, ${(spent / count).toFixed(1)} s each` : ""}.`;
  if (grid) (now.includes(at) ? at.tile : record.firstChild).focus();
  began = performance.now();
}

// How it is answered
function choices(t) {
  asked = questions[t.question];
  $("guide").hidden = !($("guide").lastChild.textContent = asked.guide);
  filter = keys.clear();
  if (t.fields) return box.replaceChildren(form(t));
  box.replaceChildren(...asked.names.map((value) => el("button", { value, className: "choice" }, el("kbd"), value)));
  if (several()) box.append(el("button", { className: "main", onclick: accept }, "Done ", el("kbd", {}, "Enter")));
  if (asked.names.length < 21) return name(store.getItem(saved()) ?? asked.keys);
  filter = el("input", { type: "search", ariaLabel: "Type to filter", placeholder: "type to filter", oninput: () => filtered(filter.value) });
  box.prepend(filter);
}
function name(by) {
  keys.clear();
  buttons().forEach((b, i) => {
    b.firstChild.hidden = !(b.firstChild.textContent = by[i] ?? "");
    keys.set(by[i], b);
  });
}
function filtered(said) {
  filter.value = said;
  for (const b of box.querySelectorAll(".choice")) b.hidden = !b.value.toLowerCase().includes(said.toLowerCase());
  name("123456789");
  if (matchMedia("(pointer: fine)").matches && !grid) filter.focus();
}
function form(t) {
  const fields = t.fields.map(({ tag, options = [], ...props }) => el(tag, props, ...options.map((o) => new Option(o, o))));
  const onsubmit = async (e) => {
    e.preventDefault();
    const row = {};
    for (const f of fields) {
      const bytes = f.files && new Uint8Array(await f.files[0].arrayBuffer());
      row[f.name] = bytes ? btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join("")) : f.type === "number" && f.value ? +f.value : f.value;
    }
    if (queue[0] !== t) return;
    choose("answer", asked.kind === "label" ? row.label : row);
    box.querySelector("input, textarea, select")?.focus();
  };
  return el("form", { className: "stack", onsubmit }, ...fields.map((f) => el("label", {}, f.name, f)), el("button", { className: "main" }, "Send"));
}
function choose(verdict, value) {
  const tasks = now.filter((t) => !t.off), seconds = Math.min((performance.now() - began) / 1e3 / tasks.length, 3600);
  if (!tasks.length) return;
  for (const t of tasks) {
    done.add(t.id);
    keep({ task: t.id, ticket: t.ticket, verdict, value, seconds, shown: hint(t) !== undefined });
  }
  past.push(tasks);
  queue = queue.filter((t) => !done.has(t.id));
  count += tasks.length;
  spent += seconds * tasks.length;
  active = Date.now();
  show();
  say(`${typeof value === "object" ? "sent" : value ?? verdict}: ${some(tasks)}. ${queue.length ? `Next: ${queue[0].key}` : "Nothing is left."}`);
  send();
  fill();
}
function pick(b) {
  if (!several()) return choose("answer", b.value);
  b.ariaPressed = b.ariaPressed !== "true";
  if (filter) filtered("");
}
function accept() {
  // those too that the filter hides
  const pressed = [...box.querySelectorAll(".choice[aria-pressed=true]")].map((b) => b.value);
  const value = several() ? pressed : filter?.value ? buttons()[0]?.value : hint(queue[0]);
  if (value !== undefined) choose("answer", value);
}
const enter = () => (several() && filter?.value ? buttons().slice(0, 1).forEach(pick) : accept());
function undo() {
  const tasks = past.pop();
  if (!tasks) return say("There is nothing to undo, or a run has taken it.");
  const ops = kept.filter((op) => tasks.some((t) => t.id === op.task));
  if (ops.length === tasks.length && !ops.some((op) => op.sent)) ops.forEach(forget);
  else keep({ undo: tasks.map((t) => ({ task: t.id, ticket: t.ticket })) });
  for (const t of tasks) (t.back = 1), done.delete(t.id);
  queue = [...tasks, ...queue];
  show();
  say(`Undone: ${some(tasks)}`);
  send();
}
function remap() {
  const said = new Set(prompt(`One key for each, in this order: ${asked.names.join(", ")}`, [...keys.keys()].join(""))?.toLowerCase());
  if (said.size !== asked.names.length || [..."-?!=* "].some((c) => said.has(c))) return say("The keys stay: each needs one of its own, none of - ? ! = *");
  store.setItem(saved(), [...said].join(""));
  name(store.getItem(saved()));
}

// Keys and clicks
function move(key) {
  const tiles = [...record.children], row = tiles.filter((t) => t.offsetTop === tiles[0].offsetTop).length;
  tiles[tiles.indexOf(document.activeElement) + { arrowleft: -1, arrowright: 1, arrowup: -row, arrowdown: row }[key]]?.focus();
}
document.addEventListener("keydown", (e) => {
  const key = e.key.toLowerCase(), on = e.target, mod = e.ctrlKey || e.metaKey, found = keys.get(key);
  const free = on !== filter || !filter.value;
  let act;
  if (e.isComposing || e.altKey || (on !== filter && on.matches("input:not([type=checkbox]), textarea, select"))) return;
  // a key that is held down repeats: to clear the filter by it must not go on to undo
  if (free && !e.repeat && (key === "backspace" || (mod && key === "z"))) act = undo;
  else if (mod || e.repeat || !asked) return;
  else if (key === "enter") act = !on.matches("a, summary, audio, [type=checkbox], button:not(.tile)") && enter;
  else if (free && VERDICTS[key]) act = () => choose(VERDICTS[key]);
  else if (free && key === "=") act = () => $("guide").toggleAttribute("open");
  else if (grid && key.startsWith("arrow")) act = () => move(key);
  else if (grid && key === "*") act = () => now.forEach(press);
  else if (found) act = () => pick(found);
  else if (filter && key.length === 1 && key !== " ") filter.focus();
  if (act) e.preventDefault(), act();
});
$("bench").addEventListener("click", (e) => {
  const b = e.target.closest(".choice, [data-do]"), what = b?.dataset.do;
  // a pointer would leave the focus on what it clicked, and Enter press that again
  if (b && e.detail) b.blur();
  if (b) what ? ({ undo, keys: remap }[what] ?? choose)(what) : pick(b);
});
$("hide").checked = store.getItem(`${outbox}hide`);
$("hide").onchange = (e) => { store.setItem(`${outbox}hide`, e.target.checked ? 1 : ""); show(); };
addEventListener("online", send);
addEventListener("pagehide", () => navigator.sendBeacon("/label/leave"));
setInterval(() => (asked ? Date.now() - active < 3e5 : !document.hidden) && fill(1), 15000);
kept = Object.keys(store).filter((n) => n.startsWith(`${outbox}out/`)).sort().map((n) => JSON.parse(store.getItem(n)));
for (const op of kept) done.add(op.task);
await send();
await fill(1);
