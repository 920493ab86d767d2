// Pictures of the fronts: pairs of objectives, three objectives in space, parallel coordinates.

const STEP = 0;
const SYMBOLS_3D = { "triangle-up": "square-open" };

// Positions of the objectives taken `size` at a time.
function combinations(count, size, start = 0) {
  if (size === 0) return [[]];
  const firsts = Array.from({ length: count - start }, (_, i) => start + i);
  return firsts.flatMap((first) => combinations(count, size - 1, first + 1).map((rest) => [first, ...rest]));
}

// The points of an arm's runs that are shown: { seed, step, values, final }, run by run.
function frontRuns(arm) {
  const part = chosen.split === "validation" ? 1 : 2;
  return arm.seeds
    .map((seed, run) => ({ seed, run }))
    .filter(({ seed }) => chosen.seed === "all" || String(seed) === chosen.seed)
    .map(({ seed, run }) => {
      const points = arm.fronts[run].map((point) => ({ seed, step: point[STEP], values: point[part], final: false }));
      const last = arm.finals[run];
      return { points, final: { seed, step: last[STEP], values: last[part], final: true } };
    });
}

function pointText(arm, point) {
  const where = `seed ${point.seed}, step ${point.step}${point.final ? " (last policy)" : ""}, ${chosen.split}`;
  return hover(armName(arm.arm), where, comparison().objectives, point.values);
}

// A trace of points; `axes` are the objectives along x, y and, in space, z.
function pointTrace(arm, points, axes, marker) {
  const trace = {
    type: axes.length === 3 ? "scatter3d" : "scatter",
    mode: "markers",
    meta: arm.arm,
    name: armName(arm.arm),
    hovertext: points.map((point) => pointText(arm, point)),
    hoverinfo: "text",
    marker,
  };
  axes.forEach((objective, i) => (trace["xyz"[i]] = points.map((point) => point.values[objective])));
  return trace;
}

function frontTraces(arm, axes) {
  const runs = frontRuns(arm);
  const { colour, symbol } = look(arm.arm);
  const space = axes.length === 3;
  const shape = space ? (SYMBOLS_3D[symbol] ?? symbol) : symbol;
  const size = space ? 4 : 7;
  const edge = { color: ink("ground"), width: space ? 0 : 0.8 };
  const front = runs.flatMap((run) => run.points);
  const traces = [pointTrace(arm, front, axes, { color: colour, symbol: shape, size, line: edge })];
  const ring = { color: colour, symbol: "circle-open", size: space ? 8 : 13, line: { width: space ? 1 : 1.5 } };
  const finals = runs.map((run) => run.final);
  traces.push(pointTrace(arm, finals, axes, ring));
  if (comparison().objectives.length === 2) traces.unshift(staircase(arm, runs));
  return traces;
}

// What each run's front dominates ends at a staircase; the runs are parted by gaps.
function staircase(arm, runs) {
  const x = [];
  const y = [];
  for (const { points } of runs) {
    let best = -Infinity;
    const corners = [];
    for (const { values } of [...points].sort((a, b) => b.values[0] - a.values[0] || b.values[1] - a.values[1])) {
      if (values[1] > best) corners.unshift(values);
      best = Math.max(best, values[1]);
    }
    x.push(...corners.map((corner) => corner[0]), null);
    y.push(...corners.map((corner) => corner[1]), null);
  }
  const { colour, dash } = look(arm.arm);
  const line = { color: faded(colour, 0.45), dash, width: 1.2, shape: "vh" };
  return { type: "scatter", mode: "lines", meta: arm.arm, name: armName(arm.arm), x, y, line, hoverinfo: "skip" };
}

// The exact front as grey points, joined by a staircase where there are two objectives.
function exactTrace(axes) {
  const { exact, objectives } = comparison();
  if (!exact) return [];
  const space = axes.length === 3;
  const joined = objectives.length === 2;
  const trace = {
    type: space ? "scatter3d" : "scatter",
    mode: joined ? "lines+markers" : "markers",
    name: "exact front",
    meta: "exact",
    hovertext: exact.map((point) => hover("exact front", "", objectives, point)),
    hoverinfo: "text",
    marker: { color: ink("exact"), symbol: "square", size: space ? 2 : 4 },
    line: { color: ink("exact"), width: 1, shape: "vh" },
  };
  axes.forEach((objective, i) => (trace["xyz"[i]] = exact.map((point) => point[objective])));
  return [trace];
}

