"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const make = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  // What waits until it is seen: a page of many cases has tens of thousands of elements, and most are never looked at.
  const idle = window.requestIdleCallback || ((call) => setTimeout(call, 50));
  const onceSeen = (selector, call) => {
    const seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          seen.unobserve(target);
          idle(() => call(target));
        }
      }
    });
    document.querySelectorAll(selector).forEach((place) => seen.observe(place));
  };

  // Tables: a click on a head sorts by figures where the column has them, a word in the box filters.
  const figure = (text) => {
    const found = /^[+−-]?[\d,]*\.?\d+/.exec(text.trim());
    return found ? Number(found[0].replace("−", "-").replaceAll(",", "")) : NaN;
  };
  const sort = (table, head) => {
    const body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[head.cellIndex].textContent;
      return { row, text, number: head.classList.contains("n") ? figure(text) : NaN };
    });
    keyed.sort((one, two) => {
      const lacking = Number.isNaN(one.number) - Number.isNaN(two.number);
      if (lacking) return lacking;
      const by = Number.isNaN(one.number) ? one.text.localeCompare(two.text, "en", { numeric: true }) : one.number - two.number;
      return down ? -by : by;
    });
    body.append(...keyed.map((one) => one.row));
  };
  onceSeen("table[data-sort]", (table) => {
    for (const head of table.tHead.rows[0].cells) {
      if (!head.textContent.trim()) continue;
      const button = make("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, head));
    }
  });
  document.querySelectorAll(".tools").forEach((tools) => {
    const told = tools.querySelector("[role=status]");
    let rows;
    tools.hidden = false;
    tools.querySelector("input").addEventListener("input", (event) => {
      rows ??= [...tools.parentElement.querySelectorAll("tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      told.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
  });

  // A case: its tables are kept as numbers of texts, and made when it is opened.
  const dialog = document.querySelector("dialog");
  let kept;
  const open = (anchor) => {
    kept ??= read("details");
    const known = kept.cases[anchor];
    if (!known || dialog.open) return Boolean(known);
    const [label, ...tables] = known;
    const body = dialog.querySelector("div");
    dialog.querySelector("h2").textContent = kept.words[label];
    body.replaceChildren();
    for (const [title, columns, rows] of tables) {
      make("h3", kept.words[title], body);
      const scroll = make("div", undefined, body);
      scroll.className = "scroll";
      scroll.tabIndex = 0;
      const table = make("table", undefined, scroll);
      const head = make("tr", undefined, make("thead", undefined, table));
      const figures = columns.map((_, at) => rows.some((row) => !Number.isNaN(figure(kept.words[row[at]]))) &&
        rows.every((row) => /^([+−-]?[\d,]+(\.\d+)?|–)$/.test(kept.words[row[at]])));
      columns.forEach((column, at) => { make("th", kept.words[column], head).className = figures[at] ? "n" : ""; });
      const filled = make("tbody", undefined, table);
      for (const row of rows) {
        const line = make("tr", undefined, filled);
        row.forEach((cell, at) => {
          const text = kept.words[cell];
          const place = make("td", undefined, line);
          place.className = figures[at] ? "n" : text.length > 60 ? "w" : text.length > 30 ? "" : "k";
          const tone = kept.tones[cell];
          if (tone) make("span", text, place).className = `chip ${tone}`;
          else place.textContent = text;
        });
      }
    }
    dialog.showModal();
    return true;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    const target = link && (link.getAttribute("href") || link.getAttribute("xlink:href") || "");
    if (target && target.startsWith("#case-") && open(target.slice(1))) event.preventDefault();
    else if (event.target === dialog) dialog.close();
  });
  if (location.hash.startsWith("#case-")) open(location.hash.slice(1));

  // Charts: each becomes live once it is seen; until then, and without this, it is a picture of the same.
  let specs;
  const hint = make("div", undefined, document.body);
  hint.className = "hint";
  hint.hidden = true;
  hint.setAttribute("aria-hidden", "true");
  const tell = (_, event, item, value) => {
    hint.hidden = !value || typeof value !== "object";
    if (hint.hidden) return;
    const list = make("dl");
    for (const [name, text] of Object.entries(value)) {
      if (text === "" || text === null || text === "null" || text === undefined || text === "undefined") continue;
      make("dt", name, list);
      make("dd", String(text), list);
    }
    hint.replaceChildren(list);
    const { width, height } = hint.getBoundingClientRect();
    hint.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
    hint.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
  };
  const load = () => {
    if (!window.vega) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("drawer").textContent;
      document.head.append(script);
    }
    return window.vega;
  };
  const linkless = (key, value) => (key === "href" && typeof value === "object" ? undefined : value);
  const enliven = async (place) => {
    specs ??= read("specs");
    const made = document.createElement("div");
    const spec = JSON.parse(JSON.stringify(specs[place.id], linkless));
    const view = new (load().View)(window.vega.parse(spec), { renderer: "svg", container: made, hover: true, tooltip: tell });
    const beyond = place.classList.contains("fit") ? place.firstElementChild.width.baseVal.value - place.clientWidth : 0;
    if (beyond > 0) view.width(Math.max(280, view.width() - beyond));
    view.addEventListener("click", (_, item) => {
      if (item && item.datum && item.datum.href) open(item.datum.href.slice(1));
    });
    await view.runAsync();
    made.querySelectorAll("[role^=graphics]").forEach((group) => {
      group.removeAttribute("role");
      group.removeAttribute("aria-roledescription");
    });
    if (beyond > 0) made.firstElementChild.style.maxWidth = "none";
    place.replaceChildren(made);
    place.dataset.live = "yes";
  };
  onceSeen(".plot", enliven);
})();
