// A text as coloured cells on a canvas. Only the visible rows are drawn.
// Token text reaches fillText and textContent only, never markup.

const SPECIAL = 1, MARKED = 2, SPAN = 4;
const RADIUS = 4, PART = 8, KEY_WAIT = 120;

// ---------------------------------------------------------------- payload

/** Read the payload written by `pack` in strip_payload.py. */
function parse(data) {
  let { bytes, head, at } = opened(data);
  const take = (Type, count) => {
    const end = at + count * Type.BYTES_PER_ELEMENT;
    const out = new Type(bytes.slice(at, end).buffer);
    at = end;
    return out;
  };
  const texts = count => {
    const offsets = take(Uint32Array, count + 1);
    const block = bytes.subarray(at, at + offsets[count]);
    at += offsets[count];
    return i => utf8.decode(block.subarray(offsets[i], offsets[i + 1]));
  };
  const { n, cells } = head;
  const strip = { ...head, values: take(Float32Array, n), cell: take(Int32Array, n) };
  strip.flags = take(Uint8Array, n);
  strip.ramps = { light: take(Uint8Array, 768), dark: take(Uint8Array, 768) };
  const cellText = texts(cells);
  strip.text = Array.from({ length: cells }, (_, c) => cellText(c));
  strip.odd = new RegExp(`(${head.odd})`, "g");
  strip.detail = head.details ? texts(n) : () => "";
  strip.first = new Int32Array(cells + 1); // tokens of cell c: first[c] .. first[c + 1] - 1
  for (let i = 0; i < n; i++) strip.first[strip.cell[i] + 1]++;
  for (let c = 0; c < cells; c++) strip.first[c + 1] += strip.first[c];
  return strip;
}

// ---------------------------------------------------------------- characters

const SIGN = 0.42, ESCAPE = 0.65; // opacity of what stands for a space and of a spelled-out code point, which Python names
const PLAIN = /^[ -~]*$/;
const WORD_END = /[\p{Alphabetic}\p{N}\p{M}_'’-]$/u, WORD_START = /^◌?[\p{Alphabetic}\p{N}\p{M}_'’-]/u;
const NO_SPACES = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Khmer}\p{sc=Lao}\p{sc=Myanmar}]/u;
const CLOSING = /^[,.;:!?)\]}»”’%。、，！？」』）]/u;
const segmenter = typeof Intl.Segmenter === "function" ? new Intl.Segmenter() : null;

/** Spelled text on one line, in the quotes and escapes of JSON. */
function quote(text, odd) {
  if (text.length <= 120) return JSON.stringify(text);
  const length = text.replace(odd, "x").replace(/◌(?=\p{M})/gu, "").length;
  return `${JSON.stringify(`${text.slice(0, 120)}…`)} (${length} characters)`;
}

/** Whether two neighbouring pieces belong to one word and should share a line. */
function joins(left, right) {
  if (!left || !right || /\s$/.test(left)) return false;
  if (CLOSING.test(right)) return true;
  const edge = left.slice(-2) + right.slice(0, 2);
  return WORD_END.test(left) && WORD_START.test(right) && !NO_SPACES.test(edge);
}

// ---------------------------------------------------------------- the strip

/** Selection and scroll position by key, for a strip the page takes away and puts back. */
const places = new Map();

class StripView extends CanvasView {
  static kind = "ls-strip";
  static answer = "token";
  static parts = `
    <div class="ls-head">
      <div class="ls-legend"></div>
      <div class="ls-find">
        <span class="ls-found" aria-live="polite"></span>
        <input type="search" placeholder="Find" aria-label="Find a string in the text. Enter: next, shift and enter: previous."
          title="Find in the text, key /" autocomplete="off" spellcheck="false">
      </div>
    </div>
    <div class="ls-view" tabindex="0" role="application" aria-roledescription="token strip">
      <div class="ls-inner"><canvas></canvas></div>
    </div>
    <div class="ls-tip" hidden></div>
    <div class="ls-live" aria-live="polite"></div>`;

