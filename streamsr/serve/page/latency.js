// The small chart of the last two minutes' latency: the median, and what 99 % of frames stay within.

const POINTS = 120; // one a second
const [WIDTH, HEIGHT] = [120, 28]; // of the drawing, in its own units
const LEAST_MS = 50; // that the full height stands for

export class Latency {
  /** `chart` is an SVG element with one polyline a measure, named by its `data-key`. */
  constructor(chart) {
    this.chart = chart;
    this.rows = []; // the newest last: values by their key, or null where there were none
  }

  /** Takes the values of one second, `{p50, p99}` in milliseconds, or null, and draws all. */
  add(row) {
    this.rows.push(row);
    if (this.rows.length > POINTS) this.rows.shift();
    const lines = [...this.chart.querySelectorAll("polyline")];
    const values = (key) => this.rows.map((r) => r?.[key] ?? NaN);
    const finite = lines.flatMap((line) => values(line.dataset.key).filter(Number.isFinite));
    const top = Math.max(LEAST_MS, ...finite);
    for (const line of lines) line.setAttribute("points", points(values(line.dataset.key), top));
    this.chart.closest("figure").hidden = finite.length < 2;
  }
}

function points(values, top) {
  const last = Math.max(values.length - 1, POINTS / 4); // the width stands for: it fills soon
  return values.flatMap((value, index) => {
    if (!Number.isFinite(value)) return [];
    const x = (index * WIDTH) / last;
    return [`${x.toFixed(1)},${(HEIGHT * (1 - value / top)).toFixed(1)}`];
  }).join(" ");
}
