// The page of a run: lights the drawing up as steps finish, and draws the learning curve.
const live = document.getElementById("live");
const last = document.getElementById("last");
const section = document.getElementById("curve");
const form = section.querySelector("form");
const holder = section.querySelector(".plot");
let curve = JSON.parse(section.dataset.curve);
let plot = null;

live.addEventListener("step", (event) => {
  const step = JSON.parse(event.detail.data);
  last.textContent = step.said;
  last.dataset.at = step.number;
});

live.addEventListener("picture", (event) => {
  const told = JSON.parse(event.detail.data);
  for (const node of document.querySelectorAll(".picture [data-node]")) {
    const state = told.states[node.dataset.node];
    if (state && node.dataset.state !== state) node.dataset.state = state;
  }
  if (told.curve) {
    curve = told.curve;
    offer();
    draw();
  }
});

live.addEventListener("gone", () => location.assign("/runs"));

// A metric that is new since the page was made, such as those of the first round.
function offer() {
  const known = new Set(Array.from(form.metric.options, (o) => o.value));
  for (const name of Object.keys(curve.valid)) if (!known.has(name)) form.metric.add(new Option(name, name));
  section.hidden = curve.round.length === 0;
}

const whole = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((e) => [1, 2, 5].map((n) => n * 10 ** e));
const ink = (name) => getComputedStyle(section.querySelector(name)).color;

function draw() {
  if (plot) plot.destroy();
  plot = null;
  const metric = form.metric.value, x = form.x.value;
  if (!metric || !curve.round.length) return;
  const soft = ink(".keys .soft"), grid = { stroke: soft, width: 0.3 };
  const shown = (v) => (v === null || v === undefined ? "–" : v.toFixed(4));
  const line = (label, colour, dash) => ({
    label, stroke: colour, width: 2, dash, spanGaps: true, value: (_, v) => shown(v),
    points: { show: true, size: dash ? 6 : 8, fill: colour },
  });
  const xs = curve[x];
  // a single point stands in the middle: uPlot would draw an axis of a hundred for it
  const span = (_, lo, hi) => (xs.length === 1 || lo === hi ? [xs[0] - 0.5, xs[0] + 0.5] : [lo, hi + (hi - lo) * 0.02]);
  const axis = { stroke: soft, grid, ticks: grid, font: "12px system-ui" };
  const label = form.x.selectedOptions[0].text;
  plot = new uPlot({
    width: holder.clientWidth, height: 280,
    scales: { x: { time: false, range: span } },
    axes: [{ ...axis, incrs: x === "minutes" ? undefined : whole, label, labelFont: "12px system-ui", labelSize: 20 }, { ...axis, size: 64 }],
    series: [
      { label, value: (_, v, __, i) => (v === null || v === undefined ? "–" : `${v} (round ${curve.round[i]}, version ${curve.version[i]})`) },
      line("valid", ink(".keys .valid")), line("test", ink(".keys .test"), [6, 4]),
    ],
  }, [xs, curve.valid[metric] ?? [], curve.test[metric] ?? []], holder);
  plot.over.addEventListener("click", () => {
    const i = plot.cursor.idx;
    if (i !== null) location.assign(`/runs/${section.dataset.run}?version=${curve.version[i]}#version`);
  });
}

form.addEventListener("change", () => {
  const here = new URL(location);
  here.searchParams.set("metric", form.metric.value);
  here.searchParams.set("x", form.x.value);
  history.replaceState(null, "", here);
  draw();
});
form.addEventListener("submit", (event) => event.preventDefault());
new ResizeObserver(() => plot && plot.setSize({ width: holder.clientWidth, height: 280 })).observe(holder);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