  constructor(root) {
    super(root, ["head", "legend", "find", "found", "view", "inner", "tip", "live"]);
    this.query = this.find.querySelector("input");
    this.strip = null;
    this.edge = 4; // pixels left and right of the text
    this.sizes14 = [28, 5, 20]; // of a line, above its cells and of a cell, with type of 14 pixels
    this.centred = true; // whether a text stands in the middle of a wider cell
    this.breaks = true; // whether a newline ends a line
    this.tracks = 1; // cells of one token, one under the other
    this.glyphCache = new Map();
    this.listen();
    root._redraw = () => this.draw();
  }

  listen() {
    const on = this.on.bind(this);
    on(this.view, "scroll", () => { this.pointAt(-1); this.requestDraw(); });
    on(this.view, "scrollend", () => { this.view.scrollTop = Math.round(this.view.scrollTop / this.line) * this.line; });
    on(window, "resize", () => this.refit(false));
    on(this.query, "input", () => this.search());
    for (const name of ["focus", "blur"]) on(this.query, name, () => this.makeRoom());
    for (const name of ["keydown", "keyup", "keypress"]) on(this.find, name, e => e.stopPropagation()); // no shortcut of the page
    on(this.find, "keydown", e => this.pressInSearch(e));
    on(this.canvas, "pointermove", e => this.pointAt(this.tokenAt(e)));
    on(this.canvas, "pointerleave", () => this.pointAt(-1));
    on(this.canvas, "click", e => { const i = this.tokenAt(e); if (i >= 0) this.choose(i, 0); });
    on(this.view, "keydown", e => this.press(e));
    on(document.fonts, "loadingdone", () => this.refit(true));
    this.watchSize(() => this.refit(false));
    const watchDensity = () => {
      if (this.stop.signal.aborted) return;
      const media = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
      media.addEventListener("change", () => { this.requestDraw(); watchDensity(); },
        { once: true, signal: this.stop.signal });
    };
    watchDensity();
  }

  /** Take a payload. The same text keeps its layout and place, a new `revision` brings Python's selection. */
  update(data) {
    const next = parse(data), before = this.strip;
    const sameText = before !== null && before.text_id === next.text_id;
    this.strip = next;
    if (!sameText) this.joined = null;
    this.themeKey = "";
    this.view.setAttribute("aria-label", `${next.title}, ${next.n} tokens. Arrow keys move between tokens.`);
    if (!sameText) { this.view.scrollTop = 0; this.laidOutFor = -1; this.hover = -1; this.tip.hidden = true; }
    const old = before === null ? places.get(next.key) : null;
    const known = old?.text_id === next.text_id && old.revision === next.revision;
    const moved = before === null ? !known : before.revision !== next.revision;
    if (moved) { clearTimeout(this.timer); this.selected = next.selected ?? -1; }
    if (known) this.selected = old.selected;
    this.refit(false);
    if (known) this.view.scrollTop = old.scrollTop;
    else if (moved && this.selected >= 0) { this.reveal(this.selected); this.speak(); }
    this.draw();
  }

  // -------------------------------------------------------------- layout

  refit(newFont) {
    if (!this.strip || !this.root.clientWidth) return;
    if (newFont) { this.glyphCache.clear(); this.laidOutFor = -1; }
    const style = getComputedStyle(this.view), font = `${style.fontSize} ${style.fontFamily}`;
    this.limit = this.strip.height || Math.max(140, 0.6 * innerHeight);
    const { room } = this.strip, beside = room > 0 && this.root.clientWidth >= 2 * room;
    this.head.style.paddingLeft = beside ? `${room}px` : "";
    this.head.classList.toggle("beside", beside);
    const key = `${font}|${this.root.clientWidth}|${this.limit}`;
    if (key !== this.laidOutFor) {
      this.font = font;
      const size = parseFloat(style.fontSize) / 14; // larger type, larger lines
      [this.line, this.top, this.cell] = this.sizes14.map(v => Math.round(v * size));
      this.layOut();
      this.laidOutFor = key;
    }
    this.draw();
  }

