// The view: three panes over one selection {step, node}. Only that goes back to Python.
class View {
  constructor(host) {
    this.at = { step: -1, node: -1 };
    this.query = ""; this.stepMatches = new Set(); this.textMatches = new Uint8Array(0);
    this.steps = new Steps(this); this.curve = new Curve(this); this.tree = new Tree(this);
    this.altHead = make("div", { class: "head" }); this.altList = make("div", { class: "scroll" });
    const middle = make("div", { class: "pane" }, this.curve.box, this.tree.bar, this.tree.area, make("div", { class: "legend outcome-legend" }));
    this.outcomeLegend = middle.lastChild;
    this.root = make("div", { class: "cv" }, this.steps.pane, middle, make("div", { class: "pane" }, this.altHead, this.altList));
    this.mount(host);
    this.onKey = (e) => this.key(e);
    this.resized = new ResizeObserver(() => { if (this.data) { this.curve.draw(); this.tree.draw(); } });
  }

  mount(host) { const place = host.querySelector(".place") || host; place.replaceChildren(this.root); }
  attach() { document.addEventListener("keydown", this.onKey); this.resized.observe(this.root); }
  detach() { document.removeEventListener("keydown", this.onKey); this.resized.disconnect(); clearTimeout(this.timer); }

  update(bytes) {
    if (this.bytes && this.same(bytes)) { this.theme(); return; }
    const first = !this.data, before = this.data;
    this.bytes = bytes;
    const data = unpack(bytes);
    data.texts = new Texts(data.text_bytes, data.text_ends);
    data.spineSteps = [];
    for (let i = 0; i < data.x.length; i++) if (data.spine[i]) data.spineSteps.push([i, data.kept[i]]);
    this.data = data;
    this.at = { step: data.at.step, node: data.at.node };
    this.theme();
    this.steps.show(data); this.curve.show(data); this.tree.show(data, before && before.chain === data.chain && before.x.length === data.x.length);
    this.drawOutcomes();
    this.find(this.query);
    this.refresh();
    if (first || before.chain !== data.chain || before.at.step !== data.at.step) this.steps.reveal(this.at.step);
  }

  // The same bytes come again with every rerun: only a changed view is drawn anew.
  same(bytes) {
    const old = this.bytes;
    if (old === bytes) return true;
    if (old.byteLength !== bytes.byteLength) return false;
    for (let i = 0; i < old.byteLength; i++) if (old[i] !== bytes[i]) return false;
    return true;
  }

  theme() {
    const style = getComputedStyle(this.root), probe = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
    const canvas = document.createElement("canvas"), g = canvas.getContext("2d", { willReadFrequently: true });
    g.fillStyle = probe; g.fillRect(0, 0, 1, 1);
    const [r, gr, b] = g.getImageData(0, 0, 1, 1).data;
    const dark = 0.3 * r + 0.59 * gr + 0.11 * b < 128;
    if (this.dark === dark && this.pageColour === probe) return;
    this.dark = dark; this.pageColour = probe;
    this.root.classList.toggle("dark", dark);
    this.root.style.setProperty("--mid", this.ramp(0.5));
    if (this.data) { this.curve.draw(); this.tree.draw(); this.drawOutcomes(); }
  }

  // Vermilion to blue over a grey: told apart by every kind of colour vision, by lightness as well.
  ramp(v) {
    const ends = this.dark ? [[245, 138, 66], [128, 128, 128], [74, 163, 224]] : [[213, 94, 0], [196, 194, 188], [0, 114, 178]];
    const [a, b, t] = v < 0.5 ? [ends[0], ends[1], v * 2] : [ends[1], ends[2], v * 2 - 1];
    return `rgb(${a.map((x, i) => Math.round(x + (b[i] - x) * t)).join(",")})`;
  }

  outcomeColours() { // correct, unjudged, wrong, unparsable, truncated
    return this.dark ? ["#4aa3e0", "#2cc79b", "#f58a42", "#e08cbe", "#80868f"] : ["#0072b2", "#009e73", "#d55e00", "#cc79a7", "#a9aeb5"];
  }

