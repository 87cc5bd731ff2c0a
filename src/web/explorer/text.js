// Text that others wrote, as text nodes. What the eye cannot see, or what reorders its neighbours, becomes a badge.

import { html } from "./html.js";

// Beside control and format characters: fillers that have no ink, spaces that look like another one, and spaces at an end.
// One variation selector is part of an emoji, and U+3000 is the space of Chinese and Japanese.
const HIDDEN = new RegExp(
  [
    "(?:(?![\\ufe0e\\ufe0f])[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\u2800]|(?![ \\u3000])\\p{Zs})+",
    "[\\ufe0e\\ufe0f]{2,}",
    "^ +",
    "(?<! ) +$",
  ].join("|"),
  "gu",
);
const NAMES = new Map([
  ["\u0000", "NUL"], ["\u0007", "BEL"], ["\b", "BS"], ["\t", "TAB"], ["\n", "LF"], ["\r", "CR"], ["\u001b", "ESC"],
  ["\u007f", "DEL"], [" ", "SP"], ["\u00a0", "NBSP"], ["\u202f", "NNBSP"],
  ["\u200b", "ZWSP"], ["\u200c", "ZWNJ"], ["\u200d", "ZWJ"], ["\u200e", "LRM"], ["\u200f", "RLM"],
  ["\u2028", "LS"], ["\u2029", "PS"], ["\u202a", "LRE"], ["\u202b", "RLE"], ["\u202c", "PDF"], ["\u202d", "LRO"],
  ["\u202e", "RLO"], ["\u2066", "LRI"], ["\u2067", "RLI"], ["\u2068", "FSI"], ["\u2069", "PDI"], ["\ufeff", "BOM"],
]);
// A run of them is one badge, which names the first few.
const NAMED_IN_A_RUN = 8;

/** The name of a character as badges show it, e.g. `RLO` or `U+E0041`. */
export const nameOf = (character) =>
  NAMES.get(character) ?? `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** The children of an element that shows the text: strings, and badges, at most `maxBadges` of them. */
export const marked = (value, maxBadges = Infinity) => {
  const text = String(value);
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (parts.length >= 2 * maxBadges) {
      parts.push("\u2026");
      return parts;
    }
    parts.push(text.slice(end, found.index), badge(found[0]));
    end = found.index + found[0].length;
  }
  parts.push(text.slice(end));
  return parts;
};

const badge = (run) => {
  const characters = [...run];
  const names = characters.slice(0, NAMED_IN_A_RUN).map(nameOf).join(" ");
  const label = characters.length > NAMED_IN_A_RUN ? `${names} +${characters.length - NAMED_IN_A_RUN}` : names;
  return html`<span class="hidden-character" title="Characters that are not visible">${label}</span>`;
};

/** The text in an element that keeps its direction from what is around it. */
export const Text = ({ value, class: name }) => html`<bdi class=${name}>${marked(value)}</bdi>`;

/** The same on one line, for parts of plain strings such as titles: every hidden character is written out. */
export const plain = (value) =>
  String(value).replace(HIDDEN, (run) => [...run].map((character) => `[${nameOf(character)}]`).join(""));

/** `1,234,567`. Not by toLocaleString, whose first call takes longer than it takes to draw the list. */
export const formatCount = (count) => String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
