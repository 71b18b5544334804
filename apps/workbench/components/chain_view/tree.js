// The tree on a canvas. Python has laid it out: x across, y the depth; the spine is one straight line.
class Tree {
  constructor(view) {
    this.view = view;
    this.canvas = make("canvas", { "aria-label": "Tree of rollouts; the alternatives are also listed as text", tabindex: "0" });
    this.tip = make("div", { class: "tip" });
    this.area = make("div", { class: "canvas" }, this.canvas, this.tip);
    this.mode = make("select", { title: "colour of the nodes", onchange: () => this.draw() }, make("option", { value: "value" }, "colour: value"), make("option", { value: "share" }, "colour: share right"), make("option", { value: "category" }, "colour: category"), make("option", { value: "made" }, "colour: changed"));
    this.told = make("span");
    this.bar = make("div", { class: "head" }, this.told, make("span", { class: "push" }), this.mode,
      make("button", { title: "zoom in", onclick: () => this.zoom(1.4) }, "+"), make("button", { title: "zoom out", onclick: () => this.zoom(1 / 1.4) }, "−"),
      make("button", { title: "show all (double click)", onclick: () => { this.fit(); this.draw(); } }, "fit"), make("button", { title: "save the tree as a picture", onclick: () => this.save() }, "PNG"));
    this.hovered = -1;
    this.canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(Math.exp(-e.deltaY * 0.0016), e.offsetX, e.offsetY); }, { passive: false });
    this.canvas.addEventListener("dblclick", () => { this.fit(); this.draw(); });
    this.canvas.addEventListener("pointerdown", (e) => { this.drag = { x: e.offsetX, y: e.offsetY, ox: this.ox, oy: this.oy, moved: false }; this.canvas.setPointerCapture(e.pointerId); });
    this.canvas.addEventListener("pointermove", (e) => this.move(e));
    this.canvas.addEventListener("pointerup", (e) => { const drag = this.drag; this.drag = null; this.canvas.classList.remove("pan"); if (drag && !drag.moved) this.click(e); });
    this.canvas.addEventListener("pointerleave", () => { this.tip.style.display = "none"; this.view.hover(-1, -1); });
  }

  show(data, keep) {
    this.data = data;
    const rows = new Map();
    for (let i = 0; i < data.x.length; i++) { const row = rows.get(data.y[i]); if (row) row.push(i); else rows.set(data.y[i], [i]); }
    for (const row of rows.values()) row.sort((a, b) => data.x[a] - data.x[b]);
    this.rows = rows;
    this.most = 1; this.minX = 0; this.maxX = 0; this.maxY = 1;
    for (let i = 0; i < data.x.length; i++) {
      if (data.visits[i] > this.most) this.most = data.visits[i];
      if (data.x[i] < this.minX) this.minX = data.x[i];
      if (data.x[i] > this.maxX) this.maxX = data.x[i];
      if (data.y[i] > this.maxY) this.maxY = data.y[i];
    }
    this.told.replaceChildren(make("b", {}, data.x.length.toLocaleString("en")), ` nodes${data.left_out ? `, ${data.left_out.toLocaleString("en")} did not fit` : ""}`);
    if (!keep || !this.sx) this.fit();
    this.draw();
  }

  fit() {
    const w = this.area.clientWidth || 400, h = this.area.clientHeight || 400, left = 36, right = 15; // numbers of steps are at the left
    this.sy = (h - 36) / this.maxY;
    this.sx = Math.max((w - left - right) / Math.max(4, this.maxX - this.minX), 2.2); // wider trees begin at the spine
    const whole = (this.maxX - this.minX) * this.sx <= w - left - right + 2;
    this.ox = whole ? left - this.minX * this.sx : w / 2;
    this.oy = 18;
  }

  zoom(factor, px = this.area.clientWidth / 2, py = this.area.clientHeight / 2) {
    const f = Math.min(Math.max(factor, 0.2), 5);
    this.ox = px - (px - this.ox) * f; this.oy = py - (py - this.oy) * f; this.sx *= f; this.sy *= f;
    this.draw();
  }

  px(i) { return this.data.x[i] * this.sx + this.ox; }
  py(i) { return this.data.y[i] * this.sy + this.oy; }

  colours() {
    const style = getComputedStyle(this.view.root), take = (name) => style.getPropertyValue(name).trim();
    return { good: take("--good"), bad: take("--bad"), ink: style.color, page: this.view.pageColour, mark: take("--mark"), none: take("--none"), categories: [0, 1, 2, 3, 4, 5, 6, 7, 8].map((c) => take(`--c${c}`)) };
  }

  // Eleven steps between never right and always right: a node's colour is an index, so that nodes are drawn in batches.
  bucket(i) {
    const mode = this.mode.value, data = this.data;
    if (mode === "category") return data.category[i] === 255 ? -1 : data.category[i];
    if (mode === "made") return data.made[i] ? data.made[i] : -1;
    const v = mode === "value" ? data.value[i] : data.share[i];
    return Number.isNaN(v) ? -1 : Math.round(v * 10);
  }

  radius(i) { return Math.max(this.data.spine[i] ? 3.4 : 1.4, Math.min(8, 1.6 + 6.2 * Math.sqrt(this.data.visits[i] / this.most))); }

  draw() { if (!this.asked) this.asked = requestAnimationFrame(() => { this.asked = null; this.paint(); }); }

  paint() {
    const data = this.data, w = this.area.clientWidth, h = this.area.clientHeight;
    if (!data || !w || !h) return;
    const dpr = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(w * dpr) || this.canvas.height !== Math.round(h * dpr)) { this.canvas.width = Math.round(w * dpr); this.canvas.height = Math.round(h * dpr); }
    const g = this.canvas.getContext("2d"), c = this.colours();
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    g.fillStyle = c.page; g.fillRect(0, 0, w, h);
    const inside = (i, pad = 20) => { const x = this.px(i), y = this.py(i); return x > -pad && x < w + pad && y > -pad && y < h + pad; };
    g.strokeStyle = c.ink; g.globalAlpha = data.x.length > 4000 ? 0.14 : 0.25; g.lineWidth = 1; g.beginPath();
    const thick = [];
    for (let i = 0; i < data.x.length; i++) {
      const p = data.parent[i];
      if (p < 0 || (!inside(i) && !inside(p))) continue;
      if (data.spine[i] || data.visits[i] > this.most * 0.04) { thick.push(i); continue; }
      g.moveTo(this.px(p), this.py(p)); g.lineTo(this.px(i), this.py(i));
    }
    g.stroke(); g.globalAlpha = 0.5;
    for (const i of thick) {
      g.lineWidth = data.spine[i] ? 3 : 0.8 + 4 * Math.sqrt(data.visits[i] / this.most);
      g.globalAlpha = data.spine[i] ? 0.65 : 0.4;
      g.beginPath(); g.moveTo(this.px(data.parent[i]), this.py(data.parent[i])); g.lineTo(this.px(i), this.py(i)); g.stroke();
    }
    g.globalAlpha = 1;
    const batches = new Map();
    for (let i = 0; i < data.x.length; i++) { if (!inside(i)) continue; const b = this.bucket(i), batch = batches.get(b); if (batch) batch.push(i); else batches.set(b, [i]); }
    for (const [b, batch] of [...batches].sort((x, y) => x[0] - y[0])) {
      g.beginPath();
      for (const i of batch) {
        const r = this.radius(i), x = this.px(i), y = this.py(i);
        if (data.made[i]) { const d = r + 2.5; g.moveTo(x, y - d); g.lineTo(x + d, y); g.lineTo(x, y + d); g.lineTo(x - d, y); g.closePath(); continue; } // a diamond: something was changed here
        if (r < 2.2 && data.x.length > 3000) { g.rect(x - r, y - r, 2 * r, 2 * r); continue; } // circles cost ten times as much
        g.moveTo(x + r, y); g.arc(x, y, r, 0, 6.2832);
      }
      if (b < 0) { g.fillStyle = c.page; g.fill(); g.strokeStyle = c.none; g.lineWidth = 1; g.stroke(); }
      else { g.fillStyle = ["category", "made"].includes(this.mode.value) ? c.categories[b] : this.view.ramp(b / 10); g.fill(); }
    }
    this.rings(g, c, inside);
    if (this.sy > 13) { g.fillStyle = c.ink; g.globalAlpha = 0.6; g.font = "10.5px system-ui, sans-serif"; for (const [i, step] of this.data.spineSteps) if (inside(i)) g.fillText(String(step), 5, this.py(i) + 4); g.globalAlpha = 1; }
  }

  rings(g, c, inside) {
    const ring = (i, colour, pad, width) => { if (i < 0 || !inside(i, 60)) return; g.strokeStyle = colour; g.lineWidth = width; g.beginPath(); g.arc(this.px(i), this.py(i), this.radius(i) + pad, 0, 6.2832); g.stroke(); };
    if (this.view.query) for (let i = 0; i < this.data.x.length; i++) if (this.view.textMatches[this.data.text[i]] && inside(i)) ring(i, c.mark, 2, 1.5);
    const selected = this.view.selectedNode();
    if (selected >= 0) {
      g.strokeStyle = c.mark; g.lineWidth = 2.4; g.beginPath(); let i = selected;
      g.moveTo(this.px(i), this.py(i));
      while (this.data.parent[i] >= 0) { i = this.data.parent[i]; g.lineTo(this.px(i), this.py(i)); }
      g.globalAlpha = 0.55; g.stroke(); g.globalAlpha = 1;
      ring(selected, c.mark, 3, 2.6);
    }
    ring(this.hovered, c.ink, 2.5, 1.6);
  }

  nearest(x, y) {
    const fy = (y - this.oy) / this.sy, fx = (x - this.ox) / this.sx;
    let best = -1, least = 14 * 14;
    for (const depth of new Set([Math.floor(fy), Math.round(fy), Math.ceil(fy)])) {
      const row = this.rows.get(depth);
      if (!row) continue;
      let low = 0, high = row.length;
      while (low < high) { const mid = (low + high) >> 1; if (this.data.x[row[mid]] < fx) low = mid + 1; else high = mid; }
      for (const j of [low - 2, low - 1, low, low + 1]) {
        if (j < 0 || j >= row.length) continue;
        const dx = this.px(row[j]) - x, dy = this.py(row[j]) - y, d = dx * dx + dy * dy;
        if (d < least) { least = d; best = row[j]; }
      }
    }
    return best;
  }

  move(e) {
    if (this.drag) {
      const dx = e.offsetX - this.drag.x, dy = e.offsetY - this.drag.y;
      if (Math.abs(dx) + Math.abs(dy) > 3) { this.drag.moved = true; this.canvas.classList.add("pan"); this.ox = this.drag.ox + dx; this.oy = this.drag.oy + dy; this.draw(); }
      return;
    }
    const i = this.nearest(e.offsetX, e.offsetY);
    this.canvas.classList.toggle("at", i >= 0);
    this.tell(i, e.offsetX, e.offsetY);
    if (i !== this.hovered) this.view.hover(i >= 0 ? this.view.stepOf(i) : -1, i);
  }

  tell(i, x, y) {
    if (i < 0) { this.tip.style.display = "none"; return; }
    const data = this.data, text = said(data.parent[i] < 0 ? "the prompt" : data.texts.at(data.text[i]) || "(ends here)");
    const share = data.share[i], value = data.value[i];
    const told = [`${data.visits[i].toLocaleString("en")} rollouts`, Number.isNaN(value) ? "too few for a value" : `V ${number(value)} [${number(data.low[i])}, ${number(data.high[i])}]`, Number.isNaN(share) ? "" : `${Math.round(share * 100)}% right`].filter(Boolean).join(" · ");
    this.tip.replaceChildren(text, make("small", {}, told));
    this.tip.style.display = "block";
    this.tip.style.left = `${Math.min(Math.max(4, x + 14), Math.max(4, this.area.clientWidth - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${y + 18 + this.tip.offsetHeight > this.area.clientHeight ? y - this.tip.offsetHeight - 10 : y + 18}px`;
  }

  click(e) {
    const i = this.nearest(e.offsetX, e.offsetY);
    if (i >= 0) this.view.select({ step: this.view.stepOf(i), node: this.data.spine[i] ? -1 : i });
  }

  reveal(i) {
    if (i < 0) return;
    const x = this.px(i), y = this.py(i), w = this.area.clientWidth, h = this.area.clientHeight;
    if (x < 12 || x > w - 12) this.ox += w / 2 - x;
    if (y < 12 || y > h - 12) this.oy += h / 2 - y;
  }

  save() {
    this.paint();
    this.canvas.toBlob((blob) => { const link = make("a", { href: URL.createObjectURL(blob), download: "tree.png" }); link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 5000); });
  }
}
