// Dot plots: one row for each arm with its estimate and interval, and the single runs behind it.

// An entry is { arm, value: [estimate, low, high] or null, runs, seeds }; `middle` draws a line where both are equal.
function dotPlot(title, entries, { middle = null, range = null } = {}) {
  const shown = entries.filter(({ arm, value }) => value && !chosen.hidden.has(arm));
  const data = shown.flatMap((entry, row) => dotTraces(entry, shown.length - 1 - row, title));
  const layout = {
    title,
    margin: { l: 30, r: 16, t: 34, b: 34 },
    xaxis: axis("", range ? { range } : {}),
    yaxis: axis("", {
      tickvals: shown.map((_, row) => shown.length - 1 - row),
      ticktext: shown.map(({ arm }) => rowLabel(arm)),
      tickfont: { size: 11 },
      range: [-0.6, Math.max(shown.length, 1) - 0.4],
      showgrid: false,
      fixedrange: true,
    }),
    shapes: middle === null ? [] : [middleLine(middle)],
  };
  return { data, layout };
}

// Weighting and, where there are several, preference, one below the other.
function rowLabel(arm) {
  const { weighting, preference } = OVERVIEW.arms[arm];
  const lines = onePreference ? [weighting] : [weighting, preference];
  return lines.map((line) => plain(shortened(line, 20))).join("<br>");
}

function dotTraces({ arm, value: [estimate, low, high], runs = [], seeds = [] }, y, title) {
  const { colour, symbol } = look(arm);
  const text = `<b>${plain(armName(arm))}</b><br>${plain(title)}: ${number(estimate)}<br>${spread(low, high)}`;
  const dots = {
    type: "scatter",
    mode: "markers",
    meta: arm,
    name: armName(arm),
    x: [finite(estimate) ? estimate : null],
    y: [y],
    hovertext: [text],
    hoverinfo: "text",
    marker: { color: colour, symbol, size: 10 },
    error_x: {
      type: "data",
      symmetric: false,
      array: [finite(high) ? high - estimate : 0],
      arrayminus: [finite(low) ? estimate - low : 0],
      color: colour,
      thickness: 2,
      width: 4,
    },
  };
  const behind = {
    type: "scatter",
    mode: "markers",
    meta: arm,
    name: armName(arm),
    x: runs.map((run) => (finite(run) ? run : null)),
    y: runs.map((_, i) => y - 0.12 - 0.2 * ((i % 4) / 4)),
    hovertext: runs.map((run, i) => hover(armName(arm), `seed ${seeds[i]}`, [title], [run])),
    hoverinfo: "text",
    marker: { color: faded(colour, 0.4), size: 5 },
  };
  return runs.length ? [behind, dots] : [dots];
}

function spread(low, high) {
  return low === null ? "one run" : `95 %: ${number(low)} to ${number(high)}`;
}

// Whether there is a number to draw; what a run never reached is in words.
function finite(value) {
  return typeof value === "number";
}

function middleLine(x) {
  const line = { color: ink("soft"), width: 1.5, dash: "dash" };
  return { type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line, layer: "below" };
}

function dotHeight(count) {
  return 84 + (onePreference ? 30 : 36) * Math.max(count, 2);
}

const CHANCE = { middle: 0.5, range: [-0.04, 1.04] };

function rankingPictures() {
  const height = dotHeight(OVERVIEW.ranking.length);
  const entries = (part) => OVERVIEW.ranking.map((ranked) => ({ arm: ranked.arm, value: part(ranked) }));
  return [
    picture("ranking-score", "Scores with 95 % intervals; the table above has the numbers", height, () =>
      dotPlot("Score", entries((ranked) => ranked.score)),
    ),
    picture("ranking-baseline", "Probabilities of improvement over the baseline", height, () =>
      dotPlot(BASELINE_CHANCE, entries((ranked) => ranked.baseline?.probability), CHANCE),
    ),
    picture("ranking-best", "Probabilities of improvement over the chosen fixed arm", height, () =>
      dotPlot(BEST_CHANCE, entries((ranked) => ranked.best?.probability), CHANCE),
    ),
  ];
}

function measurePictures() {
  const { arms } = comparison();
  const height = dotHeight(arms.length);
  const measured = () =>
    arms.map(({ arm, measures, runs, seeds }) => ({
      arm,
      seeds,
      value: measures[chosen.measure],
      runs: runs[chosen.measure] ?? [],
    }));
  const rivals = (part) => arms.map((arm) => ({ arm: arm.arm, value: arm[part][chosen.measure]?.probability }));
  return [
    picture("measure-dots", "The chosen measure of every strategy, with intervals and single runs", height, () =>
      dotPlot(capital(measureName(chosen.measure)), measured()),
    ),
    picture("baseline-dots", "Probabilities of improvement over the baseline by the chosen measure", height, () =>
      dotPlot(BASELINE_CHANCE, rivals("baseline"), CHANCE),
    ),
    picture("best-dots", "Probabilities of improvement over the chosen fixed arm by the chosen measure", height, () =>
      dotPlot(BEST_CHANCE, rivals("best"), CHANCE),
    ),
  ];
}
