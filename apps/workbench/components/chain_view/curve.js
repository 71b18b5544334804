// Value of each prefix with its interval; below, how the rollouts from it end. One x axis: steps kept.
class Curve {
  constructor(view) { this.view = view; this.box = make("div", { class: "curve-box" }); }

  show(data) { this.data = data; this.draw(); }

  draw() {
    const data = this.data, n = data ? data.steps.length : 0, width = this.box.clientWidth || 400;
    if (!n) { this.box.replaceChildren(); return; }
    const left = 30, right = 10, top = 22, tall = 96, gap = (width - left - right) / Math.max(1, n), sharesTop = top + tall + 20, sharesTall = 30;
    const x = (kept) => left + gap * kept, y = (value) => top + tall * (1 - value);
    const root = svg("svg", { viewBox: `0 0 ${width} ${sharesTop + sharesTall + 16}`, height: sharesTop + sharesTall + 16, role: "img", "aria-label": "Value and outcomes along the chain" });
    root.append(svg("text", { x: left, y: 11 }, data.curve_told));
    for (const tick of [0, 0.5, 1]) {
      root.append(svg("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "grid" }), svg("text", { x: left - 5, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
    }
    let stretch = [];
    const flush = () => {
      if (stretch.length > 1) {
        const up = stretch.map(([k, e]) => `${x(k)},${y(e.high ?? e.value)}`), down = stretch.map(([k, e]) => `${x(k)},${y(e.low ?? e.value)}`).reverse();
        root.append(svg("polygon", { points: [...up, ...down].join(" "), class: "band" }), svg("polyline", { points: stretch.map(([k, e]) => `${x(k)},${y(e.value)}`).join(" "), class: "curve" }));
      }
      stretch = [];
    };
    data.curve.forEach(([kept, e]) => (e.value === null ? flush() : stretch.push([kept, e])));
    flush();
    data.curve.forEach(([kept, e]) => {
      if (e.value === null) return;
      const dot = svg("circle", { cx: x(kept), cy: y(e.value), r: gap < 8 ? 1.6 : 3, class: "dot" });
      root.append(dot);
    });
    root.append(svg("text", { x: left, y: sharesTop - 4 }, "how rollouts end"));
    const colours = this.view.outcomeColours();
    data.shares.forEach(([kept, shares], i) => {
      let bottom = sharesTop + sharesTall;
      const wide = Math.max(1, Math.min(gap * 0.8, 26));
      shares.forEach((share, o) => {
        if (!share) return;
        bottom -= share * sharesTall;
        root.append(svg("rect", { x: x(kept) - (i === 0 ? 0 : wide / 2), y: bottom, width: i === 0 ? wide / 2 : wide, height: share * sharesTall, fill: colours[o] }));
      });
    });
    const every = Math.max(1, Math.ceil(24 / gap / 5) * (gap >= 24 ? 1 : 5));
    for (let kept = 0; kept <= n; kept += gap >= 24 ? 1 : every) root.append(svg("text", { x: x(kept), y: sharesTop + sharesTall + 12, "text-anchor": "middle" }, String(kept)));
    this.hits = data.steps.map((step, i) => {
      const hit = svg("rect", { x: x(step.kept), y: 0, width: Math.max(1, x(step.kept + step.span) - x(step.kept)), height: sharesTop + sharesTall, class: "hit" });
      hit.append(svg("title", {}, `step ${step.idx}: V ${estimate(step.before)} → ${estimate(step.after)}`));
      hit.addEventListener("click", () => this.view.select({ step: i, node: -1 }));
      hit.addEventListener("mouseenter", () => this.view.hover(i, -1));
      hit.addEventListener("mouseleave", () => this.view.hover(-1, -1));
      root.append(hit);
      return hit;
    });
    this.box.replaceChildren(root);
    this.mark(this.view.at.step, -1);
  }

  mark(step, hovered) { (this.hits || []).forEach((hit, i) => { hit.classList.toggle("on", i === step); hit.classList.toggle("hover", i === hovered); }); }
}
