// The report's sections: headings, words, and where tables and pictures go.

function section(id, title, ...children) {
  return element("section", { id, "aria-labelledby": `${id}-title` }, heading(2, `${id}-title`, title), ...children);
}

function part(id, title, words, ...children) {
  const note = words ? element("p", { class: "lead" }, words) : null;
  return element("section", { id, "aria-labelledby": `${id}-title` }, heading(3, `${id}-title`, title), note, ...children);
}

function heading(level, id, text) {
  return element(`h${level}`, { id }, text);
}

// A place that is filled again whenever a choice changes.
const refills = new Map();
function refilled(id, fill) {
  const place = element("div", { id });
  refills.set(place, fill);
  place.append(...fill().filter(Boolean));
  return place;
}

function grid(...children) {
  return element("div", { class: "grid" }, ...children.filter(Boolean));
}

function dotGrid(...children) {
  return element("div", { class: "grid dots" }, ...children);
}

function fields(...children) {
  return element("div", { class: "fields" }, ...children);
}

// A list that sets one of the choices and draws again.
function choice(key, id, label, options) {
  return dropdown(id, label, options, String(chosen[key]), (value) => {
    chosen[key] = key === "triple" ? Number(value) : value;
    refresh();
  });
}

function rankingSection() {
  if (!OVERVIEW.ranking.length) {
    const invalid = OVERVIEW.comparisons.some((each) => each.setting === "invalid");
    const words = invalid ? "No arm is ranked: no setting is valid." : "No cell has finished yet.";
    return section("ranking-section", "Ranking", element("p", { id: "nothing" }, words));
  }
  const score =
    OVERVIEW.measures[OVERVIEW.main]?.kind === "volume"
      ? `its share of the hypervolume that can be had in its comparison: of the exact front where that is known, else of
        all runs' fronts together`
      : "0 for the worst and 1 for the best run of its comparison";
  const lead = `The score of a run is ${score}. Shown are the interquartile mean over comparisons and seeds with its 95 %
    bootstrap interval, and the probability that a run does better than one of the baseline “${OVERVIEW.baseline}” with
    the same preference, or than one of the fixed arm that is best on other seeds, with the verdict that follows from
    its interval. Small: p of the exact permutation test, and p after Holm's correction for all arms in the column.`;
  return section(
    "ranking-section",
    "Ranking",
    element("p", { class: "lead" }, lead),
    refilled("ranking-box", rankingTable),
    dotGrid(...rankingPictures()),
  );
}

function comparisonSection() {
  const { env, agent } = OVERVIEW.comparisons[chosen.comparison];
  const { objectives, setting } = comparison();
  const wrong = [setting.verdict === "invalid" && "invalid setting", setting.apart === "no" && "tells weights apart: no"];
  return section(
    "comparison-section",
    [`${env} · ${agent}`, ...wrong.filter(Boolean)].join(" · "),
    settingPart(),
    fairnessPart(),
    measuresPart(),
    frontsPart(objectives),
    trainingPart(),
    part("cost-part", "Extra cost", COST, refilled("cost-box", costTable)),
  );
}

const COST = "What a run took, as a multiple of what the baseline with the same preference took (or the chosen fixed arm).";

function fairnessPart() {
  const { differences } = comparison();
  const items = differences.map((difference) => element("li", {}, difference));
  if (!items.length) {
    return part("fairness", "Fairness", "All that should be the same in all arms was the same.");
  }
  return part("fairness", "Fairness", "These arms differ in more than their weighting:", element("ul", {}, ...items));
}

function measuresPart() {
  const { arms } = comparison();
  const options = namesIn(arms, "measures").map((name) => [name, capital(measureName(name))]);
  if (!options.some(([name]) => name === chosen.measure)) chosen.measure = options[0]?.[0] ?? OVERVIEW.main;
  const lead = "Interquartile means over the seeds with 95 % intervals, of policies chosen on validation and judged on test.";
  return part(
    "measures-part",
    "Measures",
    lead,
    refilled("measures-box", measuresTable),
    fields(choice("measure", "measure", "Measure in the pictures and below", options)),
    refilled("explanation", () => [element("p", { class: "note" }, explained(chosen.measure))]),
    comparison().power ? element("p", { class: "note", id: "power" }, comparison().power) : null,
    refilled("choice", () => [choiceNote()]),
    dotGrid(...measurePictures()),
    refilled("rivals-box", rivalsTable),
  );
}

function choiceNote() {
  const words = comparison().chosen[chosen.measure];
  return words ? element("p", { class: "note" }, `By this measure ${words}.`) : null;
}

function frontsPart(objectives) {
  const seeds = [...new Set(comparison().arms.flatMap((arm) => arm.seeds))].sort((a, b) => a - b);
  const triples = combinations(objectives.length, 3).map((triple, i) => [
    String(i),
    triple.map((objective) => spoken(objectives[objective])).join(", "),
  ]);
  const exact = comparison().exact ? " The exact front is grey." : "";
  const { together } = comparison();
  const lead =
    together === 1
      ? `Each marker is a policy that its run's validations put on the front; a ring is a run's last policy.${exact}`
      : `Each marker is a policy that validation put on the front of ${together} runs together; a ring is the mean of
        their last policies.${exact}`;
  return part(
    "fronts",
    "Fronts",
    lead,
    fields(
      choice("split", "split", "Performance on", [["test", "test"], ["validation", "validation"]]),
      choice("seed", "seed", "Seeds", [["all", "all"], ...seeds.map((seed) => [String(seed), String(seed)])]),
      triples.length > 1 ? choice("triple", "triple", "In space", triples) : null,
    ),
    ...(triples.length === 1 ? [grid(...pairPictures(), spacePicture())] : [grid(...pairPictures()), spacePicture()]),
    heading(4, "parallel-title", "Parallel coordinates"),
    parallelPicture(),
  );
}

function trainingPart() {
  const { reference } = comparison();
  const lead = `Lines are means over the seeds, bands the 95 % bootstrap interval of that mean (none with one seed).
    Hypervolume is that of the archive of validations, above the reference point (${(reference ?? []).join(", ")}).`;
  const lines = [["band", "mean with band"], ["mean", "mean only"], ["seeds", "every seed"]];
  return part(
    "training",
    "Over training",
    lead,
    fields(
      choice("lines", "lines", "Lines", lines),
      choice("axis", "axis", "Validations over", [["steps", "steps"], ["updates", "updates"], ["tokens", "tokens"]]),
      choice("source", "source", "Objectives", [["rewards", "in training"], ["performance", "on validation"]]),
    ),
    heading(4, "hypervolume-title", "Hypervolume"),
    hypervolumePicture(),
    heading(4, "objectives-title", "Objectives"),
    grid(...objectivePictures()),
    heading(4, "weights-title", "Weights"),
    grid(...weightPictures()),
  );
}

function failuresSection() {
  const folded = OVERVIEW.failures.map(({ cell, traceback }) =>
    element("details", { class: "failure" }, element("summary", {}, cell), element("pre", { tabindex: "0" }, traceback)),
  );
  const lead = folded.length ? `${capital(plural(folded.length, "cell"))} failed:` : "No cell failed.";
  return section("failures", "Failures", element("p", { class: "lead" }, lead), ...folded);
}

function provenanceSection() {
  const items = Object.entries(OVERVIEW.provenance).flatMap(([name, value]) => [
    element("dt", {}, capital(spoken(name))),
    element("dd", {}, value),
  ]);
  return section("provenance", "Provenance", element("dl", {}, ...items));
}
