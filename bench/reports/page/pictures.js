// Pictures: when they are drawn, and what all of them share. A picture is drawn when it comes into view.

const pictures = new Set();
const inView = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      target.picture.near = isIntersecting;
      if (isIntersecting) draw(target.picture);
    }
  },
  { rootMargin: "400px" },
);

// The buttons are named one by one: plotly.js has others, which send the picture to a server.
const CONFIG = {
  displaylogo: false,
  responsive: true,
  showSendToCloud: false,
  plotlyServerURL: "",
  toImageButtonOptions: { format: "svg" },
};
const BUTTONS = [["zoom2d", "pan2d", "resetScale2d", "toImage"]];
const BUTTONS_3D = [["resetCameraDefault3d", "toImage"]];

// A place for a picture; `build` returns its traces and layout whenever it is drawn.
function picture(id, label, height, build) {
  const box = element("div", { id, class: "picture", role: "img", "aria-label": label, style: `height: ${height}px` });
  box.picture = { box, build, stale: true, near: false };
  pictures.add(box.picture);
  inView.observe(box);
  return element("figure", { class: "plot" }, box);
}

function draw(it) {
  if (!it.stale) return;
  it.stale = false;
  const { data, layout } = it.build();
  Plotly.react(it.box, data, framed(layout), { ...CONFIG, modeBarButtons: layout.scene ? BUTTONS_3D : BUTTONS });
}

// Draw again what is in view, and the others when they come into view.
function redraw() {
  for (const it of pictures) {
    it.stale = true;
    if (it.near) draw(it);
  }
}

// Forget the pictures within an element, which is about to be emptied.
function forgetPictures(parent) {
  for (const it of [...pictures].filter((each) => parent.contains(each.box))) {
    inView.unobserve(it.box);
    Plotly.purge(it.box);
    pictures.delete(it);
  }
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function axis(title, more = {}) {
  return {
    title: title ? { text: plain(title), standoff: 8 } : undefined,
    gridcolor: ink("grid"),
    zeroline: false,
    automargin: true,
    linecolor: ink("grid"),
    ...more,
  };
}

// The layout with the page's colours and type; zooms survive a toggled strategy.
function framed(layout) {
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: ink("soft") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 48, r: 12, t: layout.title ? 34 : 10, b: 42 },
    showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("soft"), activecolor: ink("accent") },
    hovermode: "closest",
    hoverlabel: { align: "left", font: { family: "system-ui, sans-serif" } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    uirevision: `${chosen.comparison}`,
    ...layout,
    title: layout.title && { text: plain(layout.title), font: { size: 13, color: ink("text") }, x: 0.02, xanchor: "left" },
  };
}

// Lines of hover text: what is pointed at, then names with their values.
function hover(heading, where, names, values) {
  const lines = names.map((name, i) => `${plain(name)}: ${number(values[i])}`);
  return [`<b>${plain(heading)}</b>`, plain(where), ...lines].join("<br>");
}

// Whether three-dimensional pictures can be drawn here.
const hasWebGL = (() => {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
})();
