// The page of a report: unpacks its numbers, draws its pictures, and keeps one chosen token in all of them.

/** Parts of a block that `packed` in container.py wrote, by name. */
async function unpacked(id) {
  const zipped = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { bytes, head, at } = opened(await new Response(stream).arrayBuffer());
  const kinds = { f4: Float32Array, f2: Uint16Array, i4: Int32Array, u1: Uint8Array };
  return Object.fromEntries(Object.entries(head).map(([name, [kind, shape, from, length]]) => {
    const part = bytes.slice(at + from, at + from + length);
    if (kind === "json") return [name, JSON.parse(utf8.decode(part))];
    if (kind === "bytes") return [name, part];
    const values = new kinds[kind](part.buffer);
    return [name, { values: kind === "f2" ? Float32Array.from(values, half) : values, shape }];
  }));
}

/** The number that 16 bits stand for (IEEE 754 binary16). */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, rest = bits & 1023;
  if (power === 31) return rest ? NaN : sign * Infinity;
  return sign * (power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -24 * rest);
}

const nextFrame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));

// ---------------------------------------------------------------- the choice

const pieces = [];
let chosen = -1;

/** Choose a token in every picture; the one it was chosen in has it already. */
function choose(i, from = null) {
  if (i === chosen) return;
  chosen = i;
  document.documentElement.dataset.chosen = i;
  for (const piece of pieces) if (piece !== from) piece.choose?.(i);
}

function begin(piece) {
  pieces.push(piece);
  piece.choose?.(chosen);
}

// ---------------------------------------------------------------- pieces

/** A text as coloured tokens, and the same as plain elements for paper. */
function strip(root, { colours, two }, parts) {
  const box = root.querySelector("select"), paper = element(root, "only-print paper");
  const piece = { choose: i => view.update({ selected: i < 0 ? null : i }), redraw: () => root.querySelector(".ls-strip")._redraw() };
  const data = () => parts[colours[box?.value ?? 0]];
  const view = mounted(two ? TwinView : StripView, root.querySelector(".canvas"), { data: data(), send: ([i]) => choose(i, piece) });
  const onPaper = () => {
    const text = parse(two ? lastOf(data()) : data()), ramp = palette(text.ramps.light, "rgb(0, 0, 0)");
    const step = i => StripView.prototype.step.call(null, text.values[i], text);
    paper.replaceChildren(...text.text.map((shown, c) => {
      const made = document.createElement("span"), i = text.first[c];
      made.textContent = shown;
      if (i < text.first[c + 1] && !Number.isNaN(text.values[i])) {
        const { fill, text: ink } = ramp[step(i)];
        Object.assign(made.style, { background: fill, color: ink });
      }
      return made;
    }));
  };
  box?.addEventListener("change", () => { view.update({ data: data() }); onPaper(); });
  setTimeout(onPaper, 500);
  return piece;
}

/** Of two texts and what changed between them, the last. */
function lastOf(data) {
  const lengths = new DataView(data.buffer, data.byteOffset, 8);
  return data.subarray(8 + lengths.getUint32(0, true) + lengths.getUint32(4, true));
}

function row(table, ...texts) {
  const line = table.insertRow();
  for (const text of texts) line.insertCell().textContent = text;
  return line;
}

/** What is known about the chosen token: its numbers, and what the model expected. */
function token(root, { at, quantities, places, digits }, parts) {
  const [head, numbers, expected] = [".name", ".numbers", ".expected"].map(name => root.querySelector(name));
  const [texts, names] = [parts[`${at}.texts`], parts[`${at}.names`]];
  const { values: ids, shape: [, k] } = parts[`${at}.top_ids`], chances = parts[`${at}.top_logprobs`].values;
  const bar = (line, share) => { element(line.insertCell(), "bar").style.setProperty("--share", share); };
  return {
    choose(choice) {
      const i = choice < 0 || !places ? choice : places[choice];
      head.textContent = i < 0 ? (choice < 0 ? "No token is chosen" : "Nothing here") : `Token ${i} “${texts[i]}”`;
      for (const table of [numbers, expected]) table.tBodies[0].replaceChildren();
      if (i < 0) return;
      for (const { part, label, unit } of quantities) {
        const { values } = parts[part], value = values[i], whole = values instanceof Int32Array;
        const none = whole ? value === 0 : Number.isNaN(value);
        row(numbers.tBodies[0], label, none ? "no context" : whole ? String(value) : exact(value, digits, unit));
      }
      for (let j = i * k; j < (i + 1) * k; j++) {
        if (ids[j] < 0) continue;
        const p = Math.exp(chances[j]), line = row(expected.tBodies[0], names[ids[j]], `${exact(100 * p, 3, "")} %`);
        line.classList.toggle("came", ids[j] === parts[`${at}.token_id`].values[i]);
        bar(line, p);
      }
    },
  };
}

