// Times as people read them: in UTC, or in the zone of the browser. Both always say which.

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** The name of a zone, for the head of a column. */
export const zoneName = (zone) =>
  zone === "utc" ? "UTC" : (Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time");

const parts = (date, zone) =>
  zone === "utc"
    ? [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(),
       date.getUTCSeconds(), date.getUTCMilliseconds()]
    : [date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds(),
       date.getMilliseconds()];

/** `2026-11-28 14:25:15.123`; without `milliseconds`, up to the second. */
export const formatTime = (time, zone, { milliseconds = true } = {}) => {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const [year, month, day, hour, minute, second, fraction] = parts(date, zone);
  const text = `${pad(year, 4)}-${pad(month)}-${pad(day)} ${pad(hour)}:${pad(minute)}:${pad(second)}`;
  return milliseconds ? `${text}.${pad(fraction, 3)}` : text;
};

/** The same with its offset, as nobody can misread it: `2026-11-28 15:25:15.123 +01:00`. */
export const formatFull = (time, zone) => {
  const offset = zone === "utc" ? 0 : -new Date(time).getTimezoneOffset();
  const [sign, minutes] = [offset < 0 ? "-" : "+", Math.abs(offset)];
  const suffix = zone === "utc" ? "UTC" : `${sign}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
  return `${formatTime(time, zone)} ${suffix}`;
};

/** A time for the axis of a chart: no finer than the span of the chart needs. */
export const formatTick = (time, zone, spanMs) => {
  const [year, month, day, hour, minute, second, fraction] = parts(new Date(time), zone);
  const date = `${pad(year, 4)}-${pad(month)}-${pad(day)}`;
  if (spanMs > 14 * 86_400_000) return date;
  if (spanMs > 600_000) return `${date.slice(5)} ${pad(hour)}:${pad(minute)}`;
  const text = `${pad(hour)}:${pad(minute)}:${pad(second)}`;
  return spanMs > 10_000 ? text : `${text}.${pad(fraction, 3)}`;
};

/** How long a span is, in one unit: `15 min`. */
export const formatSpan = (ms) => {
  const units = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];
  const [unit, length] = units.find(([, length]) => ms >= length) ?? ["ms", 1];
  if (ms < 1) return "less than 1 ms";
  return `${Math.round((ms / length) * 10) / 10} ${unit}`;
};
