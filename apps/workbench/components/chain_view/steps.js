// The chain as text: colour is the category, its strength the metric; a bar says which way.
class Steps {
  constructor(view) {
    this.view = view;
    this.search = make("input", { type: "search", placeholder: "search this path and the tree  ( / )", "aria-label": "Search", oninput: () => view.find(this.search.value),
      onkeydown: (e) => { e.stopPropagation(); if (e.key === "Escape") { this.search.value = ""; view.find(""); this.search.blur(); } if (e.key === "Enter") view.nextMatch(e.shiftKey ? -1 : 1); } });
    this.count = make("span", { class: "push" });
    this.list = make("div", { class: "scroll", role: "listbox", "aria-label": "Steps of the chain" });
    this.legend = make("div", { class: "legend" });
    this.pane = make("div", { class: "pane" }, make("div", { class: "head" }, this.search, this.count), this.list, this.legend);
    this.off = new Set();
    this.only = false;
  }

  show(data) {
    this.data = data;
    this.rows = data.steps.map((step, i) => this.row(step, i));
    this.list.replaceChildren(...this.rows);
    if (!this.rows.length) this.list.append(make("p", { class: "empty" }, "This chain has no steps. Choose another chain above."));
    this.drawLegend();
  }

  row(step, i) {
    const m = step.metric;
    const bar = make("span", { class: `bar ${this.data.signed ? (m.value < 0 ? "down" : "") : "plain"}` }, make("i"));
    const name = step.category ? step.category.replaceAll("_", " ") : "no category";
    const told = [`step ${step.idx}: ${name}${step.backtracks ? ", backtracks" : ""}`, `${this.data.metric}: ${estimate(m, this.data.signed)}`,
      m.n1 === null ? `n ${m.n}` : `n ${m.n1} before, ${m.n2} after`,
      m.null_q95 === null ? "" : `null floor ±${number(m.null_q95)}`, m.q === null ? "" : `q ${m.q < 0.001 ? "<0.001" : m.q.toFixed(3)}`,
      step.over ? `overdetermined: ${step.over}` : ""].filter(Boolean).join("\n");
    return make("div", { class: `step ${step.stands ? "stands" : ""}`, role: "option", title: told, "data-step": i, style: { "--c": `var(--c${step.cat})`, "--s": step.strength.toFixed(3) },
      onclick: () => this.view.select({ step: i, node: -1 }), onmouseenter: () => this.view.hover(i, -1), onmouseleave: () => this.view.hover(-1, -1) },
      make("span", { class: "no" }, String(step.idx)), bar,
      make("span", {}, said(step.text), step.backtracks ? make("span", { class: "tags" }, " ↩") : null, step.over ? make("span", { class: "tags" }, " ≡") : null),
      make("span", { class: "delta" }, number(m.value, this.data.signed) + (step.stands ? "∗" : "")));
  }

  drawLegend() {
    const seen = [...new Set(this.data.steps.map((step) => step.cat))].sort();
    const chips = seen.map((cat) => make("button", { "aria-pressed": this.off.has(cat) ? "false" : "true", title: "show or dim these steps", onclick: () => { this.off.has(cat) ? this.off.delete(cat) : this.off.add(cat); this.drawLegend(); this.dim(); } },
      make("span", { class: "swatch", style: { "--c": `var(--c${cat})` } }), this.data.categories[cat].replaceAll("_", " ")));
    const only = make("button", { class: "only", "aria-pressed": String(this.only), title: "only steps beyond chance (q < 0.05)", onclick: () => { this.only = !this.only; this.drawLegend(); this.dim(); } }, "∗ only beyond chance");
    const marks = [this.data.steps.some((step) => step.backtracks) ? "↩ backtracks" : "", this.data.steps.some((step) => step.over) ? "≡ overdetermined" : "", `strength: ${this.data.metric}, 0 to ${number(this.data.largest)}`].filter(Boolean);
    this.legend.replaceChildren(...chips, only, ...marks.map((mark) => make("span", {}, mark)));
  }

  dim() {
    this.data.steps.forEach((step, i) => this.rows[i].classList.toggle("dim", this.off.has(step.cat) || (this.only && !step.stands) || (this.view.query && !this.view.stepMatches.has(i))));
  }

  mark(step, hovered) {
    this.rows.forEach((row, i) => { row.classList.toggle("on", i === step); row.classList.toggle("hover", i === hovered); if (i === step) row.setAttribute("aria-selected", "true"); else row.removeAttribute("aria-selected"); });
  }

  reveal(step) { this.rows[step]?.scrollIntoView({ block: "nearest" }); }
}