/** What each layer would have said in place of the chosen token. */
function lens(root, { ids, entropy, layers, unit, names }, parts) {
  const list = root.querySelector("ol"), { values: says, shape: [n, length] } = parts[ids], doubt = parts[entropy].values;
  return {
    choose(i) {
      list.replaceChildren();
      for (let l = 0; l < n && i >= 0; l++) {
        const id = says[l * length + i], line = document.createElement("li");
        const said = [["span", layers[l]], ["b", id < 0 ? "no context" : parts[names][id]], ["span", id < 0 ? "" : exact(doubt[l * length + i], 3, unit)]];
        for (const [kind, text] of said) line.append(Object.assign(document.createElement(kind), { textContent: text }));
        list.append(line);
      }
    },
  };
}

/** A picture under the attention of the chosen token: of a layer, or the mean over all. */
function picture(root, { measures, drawn }, parts) {
  const [layers, without] = [root.querySelector("select"), root.querySelector("input")];
  const { values: mean, shape: [, n] } = parts["patches.mean"], single = parts["patches.layers"], boxes = parts["patches.boxes"].values;
  const { values: numbers, shape: [, rows, m] } = parts["patches.numbers"], sinks = parts["patches.sinks"].values;
  const [head, [shares, strongest]] = [root.querySelector("h3"), root.querySelectorAll("tbody")], range = [...Array(n).keys()];
  const percent = share => `${exact(100 * share, 3, "")} %`;
  const named = (svg, name) => svg.appendChild(document.createElementNS(svg.namespaceURI, name));
  const patch = (svg, k, kind) => {
    const [left, top, right, bottom] = boxes.subarray(4 * k, 4 * k + 4), made = named(svg, "rect");
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top, class: kind })) made.setAttribute(name, value);
    return made;
  };
  let token = -1;
  const draw = () => {
    const at = Number(layers.value), from = at ? (token * (rows - 1) + at - 1) * n : token * n;
    const weights = (at ? single.values : mean).subarray(from, from + n), sink = k => sinks[at * n + k] === 1;
    const coloured = token < 0 ? [] : range.filter(k => !(without.checked && sink(k)));
    const top = coloured.reduce((most, k) => Math.max(most, weights[k]), 1e-9);
    root.querySelectorAll("svg").forEach((svg, which) => {
      svg.replaceChildren();
      svg.setAttribute("aria-label", token < 0 ? "The picture" : `Attention of “${parts["patches.texts"][token]}” on the picture`);
      const [here, shown] = [new Set(drawn[which]), new Set(coloured)];
      for (const k of here) {
        const cell = patch(svg, k, "patch");
        cell.style.fillOpacity = shown.has(k) ? 0.88 * Math.sqrt(weights[k] / top) : 0;
        if (token >= 0) named(cell, "title").textContent = `patch ${k}, ${parts["patches.where"][k]}: ${percent(weights[k])}`;
      }
      for (const kind of ["halo", "sink"]) for (const k of here) if (sink(k)) patch(svg, k, kind);
    });
    for (const table of [shares, strongest]) table.replaceChildren();
    root.classList.toggle("chosen", token >= 0);
    head.textContent = token < 0 ? "No token is chosen" : `“${parts["patches.texts"][token]}”, ${layers.selectedOptions[0].textContent}`;
    root.querySelector(".top").textContent = token < 0 ? "" : percent(top);
    if (token < 0) return;
    measures.forEach(([label, unit], k) => {
      const value = numbers[(token * rows + at) * m + k];
      row(shares, label, unit === null ? String(value) : exact(value, 3, unit));
    });
    const free = range.filter(k => !sink(k)).sort((a, b) => weights[b] - weights[a]);
    for (const k of free.slice(0, 5)) row(strongest, `patch ${k}`, parts["patches.where"][k], percent(weights[k]));
  };
  layers.addEventListener("change", draw);
  without.addEventListener("change", draw);
  return { choose: i => { token = i; draw(); } };
}

