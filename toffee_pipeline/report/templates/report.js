"use strict";
const cards = [...document.querySelectorAll("article.card")];
const form = document.querySelector(".filter");
const dialog = document.querySelector("dialog");
const shown = () => cards.filter((card) => !card.hidden);
let open = null; // the card that the dialog shows

function filter() {
  const low = parseFloat(form.low.value), high = parseFloat(form.high.value);
  for (const card of cards) {
    const fits = ["verdict", "kind", "category", "class"].every(
      (name) => !form[name]?.value || card.dataset[name] === form[name].value);
    const score = parseFloat(card.getAttribute("data-" + form.score.value));
    const inside = (isNaN(low) || score >= low) && (isNaN(high) || score <= high);
    card.hidden = !(fits && inside);
  }
  for (const section of document.querySelectorAll("section")) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  form.querySelector("output").textContent = `${shown().length} of ${cards.length} shown`;
}

function show(card) {
  open = card;
  const copy = card.cloneNode(true);
  copy.querySelector("details").open = true;
  dialog.querySelector("div").replaceChildren(copy);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function step(by) {
  const known = shown();
  const next = known[known.indexOf(open) + by];
  if (next) show(next);
}

if (form) {
  for (const name of ["verdict", "kind", "category", "class"].filter((name) => form[name])) {
    const values = new Set(cards.map((card) => card.dataset[name]).filter(Boolean));
    form[name].append(...[...values].sort().map((value) => new Option(value)));
  }
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
}
for (const card of cards) card.querySelector(".tiles").addEventListener("click", () => show(card));
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.value === "close") dialog.close();
  if (event.target.value === "previous") step(-1);
  if (event.target.value === "next") step(1);
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
