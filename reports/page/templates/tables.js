// Sorts the arms of a table by any of its columns, and shows in every table the arms that are asked for.
(() => {
  "use strict";
  const filter = document.getElementById("filter");
  const part = (name) => document.getElementById("filter-" + name);
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function titles(table) {  // of the columns, with their units
    const [first, second] = table.tHead.rows, found = [];
    for (const head of first.cells) found.push(...Array(head.colSpan).fill(head.textContent.trim()));
    return found.map((title, place) => [title, place && second.cells[place - 1].textContent.trim()].filter(Boolean).join(", "));
  }

  function groups(body) {  // each arm with the rows below it that belong to it
    const found = [];
    for (const row of body.rows) row.classList.contains("reason") ? found.at(-1).push(row) : found.push([row]);
    return found;
  }

  const label = ([row]) => row.cells[0].lastChild.textContent.trim();  // its marker stands before it

  function compare(place, sign) {  // what has no number stands last either way
    if (place === 0) return (one, other) => sign * words.compare(label(one), label(other));
    const value = ([row]) => parseFloat(row.cells[place].dataset.value);
    return (one, other) => {
      const [a, b] = [value(one), value(other)];
      return Number.isNaN(a) || Number.isNaN(b) ? Number.isNaN(a) - Number.isNaN(b) : sign * (a - b);
    };
  }

  function makeSortable(table) {
    const body = table.tBodies[0], written = groups(body), [first, second] = table.tHead.rows;
    const heads = [first.cells[0], ...second.cells], named = titles(table);
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.setAttribute("aria-label", "Sort by " + named[place]);
      button.append(...head.childNodes);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort || "none"];
        heads.forEach((each) => { each.ariaSort = each === head ? next : "none"; });
        const order = next === "none" ? written : [...written].sort(compare(place, next === "ascending" ? 1 : -1));
        body.append(...order.flat());
      });
    });
  }

  function show(tables) {
    const wanted = part("words").value.toLowerCase().split(/\s+/).filter(Boolean), method = part("method").value;
    for (const table of tables) {
      for (const group of groups(table.tBodies[0])) {
        const said = label(group).toLowerCase();
        const hidden = !wanted.every((word) => said.includes(word)) || (method && group[0].dataset.method !== method);
        for (const row of group) row.hidden = Boolean(hidden);
      }
    }
    const arms = groups(tables[0].tBodies[0]), left = arms.filter(([row]) => !row.hidden).length;
    part("count").textContent = left === arms.length ? `${arms.length} arms` : `${left} of ${arms.length} arms`;
  }

  const tables = [...document.querySelectorAll(".scroll > table:not(.plain)")].filter((table) => table.tBodies.length);
  tables.forEach(makeSortable);
  if (filter && tables.length) {
    const methods = new Set([...tables[0].tBodies[0].rows].map((row) => row.dataset.method).filter(Boolean));
    part("method").append(...[...methods].map((name) => new Option(name, name)));
    part("words").addEventListener("input", () => show(tables));
    part("method").addEventListener("change", () => show(tables));
    filter.hidden = false;
    show(tables);
  }
})();