  drawOutcomes() {
    const colours = this.outcomeColours(), seen = this.data.outcomes.filter((_, o) => this.data.shares.some(([, shares]) => shares[o]));
    this.outcomeLegend.replaceChildren(...seen.map((name) => make("span", {}, make("span", { class: "swatch", style: { "--c": colours[this.data.outcomes.indexOf(name)] } }), name + " ")),
      make("span", {}, make("span", { class: "ramp" }), " never → always right; hollow: too few rollouts"));
  }

  stepOf(node) {
    let i = node;
    while (this.data.parent[i] >= 0 && !this.data.spine[i]) i = this.data.parent[i];
    const kept = this.data.kept[i] - (i === node && this.data.parent[i] >= 0 ? 1 : 0); // a node of the spine is what its step led to
    let found = 0;
    this.data.steps.forEach((step, s) => { if (step.kept <= kept) found = s; });
    return found;
  }

  selectedNode() {
    if (this.at.node >= 0) return this.at.node;
    const step = this.data.steps[this.at.step];
    return step ? (this.data.spineSteps.find(([, kept]) => kept === step.kept + step.span) || [-1])[0] : -1;
  }

  select(at, quiet = false) {
    this.at = at;
    this.refresh();
    this.tree.reveal(this.selectedNode());
    this.steps.reveal(at.step);
    clearTimeout(this.timer);
    if (!quiet) this.timer = setTimeout(() => this.send("selected", { chain: this.data.chain, step: at.step, node: at.node }), 90); // held keys send the last
  }

  hover(step, node) {
    this.tree.hovered = node >= 0 || step < 0 ? node : (this.data.spineSteps.find(([, kept]) => kept === this.data.steps[step].kept + this.data.steps[step].span) || [-1])[0];
    this.steps.mark(this.at.step, step); this.curve.mark(this.at.step, step);
    this.tree.draw();
  }

  refresh() { this.steps.mark(this.at.step, -1); this.curve.mark(this.at.step, -1); this.tree.draw(); this.drawAlternatives(); }