/** One cell per head and layer: what the chosen token received. */
function heads(root, { map, received, layers }, parts) {
  const template = parts[map], { bytes, head, at } = opened(template), { values, shape } = parts[received];
  const [n, rows, length] = shape, cells = head.rows * head.columns;
  const share = values instanceof Uint8Array ? k => (values[k] / 255) ** 2 : k => values[k];
  const view = mounted(MapView, root, { data: template, send: () => {} });
  return {
    choose(i) {
      const out = bytes.slice(), numbers = new DataView(out.buffer);
      for (let r = 0; r < n && i >= 0; r++) {
        for (let h = 0; h < rows; h++) {
          const given = share((r * rows + h) * length + i), cell = h * head.columns + layers[r];
          numbers.setFloat32(at + 4 * cell, 100 * given, true);
          out[at + 4 * cells + cell] = Math.round(255 * Math.sqrt(Math.min(1, given)));
        }
      }
      view.update({ data: out });
    },
    redraw: () => root.querySelector(".ls-map")._view.draw(),
  };
}

/** A chart, once for each theme; the one that is not on screen comes later. */
async function chart(root, { part }, parts) {
  const { values, field, places, fits, ...specs } = parts[part], views = [];
  const place = i => (i < 0 || !places ? i : places[i]), choiceAt = at => (places ? places.indexOf(at) : at);
  const closed = { load: async () => { throw new Error("closed"); }, sanitize: async () => { throw new Error("closed"); } };
  const width = () => root.clientWidth;
  const piece = {
    choose: i => { if (field) for (const view of views) view.signal("chosen", place(i)).runAsync(); },
    draw: async theme => {
      const spec = specs[theme];
      for (const data of spec.data) if (values[data.name]) data.values = values[data.name].map(row => ({ ...row }));
      if (fits) spec.width = width();
      const { view } = await vegaEmbed(root.querySelector(`.in-${theme} .drawn`), spec, {
        mode: "vega", ast: true, actions: false, renderer: "svg", loader: closed, tooltip: { theme }, logLevel: 1,
      });
      if (spec.signals?.some(({ name }) => name === "pick") && field) {
        view.addSignalListener("pick", (_, { [field]: picked }) => { if (picked?.length) choose(choiceAt(picked.at(-1))); });
      }
      if (field) await view.signal("chosen", place(chosen)).runAsync();
      views.push(view);
    },
  };
  if (fits) {
    let before = width();
    new ResizeObserver(() => {
      if (Math.abs(width() - before) < 2 || !width()) return;
      before = width();
      for (const view of views) view.width(before).runAsync();
    }).observe(root);
  }
  return piece;
}

// ---------------------------------------------------------------- the page

const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const now = { strip, token, lens, picture }, later = { heads };
const all = kind => [...document.querySelectorAll(`[data-piece="${kind}"]`)];
const options = root => JSON.parse(root.dataset.options);

async function start() {
  const first = await unpacked("first");
  choose(first.chosen);
  for (const [kind, make] of Object.entries(now)) for (const root of all(kind)) begin(make(root, options(root), first));
  document.documentElement.dataset.ready = "first";
  await nextFrame();
  const more = await unpacked("more");
  for (const [kind, make] of Object.entries(later)) for (const root of all(kind)) begin(make(root, options(root), more));
  dark.addEventListener("change", () => { for (const piece of pieces) piece.redraw?.(); });
  if (all("chart").length) await drawCharts(more);
  document.documentElement.dataset.ready = "all";
}

async function drawCharts(parts) {
  await nextFrame();
  const library = document.createElement("script");
  library.textContent = (await unpacked("library")).script;
  document.head.append(library);
  const charts = await Promise.all(all("chart").map(root => chart(root, options(root), parts)));
  const themes = dark.matches ? ["dark", "light"] : ["light", "dark"];
  for (const theme of themes) {
    for (const piece of charts) { await piece.draw(theme); await nextFrame(); }
    if (theme === themes[0]) { charts.forEach(begin); document.documentElement.dataset.ready = "charts"; }
  }
}

start();
