// When the records of the search occurred: 60 bars with the failures in them. One drags over a span to narrow the time,
// or moves along the bars with the arrow keys, with Shift to select, and Enter.

import { Component, createRef, html } from "./html.js";
import { ProblemNote } from "./problem.js";
import { formatCount } from "./text.js";
import { formatSpan, formatTick, formatTime, zoneName } from "./time.js";

const HEIGHT = 100;
const GAP = 0.16;
// Of the whole chart: one bar alone is no wall.
const WIDEST = 0.04;

const NOTHING_SELECTED = { from: null, to: null, isDragging: false };
// Below, the seconds of two times can be the same.
const SHORT_MS = 60_000;

const number = (count, relation) => `${relation === "approx" ? "\u2248 " : ""}${formatCount(count)}`;

export class Histogram extends Component {
  constructor() {
    super();
    // Indexes of bars: where a selection began and where it ends.
    this.state = NOTHING_SELECTED;
    this.chart = createRef();
  }

  componentDidUpdate(before) {
    if (before.histogram.data !== this.props.histogram.data) this.setState(NOTHING_SELECTED);
  }

  shouldComponentUpdate(next, state) {
    return next.histogram !== this.props.histogram || next.state.zone !== this.props.state.zone || state !== this.state;
  }

  get buckets() {
    return this.props.histogram.data?.buckets ?? [];
  }

  indexAt(event) {
    const { left, width } = this.chart.current.getBoundingClientRect();
    const index = Math.floor(((event.clientX - left) / width) * this.buckets.length);
    return Math.max(0, Math.min(this.buckets.length - 1, index));
  }

  onPointerDown = (event) => {
    if (event.button !== 0 || !this.buckets.length) return;
    this.chart.current.setPointerCapture(event.pointerId);
    const index = this.indexAt(event);
    this.setState({ from: index, to: index, isDragging: true });
  };

  onPointerMove = (event) => {
    const index = this.indexAt(event);
    if (this.state.isDragging) this.setState({ to: index });
    else if (event.pointerType === "mouse") this.setState({ from: index, to: index });
  };

  onPointerUp = () => {
    if (this.state.isDragging) this.narrow();
  };

  onPointerLeave = () => {
    if (!this.state.isDragging) this.setState({ from: null, to: null });
  };

  onKeyDown = (event) => {
    const last = this.buckets.length - 1;
    if (last < 0) return;
    const { from, to } = this.state;
    const targets = { ArrowLeft: (to ?? last + 1) - 1, ArrowRight: (to ?? -1) + 1, Home: 0, End: last };
    if (event.key in targets) {
      const next = Math.max(0, Math.min(last, targets[event.key]));
      this.setState({ to: next, from: event.shiftKey && from !== null ? from : next });
    } else if (event.key === "Enter" && to !== null) {
      this.narrow();
    } else if (event.key === "Escape" && to !== null) {
      this.setState(NOTHING_SELECTED);
      event.stopPropagation();
    } else {
      return;
    }
    event.preventDefault();
  };

  narrow() {
    const [first, last] = this.selected();
    this.setState({ isDragging: false });
    // As the service wrote them: they have microseconds, which a Date loses, and the newest record with them.
    this.props.actions.setTimes(first.from, last.to);
  }

  /** The first and the last selected bar. */
  selected() {
    const { from, to } = this.state;
    return [this.buckets[Math.min(from, to)], this.buckets[Math.max(from, to)]];
  }

  describeSelection(zone) {
    const [first, last] = this.selected();
    const [from, to] = [Math.min(this.state.from, this.state.to), Math.max(this.state.from, this.state.to)];
    const inside = this.buckets.slice(from, to + 1);
    const relation = inside.some((bucket) => bucket.relation === "approx") ? "approx" : "eq";
    const sum = (name) => inside.reduce((total, bucket) => total + bucket[name], 0);
    const failures = sum("failures");
    const milliseconds = Date.parse(last.to) - Date.parse(first.from) < SHORT_MS;
    const span = `${formatTime(first.from, zone, { milliseconds })} \u2013 ${formatTime(last.to, zone, { milliseconds })}`;
    return `${span}: ${number(sum("count"), relation)} records${failures ? `, ${number(failures, relation)} failures` : ""}`;
  }

