// Draws figures of `components.html` with uPlot, in the colours of the style sheet.
"use strict";
(() => {
  const COLOURS = ["--a", "--b", "--c", "--d", "--e", "--f"];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plots = new Map();
  const short = (value) => value == null ? "\u2013" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString() : String(+value.toPrecision(4));

  // Times as in the tables: 24 hours, and a date that reads the same everywhere.
  const two = (value) => String(value).padStart(2, "0");
  const day = (at) => `${at.getDate()} ${at.toLocaleString("en", { month: "short" })}`;
  const clock = (at, step) => `${two(at.getHours())}:${two(at.getMinutes())}${step < 60 ? ":" + two(at.getSeconds()) : ""}`;
  function times(plot, ticks, _axis, _space, step) {
    let shown = "";
    return ticks.map((tick) => {
      const at = new Date(tick * 1000), today = day(at), first = today !== shown;
      shown = today;
      return step >= 86400 ? today : clock(at, step) + (first ? "\n" + today : "");
    });
  }
  const moment = (at) => at == null ? "\u2013" : `${day(new Date(at * 1000))}, ${clock(new Date(at * 1000), 1)}`;

  function lines(spec) {
    const series = [spec.time ? { label: "Time", value: (_, at) => moment(at) } : { label: spec.xLabel || "x", value: (_, v) => short(v) }], data = [spec.x], bands = [];
    spec.lines.forEach((line, place) => {
      const stroke = colour(COLOURS[place % COLOURS.length]);
      series.push({ label: line.label, stroke, width: place ? 1.5 : 2, dash: line.dashed ? [5, 4] : undefined, spanGaps: true, points: { show: spec.x.length < 40 }, value: (_, v) => short(v) + (spec.unit ? " " + spec.unit : "") });
      data.push(line.values);
      if (line.low && line.high) {
        series.push(...["high", "low"].map((end) => ({ label: `${line.label} ${end}`, class: "band", stroke: "transparent", points: { show: false } })));
        data.push(line.high, line.low);
        bands.push({ series: [series.length - 2, series.length - 1], fill: stroke + "22" });
      }
    });
    return { series, data, bands };
  }
  // Vertical marks and the limit are drawn over the lines.
  function overlay(spec) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      const paper = colour("--paper"), soft = colour("--soft");
      ctx.strokeStyle = soft; ctx.textAlign = "left";
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      const ends = [-Infinity, -Infinity, -Infinity]; // of the labels in each row: none is written over another
      let labelled = -Infinity; // marks that are close together share the label of the first
      spec.marks.forEach((mark) => {
        const x = plot.valToPos(mark.at, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) return;
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        if (x - labelled < 70 * devicePixelRatio) return;
        const text = mark.label.slice(0, 24), width = ctx.measureText(text).width, gap = 4 * devicePixelRatio;
        const start = x + gap + width > bbox.left + bbox.width ? x - gap - width : x + gap;
        const row = ends.findIndex((end) => end + gap < start);
        if (row < 0) return;
        labelled = x; ends[row] = start + width;
        const y = bbox.top + (12 + 13 * row) * devicePixelRatio;
        ctx.fillStyle = paper; ctx.fillRect(start - gap / 2, y - 10 * devicePixelRatio, width + gap, 13 * devicePixelRatio);
        ctx.fillStyle = soft; ctx.fillText(text, start, y);
      });
      if (spec.limit !== null) {
        const y = plot.valToPos(spec.limit, "y", true);
        ctx.strokeStyle = colour("--bad");
        ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
      }
      ctx.restore();
    };
  }
  function draw(node) {
    const spec = JSON.parse(node.dataset.chart);
    const { series, data, bands } = lines(spec);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    plots.get(node)?.destroy();
    node.textContent = "";
    const range = (plot, low, high) => {
      if (low === null) return [0, 1];
      const lowest = spec.limit === null ? low : Math.min(low, spec.limit), highest = spec.limit === null ? high : Math.max(high, spec.limit);
      const room = (highest - lowest) * 0.08 || Math.abs(highest) * 0.1 || 1;
      return [lowest >= 0 ? Math.max(0, lowest - room) : lowest - room, highest + room];
    };
    plots.set(node, new uPlot({
      width: node.clientWidth || 600, height: 220, series, bands,
      scales: { x: { time: spec.time, ...(spec.x.length === 1 && { range: [spec.x[0] - 60, spec.x[0] + 60] }) }, y: { range } },
      axes: [spec.time ? { ...axis, values: times } : axis, { ...axis, size: 56, values: (_, ticks) => ticks.map(short) }],
      legend: { live: true }, cursor: { drag: { x: true, y: false } }, hooks: { draw: [overlay(spec)] },
    }, data, node));
  }
  globalThis.drawCharts = (root = document) => root.querySelectorAll("[data-chart]").forEach(draw);
  const again = () => { for (const node of plots.keys()) if (node.isConnected) draw(node); else { plots.get(node).destroy(); plots.delete(node); } };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let timer; addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(again, 150); });
})();
