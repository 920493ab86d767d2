// Lines over training: weights, objectives and hypervolume, as mean with band or seed by seed.
//
// An arm's lines are in two parts, "training" and "validation". A line of a part holds mean, low and high, a list of
// values over `steps` for each column, and `every`, for each column and seed a list over the steps at positions `few`.

const AXES = {
  steps: ["training step", "step"],
  updates: ["optimizer updates", "update"],
  tokens: ["tokens sampled, or environment steps", "token"],
};

// What to draw: part, name of the line, column, title. Only validations know updates and tokens.
function linePicture(id, height, choose) {
  return picture(id, choose().title, height, () => {
    const what = { ...choose(), along: choose().part === "validation" ? chosen.axis : "steps" };
    const arms = shownArms().filter((arm) => arm[what.part].steps.length);
    const layout = { title: what.title, xaxis: axis(AXES[what.along][0]), yaxis: axis("", what.yaxis) };
    return { data: arms.flatMap((arm) => lineTraces(arm, what)), layout };
  });
}

function lineTraces(arm, what) {
  const own = { type: "scatter", meta: arm.arm, name: armName(arm.arm) };
  if (chosen.lines === "seeds") return [seedTrace(arm, what, own)];
  const mean = meanTrace(arm, what, own);
  return chosen.lines === "band" && arm[what.part][what.name].low ? [bandTrace(arm, what, own), mean] : [mean];
}

function meanTrace(arm, { part, name, column, title, along }, own) {
  const { colour, dash, symbol } = look(arm.arm);
  const { mean, low, high } = arm[part][name];
  const x = arm[part][along];
  const who = arm.seeds.length === 1 ? `seed ${arm.seeds[0]}` : `mean of ${arm.seeds.length} seeds`;
  const text = (value, i) => {
    const lines = [hover(armName(arm.arm), `${who}, ${place(along, x[i])}`, [title], [value])];
    if (low) lines.push(`95 %: ${number(low[column][i])} to ${number(high[column][i])}`);
    return lines.join("<br>");
  };
  return {
    ...own,
    mode: "lines+markers",
    x,
    y: mean[column],
    hovertext: mean[column].map(text),
    hoverinfo: "text",
    line: { color: colour, dash, width: 2 },
    marker: { color: colour, symbol, size: 6, maxdisplayed: 8 },
  };
}

function bandTrace(arm, { part, name, column, along }, own) {
  const { low, high } = arm[part][name];
  const x = arm[part][along];
  return {
    ...own,
    mode: "lines",
    x: [...x, ...[...x].reverse()],
    y: [...high[column], ...[...low[column]].reverse()],
    fill: "toself",
    fillcolor: faded(look(arm.arm).colour, 0.13),
    line: { width: 0 },
    hoverinfo: "skip",
  };
}

// All seeds in one trace, with gaps between them.
function seedTrace(arm, { part, name, column, title, along }, own) {
  const { colour, dash } = look(arm.arm);
  const { few } = arm[part];
  const every = arm[part][name].every[column];
  const x = few.map((position) => arm[part][along][position]);
  const text = (value, i, seed) => hover(armName(arm.arm), `seed ${seed}, ${place(along, x[i])}`, [title], [value]);
  return {
    ...own,
    mode: "lines",
    x: every.flatMap(() => [...x, null]),
    y: every.flatMap((values) => [...values, null]),
    hovertext: every.flatMap((values, run) => [...values.map((value, i) => text(value, i, arm.seeds[run])), ""]),
    hoverinfo: "text",
    line: { color: faded(colour, 0.75), dash, width: 1.2 },
  };
}

function place(along, value) {
  return `${AXES[along][1]} ${value.toLocaleString("en")}`;
}

function hypervolumePicture() {
  const what = { part: "validation", name: "hypervolume", column: 0, title: "Hypervolume of the validations so far" };
  return linePicture("hypervolume", 380, () => what);
}

function objectivePictures() {
  return comparison().objectives.map((objective, column) =>
    linePicture(`objective-${column}`, 290, () => {
      const part = chosen.source === "rewards" ? "training" : "validation";
      return { part, name: chosen.source, column, title: capital(spoken(objective)) };
    }),
  );
}

function weightPictures() {
  const { objectives, arms } = comparison();
  const weights = objectives.map((objective, column) =>
    linePicture(`weight-${column}`, 290, () => ({
      part: "training",
      name: "weights",
      column,
      title: `Weight of ${spoken(objective)}`,
      yaxis: { rangemode: "tozero" },
    })),
  );
  const moves = arms.some(({ training }) => training.scale?.mean[0].some((scale) => Math.abs(scale - 1) > 1e-4));
  const scale = () => ({ part: "training", name: "scale", column: 0, title: "Scale of the advantages" });
  return moves ? [...weights, linePicture("scale", 290, scale)] : weights;
}