  layOut() {
    const anchor = this.strip.n && this.rowStart ? this.cellOf?.[this.rowStart[this.topRow()]] : undefined;
    const keep = this.laidOutFor !== -1 && this.view.scrollTop > 0 ? anchor : undefined;
    this.pen.font = this.font;
    this.advance = this.pen.measureText("0").width;
    this.fixed = Math.abs(this.pen.measureText("i").width - this.pen.measureText("W").width) < 0.01;
    if (this.font !== this.glyphFont) this.glyphCache.clear();
    this.glyphFont = this.font;
    const whole = () => this.rowStart.length * this.line + 4;
    this.view.style.overflowY = "hidden";
    this.place(this.view.clientWidth - this.edge - 4);
    if (whole() > this.limit) {
      this.view.style.overflowY = "scroll";
      this.place(this.view.clientWidth - this.edge - 4); // again: the scroll bar takes room
    }
    const lines = Math.max(1, Math.floor((this.limit - 4) / this.line)); // cut between lines
    this.view.style.height = `${Math.min(whole(), lines * this.line)}px`;
    const last = Math.max(0, this.rowStart.length - lines) * this.line; // so that the last line can be reached, too
    this.inner.style.height = `${whole() > this.limit ? last + lines * this.line : whole()}px`;
    if (keep !== undefined) this.view.scrollTop = this.rowOf[this.firstBox[keep]] * this.line;
  }

  /** Fill the box arrays: one box per stretch of a cell on one line. */
  place(width) {
    const { text, cells, first } = this.strip;
    Object.assign(this, { xs: [], ws: [], rowOf: [], cellOf: [], pieces: [], rowStart: [0], firstBox: new Int32Array(cells) });
    let x = 0;
    const put = (c, piece, w) => {
      this.xs.push(x); this.ws.push(w); this.rowOf.push(this.rowStart.length - 1);
      this.cellOf.push(c); this.pieces.push(piece);
      x += w;
    };
    const newLine = () => { this.rowStart.push(this.xs.length); x = 0; };
    const wrap = piece => { // to the next line, taking the beginning of the word along
      const start = this.rowStart.at(-1), end = this.xs.length;
      let from = end;
      while (from > start && joins(this.pieces[from - 1], from === end ? piece : this.pieces[from])) from--;
      if (from === start || (from < end && x - this.xs[from] > width / 2)) from = end;
      const shift = from < end ? this.xs[from] : x;
      this.rowStart.push(from);
      for (let b = from; b < end; b++) { this.xs[b] -= shift; this.rowOf[b]++; }
      x -= shift;
    };
    const add = (c, piece) => {
      const w = Math.max(this.breadth(c, piece), (first[c + 1] - first[c] > 1) * (first[c + 1] - first[c]) * PART, 6);
      if (w > width) { // wider than a line: fill this line if there is room, then the next ones
        const room = width - x > width / 4 ? width - x : width;
        for (const chunk of this.chunks(piece, width, room)) {
          const wide = Math.min(width, this.breadth(c, chunk));
          if (x && x + wide > width + 0.5) newLine();
          put(c, chunk, wide);
        }
        return;
      }
      if (x && x + w > width) wrap(piece);
      if (x && x + w > width) newLine();
      put(c, piece, w);
    };
    for (let c = 0; c < cells; c++) {
      this.firstBox[c] = this.xs.length;
      for (const piece of this.linesOf(text[c])) {
        add(c, piece);
        if (piece.endsWith("\n") && this.breaks) newLine();
      }
    }
    if (this.rowStart.length > 1 && this.rowStart.at(-1) === this.xs.length) this.rowStart.pop();
  }

  /** Width that a piece of a cell asks for. */
  breadth(_c, piece) { return this.glyphs(piece).width; }

  /** The text of a cell, cut behind every newline. */
  linesOf(text) { return text.includes("\n") ? text.match(/[^\n]*\n|[^\n]+$/g) : [text]; }

  /** Stretches of a piece too wide for one line: the first within `room`, the others within `width`. */
  chunks(piece, width, room) {
    const letters = part => (PLAIN.test(part) || !segmenter ? [...part] : Array.from(segmenter.segment(part), s => s.segment));
    const units = piece.split(this.strip.odd).flatMap((part, k) => (k % 2 ? part : letters(part)));
    const out = [];
    let run = "", used = 0;
    for (const unit of units) {
      const w = this.glyphs(unit).width;
      if (run && used + w > (out.length ? width : room)) { out.push(run); run = ""; used = 0; }
      run += unit;
      used += w;
    }
    return [...out, run];
  }

