// Puts the page together and keeps it in step with what is chosen.

// After any choice: tables are filled again, pictures drawn again as they come into view.
function refresh() {
  for (const [place, fill] of refills) {
    if (!place.isConnected) refills.delete(place);
    else place.replaceChildren(...fill().filter(Boolean));
  }
  redraw();
}

function chooseComparison(value) {
  chosen.comparison = Number(value);
  chosen.seed = "all";
  chosen.triple = 0;
  const old = document.getElementById("comparison-section");
  forgetPictures(old);
  old.replaceWith(comparisonSection());
  markAbsentArms();
}

function counts() {
  const { finished, weightings, preferences, missing, failures, comparisons } = OVERVIEW;
  const parts = [
    plural(comparisons.length, "comparison"),
    weightings === 1 ? "1 strategy" : `${weightings} strategies`,
    plural(preferences, "preference"),
    plural(finished, "finished run"),
  ];
  if (failures.length) parts.push(`${failures.length} failed`);
  if (missing) parts.push(`${missing} not run yet`);
  return parts.join(" · ");
}

document.getElementById("counts").textContent = counts();
buildChoices();
const sections = [...invalidNotes(), tunedSection(), rankingSection()].filter(Boolean);
if (OVERVIEW.comparisons.length) sections.push(comparisonSection());
document.getElementById("report").append(...sections, failuresSection(), provenanceSection());
markAbsentArms();
foldChoices();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("beforeprint", () => pictures.forEach(draw));
