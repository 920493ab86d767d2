// What is said before anything is said of weights: what was tuned, whether training teaches, whether weights matter.

const UNTRAINED = "untrained";

// A table whose rows begin with text instead of an arm.
function plainTable(id, caption, headings, rows) {
  const cells = (tag, texts, scope) => texts.map((text) => element(tag, { scope }, text));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells("td", rest)),
  );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      { id },
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...cells("th", headings, "col"))),
      element("tbody", {}, ...body),
    ),
  );
}

function invalidNotes() {
  return OVERVIEW.comparisons
    .filter((each) => each.setting === "invalid")
    .map(({ env, agent, reason }) =>
      element("p", { class: "invalid" }, element("b", {}, `Invalid setting: ${env}, ${agent}. `), `${reason} No verdict.`),
    );
}

function settingPart() {
  const { setting } = comparison();
  const verdicts = { valid: "Valid setting. ", invalid: "Invalid setting. ", "not known": "Valid setting: not known. " };
  const apart = Object.entries(setting.correlations).map(([name, value]) => `${spoken(name)} ${number(value)}`);
  return part(
    "setting",
    "Setting",
    null,
    element("p", { class: "lead" }, element("b", {}, verdicts[setting.verdict]), setting.reason),
    refilled("gains-box", gainsTable),
    untrainedTable(),
    element(
      "p",
      { class: "lead" },
      element("b", {}, `Tells weights apart: ${setting.apart}. `),
      setting.apartReason,
      apart.length ? ` Rank correlation of weight and performance: ${apart.join(", ")}.` : "",
    ),
  );
}

// Own weighted objective of each arm before and after training.
function gainsTable() {
  const { gains } = comparison().setting;
  if (!gains.length) return [];
  const known = gains.some((gain) => gain.share !== null);
  const headings = ["Strategy", "Seeds", "Preference", "Untrained", "Last", "Last − untrained", "Picked − untrained"];
  headings.push("Training", ...(known ? ["Of what the preference could have"] : []));
  const rows = gains.map((gain) => [
    gain.arm,
    [
      String(gain.seeds),
      gain.weights.map(number).join(" "),
      number(gain.untrained),
      number(gain.final),
      interval(gain.gain),
      interval(gain.picked),
      gain.effect,
      ...(known ? [gain.share === null ? nothing() : `${(100 * gain.share).toFixed(1)} %`] : []),
    ],
  ]);
  return [table("gains", "Own weighted objective on test data", headings, rows), hiddenNote(gains.map((gain) => gain.arm))];
}

// The untrained policy's measures, alone.
function untrainedTable() {
  const { untrained } = comparison().setting;
  const names = Object.keys(untrained);
  if (!names.length) return null;
  const headings = ["Policy", ...names.map(measureHeading)];
  return plainTable("untrained", "The untrained policy alone", headings, [
    [UNTRAINED, ...names.map((name) => interval(untrained[name]))],
  ]);
}

function tunedSection() {
  if (!OVERVIEW.tuned.length) return null;
  const lead = `Chosen on the fixed arms alone, by the mean of their own weighted objective on validation data at the end,
    over seeds that the benchmark does not use; test data was not looked at.`;
  const tables = OVERVIEW.tuned.map((tuned, place) =>
    plainTable(
      `tuned-${place}`,
      `${tuned.env}, ${tuned.agent}: ${tuned.chosen ?? "nothing is chosen yet"}${tuned.remark ? ` (${tuned.remark})` : ""}`,
      ["Value", "Runs", "Failed", "Own weighted objective", "Last − untrained"],
      tuned.trials.map((trial) => [
        trial.settings + (trial.settings === tuned.chosen ? " (chosen)" : ""),
        String(trial.runs),
        String(trial.failed),
        interval(trial.own),
        interval(trial.gain),
      ]),
    ),
  );
  return section("tuned", "Tuned", element("p", { class: "lead" }, lead), ...tables);
}