  /** What is drawn for a piece: runs with their place, faint where they stand for something unseen. */
  glyphs(piece) {
    let made = this.glyphCache.get(piece);
    if (made) return made;
    const { signs, odd } = this.strip, runs = [];
    let width = 0;
    const push = (shown, strength) => {
      const w = this.fixed && PLAIN.test(shown) ? shown.length * this.advance : this.pen.measureText(shown).width;
      const last = runs.at(-1);
      const wide = strength === SIGN && shown.length === 1 ? Math.max(w, this.advance) : w;
      if (last && shown === signs[" "] && last.shown.endsWith(shown) && last.strength === SIGN) last.shown += shown;
      else runs.push({ shown, strength, x: width });
      width += wide;
    };
    this.pen.font = this.font;
    piece.split(odd).forEach((part, k) => { // every other part is what stood between two others
      if (Object.hasOwn(signs, part) && (part || !piece)) push(signs[part], SIGN);
      else if (part) push(part, k % 2 ? ESCAPE : 1);
    });
    made = { runs, width };
    this.glyphCache.set(piece, made);
    return made;
  }

  // -------------------------------------------------------------- drawing

  topRow() { return Math.max(0, Math.min(this.rowStart.length - 1, Math.floor(this.view.scrollTop / this.line))); }

  readTheme() {
    if (this.takeTheme(this.strip.ramps, 0.34)) this.drawLegend();
  }

  step(value, { low, high, buckets } = this.strip) {
    const share = buckets.length ? value / Math.max(1, buckets.length - 1) : (value - low) / (high - low || 1);
    return Math.round(255 * Math.max(0, Math.min(1, share)));
  }

  drawLegend() {
    this.legend.replaceChildren();
    this.explain(this.strip, this.colours);
  }

  /** What the colours and marks of a strip mean, at the end of the legend. */
  explain(strip, colours) {
    const { legend } = this;
    if (strip.title && !strip.room) element(legend, "ls-title", strip.title);
    const key = (swatch, name) => {
      const made = element(legend, "ls-key"), box = element(made, `ls-swatch ${swatch}`);
      made.append(name);
      return box;
    };
    if (strip.buckets.length) {
      strip.buckets.forEach((name, k) => { key("", name).style.background = colours[this.step(k, strip)].fill; });
    } else if (strip.n) {
      const scale = element(legend, "ls-scale"), [low, high] = strip.ends;
      scale.append(low);
      const stops = Array.from({ length: 17 }, (_, k) => colours[Math.round((255 * k) / 16)].fill);
      element(scale, "ls-bar").style.background = `linear-gradient(to right, ${stops.join()})`;
      scale.append(high);
    }
    if (strip.missing && strip.values.some(Number.isNaN)) key("hatch", strip.missing);
    if (strip.marked) key("mark", strip.marked);
    if (strip.span) key("span", strip.span);
    if (strip.flags.some(f => f & SPECIAL)) key("special", strip.special);
  }

  draw() {
    if (!this.strip || !this.rowStart || !this.root.clientWidth) return;
    this.readTheme();
    const { pen, canvas, view, strip } = this, scale = devicePixelRatio || 1;
    const width = view.clientWidth, height = view.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    Object.assign(pen, { font: this.font, textBaseline: "middle", direction: "ltr", fillStyle: this.ink });
    if (!strip.n) pen.fillText("No tokens", this.edge, this.line / 2);
    const rows = Math.min(this.rowStart.length, this.topRow() + Math.ceil(height / this.line) + 1);
    for (let r = this.topRow(); r < rows; r++) {
      const end = this.rowStart[r + 1] ?? this.xs.length, y = r * this.line - view.scrollTop;
      this.drawMargin(y);
      for (let b = this.rowStart[r]; b < end; b++) this.drawBox(b, y);
    }
    for (const i of [this.hover, this.selected]) this.outline(i);
    const { key, text_id, revision } = strip;
    places.set(key, { text_id, revision, selected: this.selected, scrollTop: view.scrollTop });
    this.root.dataset.selected = this.selected;
    this.root.dataset.theme = this.dark ? "dark" : "light";
    this.root.dataset.ready = strip.n;
  }

  /** What stands left of a line. */
  drawMargin(_y) {}

  drawBox(b, y) {
    this.drawCell(b, y + this.top, this.cell, this.strip, this.colours, this.pieces[b]);
    this.drawMarks(b, y, this.strip);
  }

