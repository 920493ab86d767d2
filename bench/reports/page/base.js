"use strict";
// The numbers, what is chosen, and small helpers that all other files use.

const OVERVIEW = JSON.parse(document.getElementById("overview").textContent);
const EVERY_ARM = OVERVIEW.arms.map((_, index) => index);

// What the reader has chosen. `hidden` holds positions of arms in OVERVIEW.arms.
const chosen = {
  comparison: 0,
  hidden: new Set(),
  measure: OVERVIEW.main,
  split: "test",
  seed: "all",
  triple: 0,
  lines: EVERY_ARM.length > 8 ? "mean" : "band",
  axis: "steps",
  source: "rewards",
};

const parsed = new Map();

// The chosen comparison's numbers, parsed when they are first needed; null where none has finished.
function comparison() {
  if (!OVERVIEW.comparisons.length) return null;
  if (!parsed.has(chosen.comparison)) {
    parsed.set(chosen.comparison, JSON.parse(document.getElementById(`comparison-${chosen.comparison}`).textContent));
  }
  return parsed.get(chosen.comparison);
}

// An element; attributes that start with "on" are listeners, and text is never read as HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// ---- words and numbers

const onePreference = new Set(OVERVIEW.arms.map((arm) => arm.preference)).size < 2;

// The name of an arm; the preference is left out where all arms have the same.
function armName(index) {
  if (index === null) return "another arm";
  const { weighting, preference } = OVERVIEW.arms[index];
  return onePreference ? weighting : `${weighting} · ${preference}`;
}

function spoken(name) {
  return name.replaceAll("_", " ").replaceAll("/", ": ");
}

function measureName(name) {
  return OVERVIEW.measures[name]?.label ?? spoken(name);
}

// What a measure is, in words, and which way is better.
function explained(name) {
  const measure = OVERVIEW.measures[name];
  return measure ? `${measure.explanation} ${measure.larger ? "Larger" : "Smaller"} is better.` : "";
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size >= 100) return value.toFixed(1);
  if (size >= 10) return value.toFixed(2);
  if (size >= 0.001 || size === 0) return value.toFixed(3);
  return value.toExponential(1);
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

// Text for a picture: Plotly reads a few tags and entities in its texts.
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// ---- how an arm looks, the same in all pictures: a colour for each of seven, then other dashes and markers

const COLOURS = ["#0077bb", "#e07b00", "#009e73", "#cc3311", "#aa4499", "#33a9dd", "#8c6d31"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const SYMBOLS = ["circle", "square", "diamond", "cross", "x", "triangle-up"];

function look(index) {
  const round = Math.floor(index / COLOURS.length);
  return {
    colour: COLOURS[index % COLOURS.length],
    dash: DASHES[round % DASHES.length],
    symbol: SYMBOLS[(index + round) % SYMBOLS.length],
  };
}

function faded(colour, opacity) {
  const part = (start) => parseInt(colour.slice(start, start + 2), 16);
  return `rgba(${part(1)},${part(3)},${part(5)},${opacity})`;
}

// The arms of the chosen comparison that are shown.
function shownArms() {
  const here = comparison();
  return here ? here.arms.filter((arm) => !chosen.hidden.has(arm.arm)) : [];
}
