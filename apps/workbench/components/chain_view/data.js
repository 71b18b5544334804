// What Python sends: [uint32 length][JSON header][padding to 8][typed arrays]; see components/chain_view.py.
const KINDS = { f4: Float32Array, i4: Int32Array, u4: Uint32Array, u1: Uint8Array };

function unpack(bytes) {
  const start = bytes.byteOffset % 8 ? bytes.slice() : bytes; // typed arrays want aligned memory
  const buffer = start.buffer, base = start.byteOffset;
  const length = new DataView(buffer, base, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, base + 4, length)));
  let at = base + Math.ceil((4 + length) / 8) * 8;
  for (const [name, kind, count] of head.arrays) {
    head[name] = new KINDS[kind](buffer, at, count);
    at = base + Math.ceil((at - base + head[name].byteLength) / 8) * 8;
  }
  return head;
}

// Texts stay bytes until somebody looks at one.
class Texts {
  constructor(bytes, offsets) { this.bytes = bytes; this.offsets = offsets; this.decoder = new TextDecoder(); }
  get length() { return this.offsets.length - 1; }
  at(i) { return this.decoder.decode(this.bytes.subarray(this.offsets[i], this.offsets[i + 1])); }
}

// Elements hold model text through textContent alone: nothing of it is ever read as HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "style") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

const said = (text, extra = "") => {
  const element = make("span", { class: `text ${extra}`, dir: "auto" });
  element.textContent = text;
  return element;
};

function svg(tag, attributes = {}, text = null) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

const number = (value, signed = false) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const shown = Math.abs(value) < 0.005 ? "0.00" : Math.abs(value).toFixed(2);
  return (value <= -0.005 ? "−" : signed && value >= 0.005 ? "+" : "") + shown;
};

const estimate = (e, signed = false) => {
  if (e === null || e.value === null) return (e && e.reason) || "not measured";
  if (e.low === null || e.high === null) return number(e.value, signed);
  return `${number(e.value, signed)} [${number(e.low, signed)}, ${number(e.high, signed)}]`;
};
