// Two texts, token under token, and what changed in a lower row. An item stands where a token does in one strip.

const ABSENT = 8, GAP = 1, LOWER = 13;
const SIDES = ["A", "B", "Δ"];

class TwinView extends StripView {
  constructor(root) {
    super(root);
    this.edge = 22;
    this.sizes14 = [66, 6, 20];
    this.tracks = 2;
    this.breaks = this.centred = false;
  }

  update(data) {
    const bytes = bytesOf(data);
    const lengths = new DataView(bytes.buffer, bytes.byteOffset, 8);
    const [a, b] = [0, 4].map(at => lengths.getUint32(at, true));
    this.below = parse(bytes.subarray(8 + a, 8 + a + b));
    this.change = parse(bytes.subarray(8 + a + b));
    super.update(bytes.subarray(8, 8 + a));
  }

  // -------------------------------------------------------------- layout

  breadth(c, piece) {
    const wide = text => (text ? this.glyphs(text).width : 0);
    return Math.max(wide(piece), wide(this.below.text[c]));
  }

  linesOf(text) { return [text]; }

  chunks(piece) { return [piece]; }

  // -------------------------------------------------------------- drawing

  readTheme() {
    if (!this.takeTheme(this.strip.ramps, 0.34)) return;
    this.changeColours = palette(this.change.ramps[this.dark ? "dark" : "light"], this.ink);
    this.drawLegend();
  }

  drawLegend() {
    this.legend.replaceChildren();
    this.explain({ ...this.strip, room: 0 }, this.colours);
    this.explain({ ...this.change, room: 0, missing: "" }, this.changeColours);
  }

  drawMargin(y) {
    const { pen, cell } = this, style = getComputedStyle(this.root);
    const colours = [this.dark ? "#56B4E9" : "#0072B2", this.dark ? "#FF9D4D" : "#B84E00", this.ink];
    pen.font = `600 ${style.fontSize} ${style.fontFamily}`;
    SIDES.forEach((side, k) => {
      pen.fillStyle = colours[k];
      pen.globalAlpha = k === 2 ? 0.68 : 1;
      pen.fillText(side, 3, y + this.top + k * (cell + GAP) + (k === 2 ? this.lower / 2 : cell / 2) + 0.5);
    });
    pen.globalAlpha = 1;
  }

  get lower() { return Math.round((LOWER * this.cell) / 20); }

  drawBox(b, y) {
    const { pen, strip, below, change, cell } = this, c = this.cellOf[b], from = strip.first[c], top = y + this.top;
    pen.save();
    pen.beginPath();
    pen.rect(this.edge + this.xs[b], y, this.ws[b], this.line);
    pen.clip();
    [[strip, this.pieces[b]], [below, below.text[c]]].forEach(([side, text], k) => {
      const nothing = side.flags[from] & ABSENT;
      this.drawCell(b, top + k * (cell + GAP), cell, side, this.colours, nothing ? null : text);
    });
    this.drawCell(b, top + 2 * (cell + GAP), this.lower, change, this.changeColours, null);
    pen.restore();
    this.drawMarks(b, y, change);
  }

  // -------------------------------------------------------------- words

  describe(i) {
    const { strip, below, change } = this, c = strip.cell[i];
    const [a, b] = [strip, below].map(side => side.text[c]);
    const values = [["A", strip], ["B", below], ["Δ", change]]
      .filter(([, side]) => !(side.flags[i] & ABSENT))
      .map(([name, side]) => `${name} ${this.valueText(i, side)}`);
    return [
      ["text", a === b || !a || !b ? quote(a || b, strip.odd) : `${quote(a, strip.odd)} → ${quote(b, strip.odd)}`],
      ["value", values.join("   ")],
      ["quiet", change.detail(i)],
      ...(change.flags[i] & MARKED ? [["quiet", change.marked]] : []),
    ];
  }

  spoken(i) { return this.describe(i).map(([, line]) => line); }
}
