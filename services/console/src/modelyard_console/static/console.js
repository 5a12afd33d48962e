// What pages do beside showing: refresh their parts, sort and filter tables, copy, local times, keys.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- times in the zone of the viewer
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  let serverAhead = 0; // seconds: a viewer's clock that is off must not turn "now" into "in 5 minutes"
  function ago(date) {
    const s = (date - Date.now()) / 1000 - serverAhead;
    const [unit, size] = STEPS.find(([, size]) => Math.abs(s) >= size) || ["second", 1];
    return relative.format(Math.round(s / size), unit);
  }
  function times(root = document) {
    for (const time of all("time[data-local]", root)) time.textContent = full.format(new Date(time.dateTime));
    for (const time of all("time[data-ago]", root)) time.textContent = ago(new Date(time.dateTime));
  }
  setInterval(() => times(), 15000);

  // ---- copy
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = "copied"; }
    catch { select(button.parentElement.querySelector("code")); button.textContent = "press Ctrl+C"; }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  // ---- tables: sort by a click on the head, filter rows
  const order = {}; // table id -> [column, direction]: kept when a part refreshes
  const value = (row, column) => { const cell = row.cells[column]; return cell ? (cell.dataset.value ?? cell.textContent.trim()) : ""; };
  function sort(table) {
    const [column, direction] = order[table.id] || [];
    if (column === undefined || !table.tHead) return;
    all("th", table.tHead).forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return direction * (isFinite(a) && isFinite(b) ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    };
    const body = table.tBodies[0];
    [...body.rows].sort((a, b) => compare(value(a, column), value(b, column))).forEach((row) => body.append(row));
  }
  document.addEventListener("click", (event) => {
    const head = event.target.closest("table[data-sort] th");
    if (!head || !event.target.closest("button")) return;
    const table = head.closest("table"), column = head.cellIndex;
    const [before, direction] = order[table.id] || [];
    order[table.id] = [column, before === column ? -direction : 1];
    sort(table);
  });
  const filters = {}; // table id -> text
  function filter(id) {
    const table = document.getElementById(id), words = (filters[id] || "").toLowerCase().split(/\s+/).filter(Boolean);
    if (table) for (const row of table.tBodies[0].rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  }
  document.addEventListener("input", (event) => {
    const field = event.target.closest("[data-filter]");
    if (field) { filters[field.dataset.filter] = field.value; filter(field.dataset.filter); }
  });
  function restore(root) {
    all("table[data-sort]", root).forEach(sort);
    all("[data-filter]", root).forEach((field) => { field.value = filters[field.dataset.filter] || ""; filter(field.dataset.filter); });
  }

  // ---- live: parts of the page read themselves again when something of theirs changed
  const indicator = document.querySelector("[data-live-state]");
  const shown = (state, text) => { indicator.dataset.liveState = state; indicator.textContent = text; };
  const due = new Set();
  const sent = new WeakMap(); // part -> its HTML as the server sent it: what did not change is left alone
  const remember = (part) => sent.set(part, part.innerHTML);
  const busy = (part) => part.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)
    || part.querySelector("details.confirm[open], form[data-dirty]");
  async function refresh() {
    if (document.hidden || !due.size) return;
    const parts = [...due].filter((part) => part.isConnected && !busy(part));
    parts.forEach((part) => due.delete(part));
    if (!parts.length) return;
    const answer = await fetch(location.href, { headers: { "HX-Request": "true" } });
    if (answer.status === 401) { signedOut(); return; }
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.innerHTML === sent.get(part)) continue;
      const open = all("details[open]", part).map((one) => all("details", part).indexOf(one));
      remember(fresh);
      part.replaceWith(fresh);
      open.forEach((place) => all("details", fresh)[place]?.setAttribute("open", ""));
      ready(fresh);
      outdated();
      fresh.classList.add("updated");
    }
  }
  // Once the page shows a later state, the sentence about the last action has been read or is out of date.
  function outdated() {
    setTimeout(() => document.querySelector(".flash")?.remove(), 5000);
  }
  // A half-written form is not thrown away: sending it asks for the key and keeps what was typed.
  function signedOut() {
    if (document.querySelector("form[method=post][data-dirty]")) shown("off", "signed out");
    else location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search));
  }
  function changed(hints) {
    for (const part of all("[data-live]")) {
      const types = part.dataset.live.split(" "), model = part.dataset.model || "";
      if (hints.some((hint) => hint.type === "reset" || types.includes(hint.type) && (!model || !hint.model || hint.model === model))) due.add(part);
    }
    refresh();
  }
  function follow() {
    if (!document.querySelector("[data-live]")) return;
    const source = new EventSource("/live?since=" + encodeURIComponent(document.body.dataset.position)); // nothing between the page and its stream is missed
    source.addEventListener("hello", (event) => { serverAhead = JSON.parse(event.data).now - Date.now() / 1000; times(); shown("on", "live"); if (follow.broken) changed([{ type: "reset" }]); follow.broken = false; });
    source.addEventListener("changes", (event) => changed(JSON.parse(event.data)));
    source.onerror = () => { follow.broken = true; shown("off", "reconnecting"); if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000); };
    addEventListener("pagehide", () => source.close());
  }
  document.addEventListener("visibilitychange", refresh);
  document.addEventListener("toggle", () => refresh(), true);
  document.addEventListener("focusout", () => setTimeout(refresh, 200));
  document.addEventListener("input", (event) => event.target.form?.setAttribute("data-dirty", ""));

  // ---- keys
  let prefix = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const rows = all("main table tbody tr").filter((row) => !row.hidden && row.querySelector("a"));
    const at = rows.findIndex((row) => row.classList.contains("selected"));
    if (prefix === "g") {
      document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
      prefix = "";
    } else if (event.key === "g") { prefix = "g"; setTimeout(() => { prefix = ""; }, 1200); }
    else if (event.key === "/") { event.preventDefault(); document.querySelector('[data-key="/"]')?.focus(); }
    else if (event.key === "?") document.getElementById("keys").showModal();
    else if ((event.key === "j" || event.key === "k") && rows.length) {
      const next = rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))];
      rows[at]?.classList.remove("selected");
      next.classList.add("selected");
      next.querySelector("a").focus();
    }
  });

  function ready(root) { times(root); restore(root); globalThis.drawCharts?.(root); }
  // On a narrow screen the navigation is a row that scrolls: show where one is.
  function showCurrent() {
    const row = document.querySelector(".side"), current = row?.querySelector("[aria-current]");
    if (current && row.scrollWidth > row.clientWidth) row.scrollLeft = current.offsetLeft - (row.clientWidth - current.offsetWidth) / 2;
  }
  addEventListener("resize", showCurrent);
  document.addEventListener("DOMContentLoaded", () => { all("[data-live]").forEach(remember); ready(document); follow(); showCurrent(); });
  document.addEventListener("htmx:afterSettle", (event) => ready(event.detail.elt));
})();
