// The map of cells: a matrix as colours on a canvas. The codes come from Python; a large map is one image.
// Names reach fillText and textContent only, never markup.

const TEXT_WIDTH = 24, TEXT_HEIGHT = 13, GAP_FROM = 9, MOST_SINGLE = 8000, KEY_PAUSE = 120, DRAG = 4, CLOSEST = 4;

/** Read the payload written by `pack_cells` in map_payload.py. */
function parseCells(data) {
  let { bytes, head: map, at } = opened(data);
  const n = map.rows * map.columns;
  const take = count => bytes.slice(at, (at += count));
  map.values = new Float32Array(take(4 * n).buffer);
  map.codes = take(n);
  map.frames = map.framed ? take(n) : null;
  map.ramps = { light: take(768), dark: take(768) };
  return map;
}

/** Halve a picture; of four cells the strongest stays, so that no thin line is lost. */
function halved({ rows, columns, codes, there }) {
  const high = Math.ceil(rows / 2), wide = Math.ceil(columns / 2);
  const out = { rows: high, columns: wide, codes: new Uint8Array(high * wide), there: new Uint8Array(high * wide) };
  for (let r = 0; r < rows; r++) {
    for (let c = 0, from = r * columns, to = (r >> 1) * wide; c < columns; c++) {
      const i = from + c, k = to + (c >> 1);
      if (!there[i]) continue;
      out.there[k] = 1;
      if (codes[i] > out.codes[k]) out.codes[k] = codes[i];
    }
  }
  return out;
}

/** Part of the map in sight by key, for a map the page takes away and puts back. */
const views = new Map();

class MapView extends CanvasView {
  static kind = "ls-map";
  static answer = "cell";
  static parts = `
    <div class="ls-legend"></div>
    <div class="ls-view" tabindex="0" role="application" aria-roledescription="map of cells"><canvas></canvas></div>
    <div class="ls-tip" hidden></div>
    <div class="ls-live" aria-live="polite"></div>`;

  constructor(root) {
    super(root, ["legend", "view", "tip", "live"]);
    this.map = null;
    const on = this.on.bind(this);
    on(this.canvas, "pointerdown", e => this.grab(e));
    on(this.canvas, "pointermove", e => this.move(e));
    on(this.canvas, "pointerup", e => this.release(e));
    on(this.canvas, "pointercancel", () => { this.held = null; });
    on(this.canvas, "pointerleave", () => { if (!this.held) this.pointAt(-1); });
    on(this.canvas, "dblclick", () => this.whole());
    on(this.canvas, "wheel", e => this.wheel(e), { passive: false });
    on(this.view, "keydown", e => this.press(e));
    on(document.fonts, "loadingdone", () => this.draw());
    on(window, "resize", () => this.requestDraw());
    this.watchSize(() => this.draw());
  }

  /** Take a payload. The same rows and columns keep the zoom, a new `revision` brings Python's selection. */
  update(data) {
    const next = parseCells(data), before = this.map;
    const same = before?.map_id === next.map_id;
    this.map = next;
    const there = Uint8Array.from(next.values, value => (Number.isNaN(value) ? 0 : 1));
    this.levels = [{ rows: next.rows, columns: next.columns, codes: next.codes, there }];
    this.gaps = there.includes(0);
    this.themeKey = "";
    const say = "Arrow keys move between cells, plus and minus zoom.";
    this.view.setAttribute("aria-label", `${next.title}, ${next.rows} by ${next.columns} cells: ${next.row_title} by ${next.column_title}. ${say}`);
    const old = before ? null : views.get(next.key), known = old?.map_id === next.map_id && old.revision === next.revision;
    if (!same) { this.box = null; this.hover = -1; this.tip.hidden = true; }
    if (known) Object.assign(this, { box: old.box, selected: old.selected });
    else if (!before || before.revision !== next.revision) {
      clearTimeout(this.timer);
      this.selected = next.selected ?? -1;
      if (this.box) this.reveal();
    }
    this.draw();
  }

  // -------------------------------------------------------------- geometry