function frontData(axes) {
  return [...exactTrace(axes), ...shownArms().flatMap((arm) => frontTraces(arm, axes))];
}

function pairPictures() {
  const { objectives } = comparison();
  return combinations(objectives.length, 2).map(([a, b]) =>
    picture(`front-${a}-${b}`, `Fronts: ${objectives[b]} against ${objectives[a]}`, 340, () => ({
      data: frontData([a, b]),
      layout: { xaxis: axis(spoken(objectives[a])), yaxis: axis(spoken(objectives[b])) },
    })),
  );
}

function spacePicture() {
  const { objectives } = comparison();
  if (objectives.length < 3) return null;
  if (!hasWebGL) {
    const words = "This browser offers no WebGL, which a picture in space needs; the pairs show the same points.";
    return element("p", { class: "note", id: "no-webgl" }, words);
  }
  const triples = combinations(objectives.length, 3);
  return picture("front-space", "Fronts in space", triples.length === 1 || innerWidth < 640 ? 340 : 480, () => {
    const axes = triples[chosen.triple];
    const names = axes.map((objective) => plain(spoken(objectives[objective])));
    const side = (i) => ({ title: { text: names[i] }, gridcolor: ink("grid"), zeroline: false, showspikes: false });
    const camera = { eye: { x: 1.6, y: 1.6, z: 0.9 }, center: { x: 0, y: 0, z: -0.18 } };
    const scene = { xaxis: side(0), yaxis: side(1), zaxis: side(2), camera, aspectmode: "cube" };
    return { data: frontData(axes), layout: { scene, margin: { l: 0, r: 0, t: 0, b: 0 } } };
  });
}

// Every point as a line over the objectives, each scaled to what is shown.
function parallelPicture() {
  return picture("parallel", "Fronts in parallel coordinates", 380, () => {
    const { objectives } = comparison();
    const arms = shownArms().map((arm) => ({ arm, points: frontRuns(arm).flatMap((run) => run.points) }));
    const all = arms.flatMap(({ points }) => points);
    const ends = objectives.map((_, k) => span(all.map((point) => point.values[k])));
    const labels = objectives.map((name, k) => ({
      x: k,
      y: 1.06,
      text: number(ends[k][1]),
      showarrow: false,
      font: { color: ink("soft") },
    }));
    const ticktext = objectives.map((name, k) => `${number(ends[k][0])}<br><b>${plain(shortened(spoken(name), 18))}</b>`);
    return {
      data: arms.map(({ arm, points }) => parallelTrace(arm, points, ends)),
      layout: {
        margin: { l: 24, r: 24, t: 16, b: 52 },
        xaxis: axis("", { tickvals: objectives.map((_, k) => k), ticktext, range: [-0.2, objectives.length - 0.8] }),
        yaxis: axis("", { visible: false, range: [-0.05, 1.12] }),
        annotations: all.length ? labels : [],
      },
    };
  });
}

function span(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function parallelTrace(arm, points, ends) {
  const { colour, symbol } = look(arm.arm);
  const places = ends.map((_, k) => k);
  const scaled = (value, [low, high]) => (high > low ? (value - low) / (high - low) : 0.5);
  return {
    type: "scatter",
    mode: "lines+markers",
    meta: arm.arm,
    name: armName(arm.arm),
    x: points.flatMap(() => [...places, null]),
    y: points.flatMap((point) => [...point.values.map((value, k) => scaled(value, ends[k])), null]),
    hovertext: points.flatMap((point) => [...places, null].map(() => pointText(arm, point))),
    hoverinfo: "text",
    line: { color: faded(colour, 0.5), width: 1.1 },
    marker: { color: colour, symbol, size: 6 },
  };
}