  drawAlternatives() {
    const step = this.data.steps[this.at.step];
    if (!step) { this.altHead.replaceChildren(make("b", {}, "Alternatives")); this.altList.replaceChildren(make("p", { class: "empty" }, "Click a step, a point of the curve or a node: here stands what else the model said there.")); return; }
    this.altHead.replaceChildren(make("b", {}, `Step ${step.idx}`), make("span", {}, step.category ? step.category.replaceAll("_", " ") : ""), make("span", { class: "push" }, "h l move, ? help"));
    const rows = [["V before", estimate(step.before) + `, n ${step.before.n}`], ["V after", estimate(step.after) + (step.after.n ? `, n ${step.after.n}` : "")], ["ΔV", estimate(step.delta, true)]];
    if (step.delta.null_q95 !== null) rows.push(["null floor", `±${number(step.delta.null_q95)}, q ${step.delta.q === null ? "–" : step.delta.q < 0.001 ? "<0.001" : step.delta.q.toFixed(3)}`]);
    const numbers = make("dl", { class: "numbers" }, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    this.altRows = step.alternatives.map((alt) => make("div", { class: `alt ${alt.node === this.at.node && alt.node >= 0 ? "on" : ""}`, style: { "--share": alt.share.toFixed(4) }, title: `${alt.n} rollouts, V ${estimate(alt.value)}`,
      onclick: () => this.select({ step: this.at.step, node: alt.base ? -1 : alt.node }), onmouseenter: () => this.hover(-1, alt.node) },
      make("span", { class: "share" }, `${Math.round(alt.share * 100)}%`),
      make("span", {}, said(alt.text || "(ends here)"), alt.base ? make("span", { class: "base" }, "  this chain") : null),
      make("span", { class: "v" }, alt.value.value === null ? "–" : number(alt.value.value)),
      make("span", { class: "answers" }, said(alt.answers.map(([answer, n]) => `${answer} ×${n}`).join("   ") || "no answers"))));
    const rest = step.more_n ? [make("p", { class: "empty" }, `${step.more_n.toLocaleString("en")} rollouts say something rarer: it is in the tree.`)] : [];
    if (!this.altRows.length) rest.push(make("p", { class: "empty" }, "No rollouts from here yet. “Branch here” below draws some."));
    this.altList.replaceChildren(numbers, make("div", { class: "tags", style: { margin: "0 2px 5px" } }, `What it said here, ${step.before.n} rollouts; right: value after it`), ...this.altRows, ...rest);
    this.altRows.find((row) => row.classList.contains("on"))?.scrollIntoView({ block: "nearest" });
  }

  find(query) {
    this.query = query.trim().toLowerCase();
    this.stepMatches = new Set();
    this.textMatches = new Uint8Array(this.data.texts.length);
    let nodes = 0;
    if (this.query) {
      this.data.steps.forEach((step, i) => { if (step.text.toLowerCase().includes(this.query)) this.stepMatches.add(i); });
      for (let t = 0; t < this.textMatches.length; t++) if (this.data.texts.at(t).toLowerCase().includes(this.query)) this.textMatches[t] = 1;
      for (let i = 0; i < this.data.x.length; i++) if (!this.data.spine[i] && this.textMatches[this.data.text[i]]) nodes++;
    }
    this.steps.count.textContent = this.query ? `${this.stepMatches.size} steps, ${nodes.toLocaleString("en")} branches` : "";
    this.steps.dim(); this.tree.draw();
  }

  nextMatch(by) {
    const found = [...this.stepMatches];
    if (!found.length) return;
    const next = by > 0 ? found.find((i) => i > this.at.step) ?? found[0] : found.findLast((i) => i < this.at.step) ?? found.at(-1);
    this.select({ step: next, node: -1 });
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || !this.data || !this.root.isConnected) return;
    const target = e.composedPath()[0];
    if (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)) return;
    const n = this.data.steps.length;
    if ((e.key === "j" || e.key === "k") && n) { const by = e.key === "j" ? 1 : -1; this.select({ step: Math.min(n - 1, Math.max(0, this.at.step + by)), node: -1 }); }
    else if (e.key === "l" || e.key === "h") this.sibling(e.key === "l" ? 1 : -1);
    else if (e.key === "/") { this.steps.search.focus(); }
    else if (e.key === "?") this.help();
    else if (e.key === "Escape") { if (this.helpBox) this.help(); else if (this.at.node >= 0) this.select({ step: this.at.step, node: -1 }); }
    else return;
    e.preventDefault();
  }

  sibling(by) {
    const step = this.data.steps[this.at.step];
    if (!step || !step.alternatives.length) return;
    const places = step.alternatives.map((alt) => (alt.base ? -1 : alt.node)), now = places.indexOf(this.at.node);
    const next = now < 0 ? (by > 0 ? 0 : places.length - 1) : Math.min(places.length - 1, Math.max(0, now + by));
    this.select({ step: this.at.step, node: places[next] });
  }

  help() {
    if (this.helpBox) { this.helpBox.remove(); this.helpBox = null; return; }
    const keys = [["j k", "next, previous step"], ["l h", "next, previous alternative at this step"], ["/", "search; Enter goes to the next match"], ["Esc", "back to the chain"], ["?", "this list"], ["drag, wheel", "move and zoom the tree; double click shows all"]];
    this.helpBox = make("div", { class: "help", role: "dialog", "aria-label": "Keyboard" }, make("dl", {}, ...keys.flatMap(([k, v]) => [make("dt", {}, ...k.split(" ").map((one) => make("kbd", {}, one))), make("dd", {}, v)])));
    this.root.append(this.helpBox);
  }
}

const VIEWS = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  let view = VIEWS.get(parentElement);
  if (!view) VIEWS.set(parentElement, (view = new View(parentElement)));
  else if (!view.root.isConnected) view.mount(parentElement);
  view.send = setStateValue;
  view.detach(); view.attach();
  view.update(data);
  return () => view.detach();
}