  /** One cell: its tokens' colours, its text, and a frame round a special token. */
  drawCell(b, top, height, strip, colours, piece) {
    const { pen } = this, { first, values, flags } = strip;
    const c = this.cellOf[b], from = first[c], parts = Math.max(1, first[c + 1] - from);
    const x = this.edge + this.xs[b], w = this.ws[b], part = w / parts;
    const glyphs = piece === null ? { runs: [], width: 0 } : this.glyphs(piece), offset = this.centred ? (w - glyphs.width) / 2 : 0;
    const shape = () => { pen.beginPath(); pen.roundRect(x + 0.5, top, Math.max(1, w - 1), height, RADIUS); };
    const write = (colour, italic, muted = 1) => {
      pen.font = italic ? `italic ${this.font}` : this.font;
      pen.fillStyle = colour;
      for (const { shown, strength, x: at } of glyphs.runs) {
        pen.globalAlpha = strength * muted;
        pen.fillText(shown, x + offset + at, top + height / 2 + 0.5);
      }
      pen.globalAlpha = 1;
    };
    const special = from < first[c + 1] && flags[from] & SPECIAL;
    const paint = i => {
      const missing = i >= first[c + 1] || Number.isNaN(values[i]);
      const colour = missing ? null : colours[this.step(values[i], strip)];
      pen.fillStyle = missing ? this.hatch : colour.fill;
      return colour?.text ?? this.ink;
    };
    if (parts === 1) {
      shape();
      const text = paint(from);
      if (first[c + 1] > from) pen.fill();
      write(text, special, special && Number.isNaN(values[from]) ? 0.7 : 1);
    } else {
      for (let k = 0; k < parts; k++) {
        pen.save();
        shape();
        pen.clip();
        pen.beginPath();
        pen.rect(x + k * part, top, part, height);
        pen.clip();
        const text = paint(from + k);
        pen.fillRect(x + k * part, top, part, height);
        if (k) { pen.globalAlpha = 0.3; pen.fillStyle = text; pen.fillRect(x + k * part, top, 1, height); pen.globalAlpha = 1; }
        write(text, special);
        pen.restore();
      }
    }
    if (special) {
      pen.setLineDash([3, 2]);
      pen.lineWidth = 1;
      pen.strokeStyle = this.ink;
      pen.globalAlpha = 0.6;
      pen.beginPath();
      pen.roundRect(x + 1, top + 0.5, Math.max(1, w - 2), height - 1, RADIUS);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.setLineDash([]);
    }
  }

  /** Marks above a cell and lines under it. */
  drawMarks(b, y, { first, flags }) {
    const { pen } = this, c = this.cellOf[b], from = first[c], parts = Math.max(1, first[c + 1] - from);
    const part = this.ws[b] / parts;
    pen.fillStyle = this.ink;
    for (let k = 0; k < parts && from + k < first[c + 1]; k++) {
      const flag = flags[from + k], left = this.edge + this.xs[b] + k * part;
      if (flag & SPAN) pen.fillRect(left, y + this.top + this.cell + 1, part, 2);
      if (flag & MARKED && this.firstBox[c] === b) {
        const middle = left + Math.min(part, 2 * this.advance) / 2;
        pen.beginPath();
        pen.moveTo(middle - 4, y);
        pen.lineTo(middle + 4, y);
        pen.lineTo(middle, y + 5);
        pen.fill();
      }
    }
  }

  /** Rectangles of a token in the scrolled text, one per line it is on. */
  rects(i) {
    const { strip } = this, c = strip.cell[i], k = i - strip.first[c], out = [];
    const part = 1 / (strip.first[c + 1] - strip.first[c]);
    for (let b = this.firstBox[c]; b < this.xs.length && this.cellOf[b] === c; b++) {
      const w = this.ws[b] * part;
      out.push({ row: this.rowOf[b], x: this.edge + this.xs[b] + k * w, y: this.rowOf[b] * this.line + this.top, width: w, height: this.tracks * this.cell });
    }
    return out;
  }

  /** Place of a token in the window, for tests and the tip. */
  rect(i) {
    const [{ x, y, width, height }] = this.rects(i), at = this.view.getBoundingClientRect();
    return { x: at.left + x, y: at.top + y - this.view.scrollTop, width, height };
  }

