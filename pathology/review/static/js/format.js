// Words and numbers as both pages show them.

// Of a slide's place in the list, and of its record.
export const STATES = {
  unread: { text: "Unread", kind: "" },
  read: { text: "Read", kind: "info" },
  agreed: { text: "Agreed", kind: "info" },
  overridden: { text: "Overridden", kind: "info" },
  second_reader: { text: "Second reader", kind: "warn" },
  open: { text: "Unread", kind: "" },
  in_review: { text: "In review", kind: "info" },
  second_reader_requested: { text: "Second reader", kind: "warn" },
  signed: { text: "Signed", kind: "good" },
  superseded: { text: "Superseded", kind: "bad" },
  addendum: { text: "Signed, addendum", kind: "good" },
};

export const state = (code) => STATES[code] || { text: String(code).replaceAll("_", " "), kind: "" };

export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en-GB"));

export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

export function points(value) {
  return value === null || value === undefined ? "" : `${Math.abs(value).toFixed(1)} pp`;
}

export function length(um) {
  return um >= 1000 ? `${+(um / 1000).toPrecision(3)} mm` : `${+um.toPrecision(3)} µm`;
}

export function when(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text)
    : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export const scoreWords = (score) => (score === "not_scorable" ? "not scorable" : score);

export const tierWords = (code) => (code ? `HER2 ${code.replace("her2_", "")}` : "");

// The server's messages and their fixes, each a sentence of its own.
export function sentence({ message, fix }) {
  const whole = (text) => (text && !/[.!?]$/.test(text) ? `${text}.` : text || "");
  const text = whole(message);
  return [text.charAt(0).toUpperCase() + text.slice(1), whole(fix)].filter(Boolean).join(" ");
}

export const words = (code) => String(code).replaceAll("_", " ").replaceAll("-", " ");
