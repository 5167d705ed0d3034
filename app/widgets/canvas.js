// Shared by the components that draw on a canvas; put in front of each one's script.

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

