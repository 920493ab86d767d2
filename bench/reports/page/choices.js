// The controls beside the report: which comparison, and which strategies are shown everywhere.

const MARKS = {
  circle: "M12 7a5 5 0 1 0 .01 0Z",
  square: "M7.5 7.5h9v9h-9Z",
  diamond: "M12 6l6 6-6 6-6-6Z",
  cross: "M10 6h4v4h4v4h-4v4h-4v-4H6v-4h4Z",
  x: "M8 6l4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4Z",
  "triangle-up": "M12 6l6 11H6Z",
};
const STROKES = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };

// A line with its marker, as the arm has them in all pictures.
function swatch(index) {
  const { colour, dash, symbol } = look(index);
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  const part = (tag, attributes) => {
    const made = document.createElementNS(namespace, tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    svg.append(made);
  };
  Object.entries({ viewBox: "-7 0 38 24", class: "swatch", "aria-hidden": "true" }).forEach(([name, value]) =>
    svg.setAttribute(name, value),
  );
  part("path", { d: "M-6 12H30", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": STROKES[dash] });
  part("path", { d: MARKS[symbol], fill: colour });
  return svg;
}

// A labelled list to choose from; `choose` gets the chosen value.
function dropdown(id, label, options, value, choose) {
  const list = element("select", { id, onchange: (event) => choose(event.target.value) });
  for (const [key, text] of options) list.append(element("option", { value: key, selected: key === value }, text));
  return element("div", { class: "field" }, element("label", { for: id }, label), list);
}

function armChoice(index) {
  const box = element("input", {
    type: "checkbox",
    id: `arm-${index}`,
    checked: !chosen.hidden.has(index),
    onchange: (event) => {
      if (event.target.checked) chosen.hidden.delete(index);
      else chosen.hidden.add(index);
      refresh();
    },
  });
  return element("label", { class: "arm", "data-arm": index }, box, swatch(index), element("span", {}, armName(index)));
}

// Show all arms for which `wanted` holds, and no others.
function showArms(wanted) {
  chosen.hidden = new Set(EVERY_ARM.filter((index) => !wanted(index)));
  for (const index of EVERY_ARM) document.getElementById(`arm-${index}`).checked = wanted(index);
  refresh();
}

function leaders(count) {
  const best = new Set(OVERVIEW.ranking.slice(0, count).map((ranked) => ranked.arm));
  return (index) => best.has(index) || OVERVIEW.arms[index].weighting === OVERVIEW.baseline;
}

function buildChoices() {
  const form = document.getElementById("choices");
  form.addEventListener("submit", (event) => event.preventDefault());
  if (OVERVIEW.comparisons.length) {
    const names = OVERVIEW.comparisons.map(({ env, agent }, i) => [
      String(i),
      `${env.replace(/^paretune\//, "")} · ${agent}`,
    ]);
    form.append(dropdown("comparison", "Comparison", names, "0", chooseComparison));
  }
  const button = (id, text, wanted) =>
    element("button", { type: "button", id, onclick: () => showArms(wanted) }, text);
  const buttons = [button("arms-all", "All", () => true), button("arms-none", "None", () => false)];
  if (OVERVIEW.arms.length > 5) {
    buttons.push(button("arms-leaders", `Best 3 and ${shortened(OVERVIEW.baseline, 12)}`, leaders(3)));
  }
  form.append(
    element(
      "fieldset",
      {},
      element("legend", {}, "Strategies"),
      element("div", { class: "buttons" }, ...buttons),
      element("div", { class: "arms" }, ...EVERY_ARM.map(armChoice)),
    ),
    element("p", { class: "note" }, "Hidden strategies leave all pictures and tables."),
  );
}

// Grey out the arms that the chosen comparison does not have.
function markAbsentArms() {
  const present = new Set((comparison()?.arms ?? []).map((arm) => arm.arm));
  for (const label of document.querySelectorAll(".arm")) {
    const absent = OVERVIEW.comparisons.length > 0 && !present.has(Number(label.dataset.arm));
    label.classList.toggle("absent", absent);
    label.title = absent ? "not in this comparison" : "";
  }
}

// On a wide page the controls stay open beside the report; on a narrow one they fold away above it.
function foldChoices() {
  const wide = matchMedia("(min-width: 60rem)");
  const set = () => (document.getElementById("controls").open = wide.matches);
  wide.addEventListener("change", set);
  set();
}
