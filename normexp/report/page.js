"use strict";
// Draws the figures, lets the legend and the sliders change them, and keeps a live page fresh.

const views = new Map();   // by figure
const hidden = new Set();  // arms that the reader has switched off

const EMPTY = /^(Infinite extent|Log scale domain includes zero)/;
const logger = {  // a chart without rows is no fault: its arms may all be switched off
  level() { return arguments.length ? this : 2; },
  error(...said) { console.error(...said); return this; },
  warn(...said) { if (!EMPTY.test(said[0])) console.warn(...said); return this; },
  info() { return this; },
  debug() { return this; },
};

async function quiet() {
  // The library's view with this logger; it tells its class by its views only.
  const nothing = { data: { values: [] }, mark: "point" };
  const { view } = await vegaEmbed(document.createElement("div"), nothing, { actions: false, ast: true });
  view.finalize();
  return class extends view.constructor {
    constructor(runtime, options) { super(runtime, { ...options, logger }); }
  };
}
const viewClass = quiet();

const NARROW = 480;  // pixels: a telephone

function fitted(spec, width) {
  // A wrapped facet gets as many columns as there is room for, and they take all of it.
  if (!spec.facet || !spec.columns || !spec.spec || !spec.spec.width) return spec;
  const axis = 70, gap = 24, most = spec.spec.width * 1.5, least = spec.spec.width * 0.6;
  const columns = width < NARROW ? 1 : Math.min(spec.columns, Math.floor((width - axis) / (least + gap)));
  const inner = Math.max(least, Math.min(most, Math.floor((width - axis) / columns - gap)));
  return { ...spec, columns, spec: { ...spec.spec, width: inner } };
}

function rowsOf(columns) {
  const rows = [];
  for (const [name, { values, places = [...values.keys()] }] of Object.entries(columns)) {
    places.forEach((place, i) => {
      rows[i] ??= {};
      if (values[place] !== null) rows[i][name] = values[place];
    });
  }
  return rows;
}

async function draw(figure) {
  const name = figure.dataset.figure;
  const content = JSON.parse(document.querySelector(`script[data-for="${name}"]`).textContent);
  for (const [data, columns] of Object.entries(content.spec.datasets)) content.spec.datasets[data] = rowsOf(columns);
  const chart = figure.querySelector(".chart > div");  // the library gives it a role of its own
  const options = { renderer: "svg", actions: false, ast: true, viewClass: await viewClass, tooltip: { disableDefaultStyle: false } };
  const spec = fitted(content.spec, figure.clientWidth);
  const old = views.get(name);
  if (old) old.result.finalize();
  const result = await vegaEmbed(chart, spec, options);
  views.set(name, { result, width: spec.spec?.width, spec: content.spec });
  for (const input of figure.querySelectorAll("input[data-parameter]")) {
    const control = content.controls[input.dataset.parameter];
    const set = () => {
      input.parentElement.querySelector("output").value = control.words[input.value];
      input.setAttribute("aria-valuetext", control.words[input.value]);
      views.get(name).result.view.signal(input.dataset.parameter, control.values[input.value]).runAsync();
    };
    input.oninput = set;
    set();
  }
  hide(result.view);
}

function hide(view) {
  try { view.signal("hidden", [...hidden]).runAsync(); } catch { /* a chart without arms */ }
}

function listen() {
  for (const button of document.querySelectorAll(".legend button")) {
    const arm = button.dataset.arm;
    button.setAttribute("aria-pressed", String(!hidden.has(arm)));
    button.onclick = () => {
      if (!hidden.delete(arm)) hidden.add(arm);
      button.setAttribute("aria-pressed", String(!hidden.has(arm)));
      for (const { result } of views.values()) hide(result.view);
    };
  }
}

let work = Promise.resolve();  // one thing after the other: drawing twice at once would mix views

function inTurn(task) {
  work = work.then(task).catch((error) => console.error(error));
  return work;
}

async function drawEach(figures) {
  for (const figure of figures) {
    try { await draw(figure); } catch (error) { console.error(figure.dataset.figure, error); }
  }
  hint();
}

function hint() {
  for (const words of document.querySelectorAll(".hint")) {
    const box = words.nextElementSibling;
    words.hidden = box.scrollWidth <= box.clientWidth + 1;
  }
}
addEventListener("toggle", hint, true);  // of a table that is opened

async function drawAll() {
  document.body.dataset.drawn = "false";
  listen();
  await drawEach(document.querySelectorAll("figure[data-figure]"));
  document.body.dataset.drawn = "true";
}

let resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => inTurn(() => drawEach(
    [...document.querySelectorAll("figure[data-figure]")].filter((figure) => {
      const { spec, width } = views.get(figure.dataset.figure) ?? {};
      return spec && fitted(spec, figure.clientWidth).spec?.width !== width;
    }))), 150);
});

function focused() {
  // What finds the element that has the keyboard on the next page.
  const { id, dataset } = document.activeElement;
  if (id) return `#${CSS.escape(id)}`;
  return dataset.arm ? `[data-arm="${CSS.escape(dataset.arm)}"]` : null;
}

async function refresh(text) {
  // The page of now in the place of this one; what the reader has set stays as it is.
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("#report");
  const kept = new Map([...document.querySelectorAll("input[data-parameter]")].map((i) => [i.id, i]));
  const opened = [...document.querySelectorAll("details[open]")].map((d) => d.closest("section").id);
  for (const { result } of views.values()) result.finalize();
  views.clear();
  const keyboard = focused();
  document.querySelector("#report").replaceWith(fresh);
  for (const input of document.querySelectorAll("input[data-parameter]")) {
    const before = kept.get(input.id);
    if (before && before.max === input.max) input.value = before.value;
  }
  for (const id of opened) document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
  if (keyboard) document.querySelector(keyboard)?.focus({ preventScroll: true });
  await drawAll();
}

async function watch(url) {
  for (;;) {
    await new Promise((done) => setTimeout(done, 2000));
    let words = "no longer served: normexp watch goes on";
    try {
      const state = await (await fetch(url, { cache: "no-store" })).json();
      if (state.version !== document.querySelector("#report").dataset.version) {
        const text = await (await fetch(location.pathname, { cache: "no-store" })).text();
        await inTurn(() => refresh(text));
      }
      words = state.words;
    } catch { /* the server has ended */ }
    document.querySelector("#live").textContent = words;
  }
}

inTurn(drawAll).then(() => { if (document.body.dataset.live) watch(document.body.dataset.live); });