  /** Places of axes and cells for the present width. */
  fit() {
    const { map, pen } = this, style = getComputedStyle(this.view), size = parseFloat(style.fontSize);
    this.font = `${style.fontSize} ${style.fontFamily}`;
    this.mono = `${style.fontSize} ${getComputedStyle(this.root).getPropertyValue("--ls-code")}`;
    this.size = size;
    pen.font = this.font;
    const widest = labels => Math.min(11 * size, labels.reduce((most, label) => Math.max(most, label.length > 40 ? 0 : pen.measureText(label).width), 0));
    if (this.measured !== `${this.font}|${map.map_id}`) {
      this.measured = `${this.font}|${map.map_id}`;
      this.widths = { row: widest(map.row_labels), column: widest(map.column_labels) };
    }
    const left = map.window ? 2 : Math.ceil(this.widths.row + 1.6 * size + 12), room = Math.max(40, this.root.clientWidth - left - 4);
    this.legend.classList.toggle("beside", map.room > 0 && this.root.clientWidth >= map.room);
    let height = Math.min(map.height || 0.6 * innerHeight, Math.max(40, map.rows * map.row_height));
    if (map.aspect) height = Math.min(height, room * 1.1);
    const width = map.aspect ? Math.min(room, map.aspect * height) : room;
    this.plot = { left, top: map.window ? 2 : Math.ceil(0.6 * size), width: Math.floor(width), height: Math.floor(height) };
    const columns = Math.max(1, Math.min(map.columns, map.column_width ? Math.floor(width / map.column_width) : map.columns));
    if (this.most && this.most !== columns) this.box = null; // another width, another part
    this.most = columns;
    const middle = this.selected < 0 ? 0 : (this.selected % map.columns) - (columns >> 1);
    this.box ??= { x: Math.max(0, Math.min(map.columns - columns, middle)), y: 0, columns, rows: map.rows };
    this.cellWidth = this.plot.width / this.box.columns;
    this.cellHeight = this.plot.height / this.box.rows;
    const under = map.window ? 2 : Math.ceil(2.9 * size);
    return { width: this.root.clientWidth, height: this.plot.height + this.plot.top + under };
  }

  /** Place of a cell on the canvas. */
  place(row, column) {
    const { plot, box } = this;
    return [plot.left + (column - box.x) * this.cellWidth, plot.top + (row - box.y) * this.cellHeight, this.cellWidth, this.cellHeight];
  }

  /** Place of a cell in the window, for tests and the tip. */
  rect(i) {
    const [x, y, width, height] = this.place(Math.floor(i / this.map.columns), i % this.map.columns), at = this.canvas.getBoundingClientRect();
    return { x: at.left + x, y: at.top + y, width, height };
  }

  cellAt(event) {
    if (!this.map || !this.plot) return -1;
    const at = this.canvas.getBoundingClientRect(), { plot, box, map } = this;
    const x = event.clientX - at.left - plot.left, y = event.clientY - at.top - plot.top;
    if (x < 0 || y < 0 || x >= plot.width || y >= plot.height) return -1;
    const row = Math.floor(box.y + y / this.cellHeight), column = Math.floor(box.x + x / this.cellWidth);
    return row < map.rows && column < map.columns ? row * map.columns + column : -1;
  }

  // -------------------------------------------------------------- colour

  readTheme() {
    if (!this.takeTheme(this.map.ramps, 0.16)) return;
    for (const level of this.levels) level.image = null;
    this.drawLegend();
  }

  drawLegend() {
    const { map, legend } = this;
    legend.replaceChildren();
    legend.hidden = Boolean(map.window);
    if (map.title && !map.room) element(legend, "ls-title", map.title);
    const scale = element(legend, "ls-scale"), [low, middle, high] = map.marks;
    const stops = Array.from({ length: 17 }, (_, k) => this.colours[Math.round((255 * k) / 16)].fill);
    const ramp = () => element(scale, "ls-bar half");
    scale.append(low);
    ramp().style.background = `linear-gradient(to right, ${stops.slice(0, 9).join()})`;
    if (!map.room) scale.append(middle);
    ramp().style.background = `linear-gradient(to right, ${stops.slice(8).join()})`;
    scale.append(high);
    const key = (swatch, name) => {
      const made = element(legend, "ls-key");
      element(made, `ls-swatch ${swatch}`);
      made.append(name);
    };
    if (this.gaps && map.missing) key("hatch", map.missing);
    if (map.framed) key("frame", map.framed);
  }

