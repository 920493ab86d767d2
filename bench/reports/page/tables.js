// Tables: the ranking and, for the chosen comparison, measures, rivals and extra cost.

function nothing() {
  return element("span", { class: "none" }, "–");
}

function interval(value) {
  if (!value) return nothing();
  return element(
    "span",
    { class: "estimate" },
    element("b", {}, number(value[0])),
    " ",
    element("small", {}, value[1] === null ? "one run" : `[${number(value[1])}, ${number(value[2])}]`),
  );
}

function verdict(words) {
  const kind = ["better", "worse"].includes(words) ? words : "open";
  const sign = { better: "▲ ", worse: "▼ ", open: "" }[kind];
  return element("span", { class: `verdict ${kind}` }, element("span", { "aria-hidden": "true" }, sign), words);
}

// A probability of improvement with its verdict, and the rival's name where that is not told by the heading.
function chance(rival, named = false) {
  if (!rival) return nothing();
  const name = named ? element("span", { class: "rival" }, `over ${armName(rival.arm)}`) : null;
  return element("span", { class: "chance" }, interval(rival.probability), verdict(rival.verdict), certainty(rival), name);
}

// The p-value as it is and after Holm's correction, and the share of tied pairs where there are any.
function certainty(rival) {
  const holm = rival.family > 1 ? `; of ${rival.family} ${rival.holm}${rival.holds ? ", holds" : ", open"}` : "";
  const ties = rival.ties ? `; ties ${Math.round(100 * rival.ties)} %` : "";
  return element("small", { class: "certainty", title: CERTAINTY }, `p ${rival.p}${holm}${ties}`);
}

const CERTAINTY = `p of the exact permutation test; then p after Holm's correction for so many comparisons, and whether the
  verdict holds with it; then the share of tied pairs`;

function armHeading(index) {
  return element("span", { class: "arm-heading" }, swatch(index), element("span", {}, armName(index)));
}

// A table in a box of its own that scrolls sideways; `rows` are [arm, cells], of which hidden arms are left out.
function table(id, caption, headings, rows) {
  const head = element("tr", {}, ...headings.map((heading) => element("th", { scope: "col" }, heading)));
  const body = rows
    .filter(([arm]) => !chosen.hidden.has(arm))
    .map(([arm, cells]) =>
      element(
        "tr",
        { "data-arm": arm },
        element("th", { scope: "row" }, armHeading(arm)),
        ...cells.map((cell) => element("td", {}, cell)),
      ),
    );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      { id },
      element("caption", {}, caption),
      element("thead", {}, head),
      element("tbody", {}, ...body),
    ),
  );
}

function hiddenNote(arms) {
  const hidden = arms.filter((arm) => chosen.hidden.has(arm)).length;
  return hidden ? element("p", { class: "note" }, `${capital(plural(hidden, "row"))} hidden by your choice.`) : null;
}

const BASELINE_CHANCE = "P(better than baseline)";
const BEST_CHANCE = "P(better than chosen fixed)";

function rankingTable() {
  const several = OVERVIEW.comparisons.length > 1;
  const rows = OVERVIEW.ranking.map((ranked, place) => [
    ranked.arm,
    [
      String(place + 1),
      interval(ranked.score),
      chance(ranked.baseline),
      chance(ranked.best),
      ...(several ? [String(ranked.comparisons)] : []),
    ],
  ]);
  const headings = ["Strategy", "Rank", "Score", BASELINE_CHANCE, BEST_CHANCE];
  if (several) headings.push("Comparisons");
  return [
    table("ranking", `Ranking by ${measureName(OVERVIEW.main)}`, headings, rows),
    hiddenNote(OVERVIEW.ranking.map((ranked) => ranked.arm)),
  ];
}

// All names that any of the arms has in the given part, in the order in which they come.
function namesIn(arms, part) {
  return [...new Set(arms.flatMap((arm) => Object.keys(arm[part])))];
}

function measureHeading(name) {
  const direction = { true: " ↑", false: " ↓" }[OVERVIEW.measures[name]?.larger] ?? "";
  return element("span", { title: explained(name) }, capital(measureName(name)) + direction);
}

function measuresTable() {
  const { arms } = comparison();
  const measures = namesIn(arms, "measures");
  const raced = arms.some((arm) => arm.reached !== null);
  const rows = arms.map((arm) => [
    arm.arm,
    [
      String(arm.seeds.length),
      ...measures.map((measure) => interval(arm.measures[measure])),
      ...(raced ? [arm.reached === null ? "–" : `${arm.reached} of ${arm.seeds.length}`] : []),
    ],
  ]);
  const headings = ["Strategy", "Seeds", ...measures.map(measureHeading)];
  if (raced) headings.push("Reached baseline");
  return [table("measures", "Measures", headings, rows), hiddenNote(arms.map((arm) => arm.arm))];
}

function rivalsTable() {
  const { arms } = comparison();
  const rows = arms.map((arm) => [
    arm.arm,
    [chance(arm.baseline[chosen.measure]), chance(arm.best[chosen.measure], true)],
  ]);
  const headings = ["Strategy", BASELINE_CHANCE, BEST_CHANCE];
  return [table("rivals", `Probability of improvement by ${measureName(chosen.measure)}`, headings, rows)];
}

function costTable() {
  const { arms } = comparison();
  const costs = namesIn(arms, "cost");
  const ratio = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(2)} ×`);
  const rows = arms.map((arm) => [arm.arm, costs.map((cost) => ratio(arm.cost[cost]))]);
  const headings = ["Strategy", ...costs.map((cost) => capital(spoken(cost)))];
  return costs.length
    ? [table("cost", "Extra cost", headings, rows)]
    : [element("p", { class: "note" }, "No baseline to compare costs with.")];
}