  outline(i) {
    if (i < 0 || i >= this.strip.n) return;
    const { pen } = this, chosen = i === this.selected, out = chosen ? 1 : 0;
    pen.strokeStyle = this.ink;
    pen.lineWidth = chosen ? 2 : 1;
    pen.globalAlpha = chosen ? 1 : 0.6;
    for (const { x, y, width, height } of this.rects(i)) {
      pen.beginPath();
      pen.roundRect(x + 0.5 - out, y - this.view.scrollTop - out, width - 1 + 2 * out, height + 2 * out, RADIUS + out);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  // -------------------------------------------------------------- pointer

  tokenAt(event) {
    if (!this.strip?.n || !this.rowStart) return -1;
    const at = this.canvas.getBoundingClientRect(), x = event.clientX - at.left - this.edge;
    const row = Math.floor((event.clientY - at.top + this.view.scrollTop) / this.line);
    if (row < 0 || row >= this.rowStart.length) return -1;
    const end = this.rowStart[row + 1] ?? this.xs.length;
    for (let b = this.rowStart[row]; b < end; b++) {
      if (x < this.xs[b] || x >= this.xs[b] + this.ws[b]) continue;
      const c = this.cellOf[b], from = this.strip.first[c], parts = this.strip.first[c + 1] - from;
      return parts ? from + Math.min(parts - 1, Math.floor(((x - this.xs[b]) / this.ws[b]) * parts)) : -1;
    }
    return -1;
  }

  valueText(i, { values, buckets, missing, unit, digits } = this.strip) {
    const value = values[i];
    if (Number.isNaN(value)) return missing || "no value";
    if (buckets.length) return buckets[value] ?? String(value);
    return exact(value, digits, unit);
  }

  partText(i) {
    const c = this.strip.cell[i], from = this.strip.first[c], parts = this.strip.first[c + 1] - from;
    return parts > 1 ? `part ${i - from + 1} of ${parts} of one character` : "";
  }

  /** Lines of the tip of a token, each with its kind. */
  describe(i) {
    const { strip } = this, flag = strip.flags[i];
    const more = [this.partText(i), strip.detail(i), flag & MARKED ? strip.marked : "", flag & SPAN ? strip.span : ""];
    return [
      ["quiet", `Token ${i}${flag & SPECIAL ? `, ${strip.special}` : ""}`],
      ["text", quote(strip.text[strip.cell[i]], strip.odd)],
      ["value", this.valueText(i)],
      ...more.filter(Boolean).map(line => ["quiet", line]),
    ];
  }

  pointAt(i) {
    this.canvas.style.cursor = i < 0 ? "default" : "pointer";
    if (i === this.hover) return;
    this.hover = i;
    this.requestDraw();
    this.tip.hidden = i < 0;
    if (i < 0) return;
    const { tip } = this;
    tip.replaceChildren();
    for (const [kind, line] of this.describe(i)) element(tip, kind, line);
    const cell = this.rect(i), frame = this.root.getBoundingClientRect();
    const left = Math.max(0, Math.min(cell.x - frame.left, frame.width - tip.offsetWidth));
    const below = cell.y - frame.top + cell.height + 9, above = cell.y - frame.top - tip.offsetHeight - 9;
    tip.style.left = `${left}px`;
    tip.style.top = `${below + tip.offsetHeight > frame.height && above >= 0 ? above : below}px`;
  }

  // -------------------------------------------------------------- selection

  /** Select a token and tell the host. */
  choose(i, wait) {
    if (this.strip.n) super.choose(Math.max(0, Math.min(this.strip.n - 1, i)), this.strip.revision, wait);
  }

  /** Select a token, none with -1. */
  pick(i) {
    this.selected = i < this.strip.n ? i : -1;
    this.reveal(this.selected);
    this.speak();
    this.draw();
  }

  speak() {
    this.live.textContent = this.selected < 0 ? "" : this.spoken(this.selected).filter(Boolean).join(", ");
  }

  /** What is read aloud of a token. */
  spoken(i) {
    return [`Token ${i}`, quote(this.strip.text[this.strip.cell[i]], this.strip.odd), this.valueText(i), this.partText(i)];
  }

  reveal(i) {
    if (!this.rowStart || i < 0 || i >= this.strip.n) return;
    const y = this.rects(i)[0].row * this.line, { scrollTop, clientHeight } = this.view;
    if (y < scrollTop) this.view.scrollTop = Math.max(0, y - this.line / 2);
    else if (y + this.line + 2 > scrollTop + clientHeight) this.view.scrollTop = y + 1.5 * this.line - clientHeight;
  }

  /** The token nearest to the selected one, `rows` lines further down. */
  onLine(rows) {
    const place = this.rects(this.selected).at(rows > 0 ? -1 : 0), last = this.rowStart.length - 1;
    const row = Math.max(0, Math.min(last, place.row + rows));
    if (row === place.row) return this.selected;
    const goal = this.goal ?? place.x + place.width / 2;
    let best = this.selected, distance = Infinity;
    for (let b = this.rowStart[row]; b < (this.rowStart[row + 1] ?? this.xs.length); b++) {
      const c = this.cellOf[b], from = this.strip.first[c], parts = this.strip.first[c + 1] - from;
      for (let k = 0; k < parts; k++) {
        const middle = this.edge + this.xs[b] + ((k + 0.5) * this.ws[b]) / parts, away = Math.abs(middle - goal);
        if (away < distance) { distance = away; best = from + k; }
      }
    }
    this.nextGoal = goal;
    return best;
  }

  lineEnd(last) {
    const row = this.rects(this.selected).at(last ? -1 : 0).row, { first } = this.strip;
    if (!last) return first[this.cellOf[this.rowStart[row]]];
    return first[this.cellOf[(this.rowStart[row + 1] ?? this.xs.length) - 1] + 1] - 1;
  }

  // -------------------------------------------------------------- search

  /** First tokens of the places where the text has the string, whatever its case. */
  matches() {
    const { text, cells, first } = this.strip, wanted = this.query.value;
    if (!wanted) return [];
    if (!this.joined) {
      this.starts = new Int32Array(cells);
      for (let c = 0, at = 0; c < cells; at += text[c].length, c++) this.starts[c] = at;
      this.joined = text.join("");
    }
    const pattern = new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu"), found = [];
    let c = 0;
    for (const { index } of this.joined.matchAll(pattern)) {
      while (c + 1 < cells && this.starts[c + 1] <= index) c++;
      if (first[c + 1] > first[c] && found.at(-1) !== first[c]) found.push(first[c]);
    }
    return found;
  }

  /** Choose the place at or after the selected token, or the next one in a direction. */
  search(step = 0) {
    const found = this.matches(), here = this.selected;
    this.makeRoom();
    let k = step < 0 ? found.findLastIndex(i => i < here) : found.findIndex(i => (step ? i > here : i >= here));
    if (k < 0) k = step < 0 ? found.length - 1 : 0;
    this.found.textContent = found.length ? `${k + 1} of ${found.length}` : this.query.value && "not found";
    if (found.length) this.choose(found[k], step ? 0 : KEY_WAIT);
  }

  /** The legend gives its place to a search. */
  makeRoom() {
    const active = this.root.getRootNode().activeElement === this.query;
    this.head.classList.toggle("finding", active || this.query.value !== "");
    if (!this.query.value) this.found.textContent = "";
  }

  pressInSearch(event) {
    if (event.key === "Enter") this.search(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") { this.query.value = ""; this.view.focus(); this.makeRoom(); }
    else return;
    event.preventDefault();
  }

  press(event) {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      this.query.focus();
      this.query.select();
      return;
    }
    const { strip } = this, page = Math.max(1, Math.floor(this.view.clientHeight / this.line) - 1), all = event.ctrlKey || event.metaKey;
    const moves = {
      ArrowLeft: () => this.selected - 1, ArrowRight: () => this.selected + 1,
      ArrowUp: () => this.onLine(-1), ArrowDown: () => this.onLine(1),
      PageUp: () => this.onLine(-page), PageDown: () => this.onLine(page),
      Home: () => (all ? 0 : this.lineEnd(false)), End: () => (all ? strip.n - 1 : this.lineEnd(true)),
    };
    if (!strip?.n || !moves[event.key] || event.altKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.pointAt(-1);
    this.nextGoal = null;
    const none = this.selected < 0 && !(all && /^(Home|End)$/.test(event.key));
    const next = none ? strip.first[this.cellOf[this.rowStart[this.topRow()]]] : moves[event.key]();
    this.goal = this.nextGoal;
    this.choose(next, KEY_WAIT);
  }
}
