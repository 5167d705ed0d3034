// Shared by the views that draw on a canvas; put in front of each one's script.

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

const channels = css => (css.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);

function luminance([r, g, b]) {
  const part = v => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
}

const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);

/** Fill and text colour of each ramp step: the theme's ink while it reads at 4.5 : 1, else black or white. */
function palette(ramp, ink) {
  const inkLight = luminance(channels(ink));
  return Array.from({ length: 256 }, (_, i) => {
    const rgb = ramp.subarray(3 * i, 3 * i + 3), light = luminance(rgb);
    let text = ink;
    if (contrast(light, inkLight) < 4.5) text = contrast(light, 0) >= contrast(light, 1) ? "#000" : "#fff";
    return { fill: `rgb(${rgb.join()})`, text };
  });
}

function element(parent, className, text = "") {
  const made = document.createElement("div");
  made.className = className;
  made.textContent = text;
  parent.append(made);
  return made;
}

/** A pattern of thin lines in ink, for what is not there. */
function hatching(pen, ink, strength) {
  const tile = document.createElement("canvas"), side = Math.round(5 * devicePixelRatio), lines = tile.getContext("2d");
  tile.width = tile.height = side;
  lines.strokeStyle = ink;
  lines.globalAlpha = strength;
  lines.lineWidth = devicePixelRatio;
  lines.beginPath();
  for (const from of [-side, 0, side]) { lines.moveTo(from, side); lines.lineTo(from + side, 0); }
  lines.stroke();
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / devicePixelRatio));
  return pattern;
}

/** A payload as bytes: hosts hand it over as an array, a buffer, or a view of one, of which an array would be empty. */
const bytesOf = data => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data));

/** The header of a payload, and the place and bytes behind it. */
function opened(data) {
  const bytes = bytesOf(data);
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  return { bytes, head: JSON.parse(utf8.decode(bytes.subarray(4, 4 + length))), at: 4 + length };
}

/** A value with its unit, as Python's `numbers.exact` writes it. */
function exact(value, digits, unit) {
  const said = value.toPrecision(digits).replace("Infinity", "∞").replaceAll("-", "−");
  return `${said}${unit ? ` ${unit}` : ""}`;
}

/** What the views share: their parts and their end, one drawing a frame, the theme, and telling their host. */
class CanvasView {
  constructor(root, parts) {
    this.root = root;
    for (const name of parts) this[name] = root.querySelector(`.ls-${name}`);
    this.canvas = root.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    this.selected = this.hover = -1;
    this.stop = new AbortController();
    root._rect = i => this.rect(i);
  }

  on(target, name, run, more = {}) {
    target.addEventListener(name, run, { signal: this.stop.signal, ...more });
  }

  /** Call back whenever the view gets another size. */
  watchSize(run) {
    this.sizes = new ResizeObserver(run);
    this.sizes.observe(this.root);
  }

  close() {
    this.stop.abort();
    this.sizes.disconnect();
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
  }

  requestDraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  /** Take ink, colours and hatching of the theme on screen; whether they are others than before. */
  takeTheme(ramps, strength) {
    const ink = getComputedStyle(this.root).color, ground = getComputedStyle(this.tip).backgroundColor;
    const key = `${ink}|${ground}|${devicePixelRatio}`;
    if (key === this.themeKey) return false;
    this.themeKey = key;
    this.ink = ink;
    this.dark = luminance(channels(ground)) < 0.18;
    this.ramp = ramps[this.dark ? "dark" : "light"];
    this.colours = palette(this.ramp, ink);
    this.hatch = hatching(this.pen, ink, strength);
    return true;
  }

  /** Select and tell the host, at once or after `wait` ms without another choice. */
  choose(i, revision, wait) {
    this.pick(i);
    clearTimeout(this.timer);
    const tell = () => this.send([this.selected, revision]);
    if (wait) this.timer = setTimeout(tell, wait);
    else tell();
  }
}

/**
 * Build a view in an element of any host. `data` is a payload of Python, `send` gets each choice as [number, revision].
 * `update` takes what changed: a payload, a choice made elsewhere (null for none), another `send`.
 */
function mounted(View, root, { data, send }) {
  const own = document.createElement("div");
  own.className = View.kind;
  own.innerHTML = View.parts;
  root.append(own);
  const view = own._view = new View(own);
  const update = ({ data, selected, send }) => {
    if (send) view.send = send;
    if (data) view.update(data);
    if (selected === undefined || (selected ?? -1) === view.selected) return;
    clearTimeout(view.timer);
    view.pick(selected ?? -1);
  };
  update({ data, send: send ?? (() => {}) });
  return { update, close() { view.close(); own.remove(); } };
}