  /** The picture, halved until a cell is at least a pixel of the screen. */
  level() {
    let k = 0;
    const smallest = Math.min(this.cellWidth, this.cellHeight) * devicePixelRatio;
    while (smallest * 2 ** k < 0.75) {
      k++;
      this.levels[k] ??= halved(this.levels[k - 1]);
    }
    const level = this.levels[k];
    if (!level.image) {
      level.image = document.createElement("canvas");
      level.image.width = level.columns;
      level.image.height = level.rows;
      const pen = level.image.getContext("2d"), data = pen.createImageData(level.columns, level.rows), whole = new Uint32Array(data.data.buffer);
      const colour = Uint32Array.from({ length: 256 }, (_, i) => (255 << 24) | (this.ramp[3 * i + 2] << 16) | (this.ramp[3 * i + 1] << 8) | this.ramp[3 * i]);
      for (let i = 0; i < whole.length; i++) if (level.there[i]) whole[i] = colour[level.codes[i]];
      pen.putImageData(data, 0, 0);
    }
    return [level.image, 2 ** k];
  }

  // -------------------------------------------------------------- drawing

  draw() {
    if (!this.map || !this.root.clientWidth) return;
    this.readTheme();
    const { pen, canvas, map } = this, { width, height } = this.fit(), scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    canvas.style.touchAction = this.box.rows >= map.rows ? "pan-y" : "none";
    const { plot, box } = this;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(plot.left - 2, plot.top - 2, plot.width + 4, plot.height + 4);
    pen.clip();
    const rows = [Math.floor(box.y), Math.min(map.rows, Math.ceil(box.y + box.rows))];
    const columns = [Math.floor(box.x), Math.min(map.columns, Math.ceil(box.x + box.columns))];
    const single = (rows[1] - rows[0]) * (columns[1] - columns[0]) <= MOST_SINGLE && Math.min(this.cellWidth, this.cellHeight) >= GAP_FROM;
    if (single) this.drawSingle(rows, columns);
    else this.drawImage();
    if (single && map.frames) this.drawFrames(rows, columns);
    this.outline(this.hover, false);
    if (map.window) this.drawWindow();
    else this.outline(this.selected, true);
    pen.restore();
    if (!single) {
      pen.strokeStyle = this.ink;
      pen.lineWidth = 1;
      pen.globalAlpha = 0.2;
      pen.strokeRect(plot.left - 0.5, plot.top - 0.5, plot.width + 1, plot.height + 1);
      pen.globalAlpha = 1;
    }
    if (!map.window) this.drawAxes();
    const { key, map_id, revision } = map;
    views.set(key, { map_id, revision, selected: this.selected, box: this.box });
    Object.assign(this.root.dataset, { selected: this.selected, theme: this.dark ? "dark" : "light", ready: map.rows * map.columns, columns: box.columns.toFixed(2) });
  }