  render({ histogram, state, actions }, { from, to }) {
    const { data, error, isLoading } = histogram;
    if (error) {
      return html`<section class="histogram" aria-label="Histogram">
        <${ProblemNote} problem=${error} note="The list is not affected." onRetry=${actions.reloadHistogram} isSmall />
      </section>`;
    }
    if (!data || !data.buckets.length) {
      return html`<section class="histogram" aria-label="Histogram">
        <div class="chart chart-empty" aria-hidden="true"></div>
        <div class="axis"><span>${data && !isLoading ? "No records in this span" : "\u00a0"}</span></div>
      </section>`;
    }
    const zone = state.zone;
    const span = Date.parse(data.to) - Date.parse(data.from);
    return html`
      <section class="histogram" aria-label="Histogram" data-stale=${isLoading ? "" : null}>
        <div
          class="chart"
          ref=${this.chart}
          role="group"
          tabindex="0"
          aria-label="Records over time. Arrow keys move along the bars, with Shift they select, Enter narrows the time."
          onPointerDown=${this.onPointerDown}
          onPointerMove=${this.onPointerMove}
          onPointerUp=${this.onPointerUp}
          onPointerCancel=${() => this.setState(NOTHING_SELECTED)}
          onPointerLeave=${this.onPointerLeave}
          onKeyDown=${this.onKeyDown}
        >
          <${Bars} buckets=${data.buckets} from=${from} to=${to} />
        </div>
        <div class="axis">
          <span>${formatTick(data.from, zone, span)}</span>
          <span class="axis-note" aria-live="polite">
            ${to !== null && this.buckets[Math.max(from, to)]
              ? this.describeSelection(zone)
              : `${data.relation === "approx" ? "\u2248 estimated, " : ""}${formatSpan(span / data.buckets.length)} a bar`}
          </span>
          <span>${formatTick(data.to, zone, span)} ${zone === "utc" ? "UTC" : ""}</span>
        </div>
        <${Table} data=${data} zone=${zone} />
      </section>
    `;
  }
}

const Bars = ({ buckets, from, to }) => {
  const highest = Math.max(1, ...buckets.map(({ count }) => count));
  // The least that can be seen: one failure in a day of a million records matters.
  const heightOf = (count) => (count ? Math.max(2, (count / highest) * (HEIGHT - 4)) : 0);
  const [first, last] = to === null ? [-1, -1] : [Math.min(from, to), Math.max(from, to)];
  return html`
    <svg viewBox=${`0 0 ${buckets.length} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      ${to === null ? null : html`<rect class="selection" x=${first} y="0" width=${last - first + 1} height=${HEIGHT} />`}
      ${buckets.map(({ count, failures, relation }, index) => {
        const [height, failed] = [heightOf(count), Math.min(heightOf(failures), heightOf(count))];
        const width = Math.min(1 - GAP, buckets.length * WIDEST);
        const x = index + (1 - width) / 2;
        return html`
          <rect class="count" data-relation=${relation} x=${x} y=${HEIGHT - height} width=${width} height=${height} />
          <rect class="failures" x=${x} y=${HEIGHT - failed} width=${width} height=${failed} />
        `;
      })}
    </svg>
  `;
};

const Table = ({ data, zone }) => html`
  <table class="visually-hidden">
    <caption>
      Records over time, ${data.relation === "approx" ? "some counts are estimates" : "counted exactly"}
    </caption>
    <thead>
      <tr>
        <th scope="col">From (${zoneName(zone)})</th>
        <th scope="col">Records</th>
        <th scope="col">Failures</th>
      </tr>
    </thead>
    <tbody>
      ${data.buckets
        .filter(({ count }) => count)
        .map(
          ({ from, count, failures, relation }) => html`<tr key=${from}>
            <th scope="row">${formatTime(from, zone, { milliseconds: false })}</th>
            <td>${number(count, relation)}</td>
            <td>${number(failures, relation)}</td>
          </tr>`,
        )}
    </tbody>
  </table>
`;