  drawImage() {
    const { pen, plot, box } = this, [image, step] = this.level();
    if (this.gaps) { pen.fillStyle = this.hatch; pen.fillRect(plot.left, plot.top, plot.width, plot.height); }
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, box.x / step, box.y / step, box.columns / step, box.rows / step, plot.left, plot.top, plot.width, plot.height);
  }

  drawSingle(rows, columns) {
    const { pen, map } = this, gap = Math.min(1.5, this.cellWidth / 10), radius = Math.min(3, this.cellHeight / 5);
    const worded = map.texts.length && this.cellWidth >= TEXT_WIDTH && this.cellHeight >= TEXT_HEIGHT;
    Object.assign(pen, { textAlign: "center", textBaseline: "middle" });
    pen.font = this.mono;
    for (let r = rows[0]; r < rows[1]; r++) {
      for (let c = columns[0]; c < columns[1]; c++) {
        const i = r * map.columns + c, [x, y, w, h] = this.place(r, c), missing = Number.isNaN(map.values[i]);
        const colour = this.colours[map.codes[i]];
        pen.beginPath();
        pen.roundRect(x + gap / 2, y + gap / 2, w - gap, h - gap, radius);
        pen.fillStyle = missing ? this.hatch : colour.fill;
        pen.fill();
        pen.strokeStyle = this.ink;
        pen.globalAlpha = 0.09;
        pen.lineWidth = 1;
        pen.stroke();
        pen.globalAlpha = 1;
        if (!worded || !map.texts[i]) continue;
        pen.fillStyle = missing ? this.ink : colour.text;
        pen.fillText(this.shortened(map.texts[i], w - gap - 4), x + w / 2, y + h / 2 + 0.5);
      }
    }
  }

  /** A word as far as there is room. */
  shortened(text, room) {
    const { pen } = this;
    if (pen.measureText(text).width <= room) return text;
    const letters = [...text];
    while (letters.length > 1 && pen.measureText(`${letters.join("")}…`).width > room) letters.pop();
    return `${letters.join("")}…`;
  }

  drawFrames(rows, columns) {
    const { pen, map } = this;
    pen.strokeStyle = this.ink;
    pen.lineWidth = 1.3;
    for (let r = rows[0]; r < rows[1]; r++) {
      for (let c = columns[0]; c < columns[1]; c++) {
        if (!map.frames[r * map.columns + c]) continue;
        const [x, y, w, h] = this.place(r, c);
        pen.beginPath();
        pen.roundRect(x + 1.5, y + 1.5, w - 3, h - 3, 3);
        pen.stroke();
      }
    }
  }

  outline(i, chosen) {
    if (i < 0 || i >= this.map.rows * this.map.columns) return;
    const { pen, map, plot } = this, [x, y, w, h] = this.place(Math.floor(i / map.columns), i % map.columns);
    const draw = (left, top, width, height, line) => {
      pen.lineWidth = line;
      pen.beginPath();
      pen.roundRect(left, top, Math.max(width, 3), Math.max(height, 3), Math.min(3, h / 4, w / 4));
      pen.stroke();
    };
    pen.strokeStyle = this.ink;
    pen.globalAlpha = chosen ? 1 : 0.6;
    if (chosen && map.outline === "row") draw(plot.left, y, plot.width, h, 1.3);
    if (chosen && map.outline === "column") draw(x, plot.top, w, plot.height, 1.6);
    const least = chosen ? Math.max(0, 7 - w) / 2 : 0, low = chosen ? Math.max(0, 7 - h) / 2 : 0; // a cell of a large map can still be seen
    draw(x - least, y - low, w + 2 * least, h + 2 * low, chosen ? 2 : 1);
    pen.globalAlpha = 1;
  }

  /** The columns that another picture shows. */
  drawWindow() {
    const { pen, map, plot } = this, [from, to] = map.window, [x] = this.place(0, from), width = (to - from) * this.cellWidth;
    pen.strokeStyle = this.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.roundRect(x, plot.top, Math.max(6, width), plot.height, 3);
    pen.stroke();
  }

  drawAxes() {
    const { pen, map, plot, box, size } = this, muted = 0.68;
    pen.font = this.font;
    pen.fillStyle = this.ink;
    const chosen = this.selected < 0 ? [-1, -1] : [Math.floor(this.selected / map.columns), this.selected % map.columns];
    /** Every 1, 2, 5, 10, ... labels, and the chosen one in ink. */
    const ticks = (labels, from, count, cell, room, mark, put) => {
      let step = 1;
      for (let k = 0; step * cell < room; k++) step = [1, 2, 5][k % 3] * 10 ** Math.floor(k / 3);
      const last = Math.min(labels.length, Math.floor(from + count - 0.5) + 1);
      for (let i = Math.ceil((from - 0.5) / step) * step; i < last; i += step) {
        if (i < 0 || i === mark || (mark >= 0 && Math.abs(i - mark) * cell < room)) continue;
        pen.globalAlpha = muted;
        put(labels[i], i);
      }
      pen.globalAlpha = 1;
      if (mark >= from - 0.5 && mark < last) { pen.font = `600 ${this.font}`; put(labels[mark], mark); pen.font = this.font; }
    };
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    ticks(map.row_labels, box.y, box.rows, this.cellHeight, 1.5 * size, chosen[0], (label, i) => {
      pen.fillText(this.shortened(label, this.widths.row + 4), plot.left - 7, plot.top + (i + 0.5 - box.y) * this.cellHeight);
    });
    pen.textAlign = "center";
    const under = plot.top + plot.height;
    ticks(map.column_labels, box.x, box.columns, this.cellWidth, Math.max(2 * size, this.widths.column + 8), chosen[1], (label, i) => {
      const half = pen.measureText(label).width / 2, x = plot.left + (i + 0.5 - box.x) * this.cellWidth;
      pen.fillText(label, Math.max(half, Math.min(this.root.clientWidth - half, x)), under + 0.9 * size);
    });
    pen.globalAlpha = muted;
    pen.fillText(map.column_title, plot.left + plot.width / 2, under + 2.25 * size);
    pen.translate(0.6 * size, plot.top + plot.height / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(map.row_title, 0, 0);
    pen.globalAlpha = 1;
    pen.textAlign = "left";
  }

  // -------------------------------------------------------------- pointer and zoom

  isWhole() { return !this.box || (this.box.columns >= this.map.columns && this.box.rows >= this.map.rows); }

  whole() {
    this.box = null;
    this.requestDraw();
  }

  /** Zoom by a factor around a place in the plot, given in shares of it. */
  zoom(factor, across, down) {
    const { map, box } = this;
    const columns = Math.max(Math.min(CLOSEST, map.columns), Math.min(map.columns, box.columns * factor));
    const rows = Math.max(Math.min(CLOSEST, map.rows), Math.min(map.rows, box.rows * factor));
    this.show({ x: box.x + across * (box.columns - columns), y: box.y + down * (box.rows - rows), columns, rows });
  }

  show({ x, y, columns, rows }) {
    const { map } = this;
    this.box = { x: Math.max(0, Math.min(map.columns - columns, x)), y: Math.max(0, Math.min(map.rows - rows, y)), columns, rows };
    this.requestDraw();
  }

  /** Ctrl and wheel or a pinch zoom always; the wheel alone once the map has the focus, so that a page still scrolls. */
  wheel(event) {
    const focused = this.root.getRootNode().activeElement === this.view;
    if (!this.plot || !(event.ctrlKey || event.metaKey || focused)) return;
    if (this.isWhole() && (event.deltaY > 0 || this.map.rows * this.map.columns <= 400)) return;
    event.preventDefault();
    const at = this.canvas.getBoundingClientRect(), { plot } = this;
    const share = (value, size) => Math.max(0, Math.min(1, value / size));
    this.pointAt(-1);
    this.zoom(1.0018 ** event.deltaY, share(event.clientX - at.left - plot.left, plot.width), share(event.clientY - at.top - plot.top, plot.height));
  }

  grab(event) {
    if (event.button) return;
    this.held = { x: event.clientX, y: event.clientY, box: { ...this.box }, moved: false };
    if (!this.isWhole()) this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const { held } = this;
    if (held && !this.isWhole() && (held.moved || Math.hypot(event.clientX - held.x, event.clientY - held.y) > DRAG)) {
      held.moved = true;
      this.pointAt(-1);
      this.canvas.style.cursor = "grabbing";
      this.show({ ...held.box, x: held.box.x - (event.clientX - held.x) / this.cellWidth, y: held.box.y - (event.clientY - held.y) / this.cellHeight });
      return;
    }
    this.pointAt(this.cellAt(event));
  }

  release(event) {
    const { held } = this, i = this.cellAt(event);
    this.held = null;
    if (held && !held.moved && i >= 0) this.choose(i, 0);
  }

  valueText(i) {
    const { values, missing, unit, digits } = this.map, value = values[i];
    if (Number.isNaN(value)) return missing || "no value";
    return exact(value, digits, unit);
  }

  words(i) {
    const { map } = this;
    const framed = map.frames?.[i] ? map.framed : "";
    return [map.row_names[Math.floor(i / map.columns)], map.column_names[i % map.columns], map.texts[i] ?? "", this.valueText(i), map.details[i] ?? "", framed];
  }

  pointAt(i) {
    this.canvas.style.cursor = i < 0 ? "default" : "pointer";
    if (i === this.hover) return;
    this.hover = i;
    this.requestDraw();
    this.tip.hidden = i < 0;
    if (i < 0) return;
    const { tip } = this, [row, column, text, value, ...more] = this.words(i);
    tip.replaceChildren();
    element(tip, "quiet", row);
    element(tip, "quiet", column);
    if (text) element(tip, "text", text);
    element(tip, "value", value);
    for (const line of more) if (line) element(tip, "quiet", line);
    const cell = this.rect(i), frame = this.root.getBoundingClientRect();
    const right = cell.x - frame.left + cell.width + 12, fits = right + tip.offsetWidth <= frame.width;
    const below = cell.y - frame.top + cell.height + 10, above = cell.y - frame.top - tip.offsetHeight - 10;
    tip.style.left = `${fits ? right : Math.max(0, cell.x - frame.left - tip.offsetWidth - 12)}px`;
    tip.style.top = `${below + tip.offsetHeight > frame.height && above >= 0 ? above : below}px`;
  }

  // -------------------------------------------------------------- selection

  /** Select a cell and tell the host. */
  choose(i, wait) {
    super.choose(i, this.map.revision, wait);
  }

  /** Select a cell, none with -1. */
  pick(i) {
    this.selected = i < this.map.rows * this.map.columns ? i : -1;
    this.reveal();
    this.live.textContent = this.selected < 0 ? "" : this.words(this.selected).filter(Boolean).join(", ");
    this.draw();
  }

  /** Bring the selected cell into the part in sight. */
  reveal() {
    if (this.selected < 0 || !this.box) return;
    const { map, box } = this, row = Math.floor(this.selected / map.columns), column = this.selected % map.columns;
    const into = (at, from, count) => (at < from ? at : at + 1 > from + count ? at + 1 - count : from);
    this.show({ ...box, x: into(column, box.x, box.columns), y: into(row, box.y, box.rows) });
  }

  press(event) {
    const { map } = this;
    if (!map || event.altKey || event.shiftKey && event.key !== "+") return;
    const all = event.ctrlKey || event.metaKey;
    const zooms = { "+": 0.7, "=": 0.7, "-": 1 / 0.7 };
    if ((zooms[event.key] || event.key === "0") && !all && this.plot) {
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "0") this.whole();
      else {
        const [x, y, w, h] = this.selected < 0 ? [this.plot.left, this.plot.top, this.plot.width, this.plot.height] : this.place(Math.floor(this.selected / map.columns), this.selected % map.columns);
        const share = (value, size) => Math.max(0, Math.min(1, value / size));
        this.zoom(zooms[event.key], share(x + w / 2 - this.plot.left, this.plot.width), share(y + h / 2 - this.plot.top, this.plot.height));
      }
      return;
    }
    const page = Math.max(1, Math.round(map.rows / 10));
    const steps = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-page, 0], PageDown: [page, 0],
      Home: [all ? -map.rows : 0, -map.columns], End: [all ? map.rows : 0, map.columns],
    }[event.key];
    if (!steps || !map.rows || !map.columns) return;
    event.preventDefault();
    event.stopPropagation();
    this.pointAt(-1);
    const from = this.selected < 0 ? [0, 0] : [Math.floor(this.selected / map.columns), this.selected % map.columns];
    const within = (at, count) => Math.max(0, Math.min(count - 1, at));
    const [down, across] = this.selected < 0 && !/Home|End/.test(event.key) ? [0, 0] : steps;
    this.choose(within(from[0] + down, map.rows) * map.columns + within(from[1] + across, map.columns), KEY_PAUSE);
  }
}
