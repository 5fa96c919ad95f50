// The keys of both pages, as a dialog says them: opened with ? or the button.

import { ask, el } from "./dom.js";

export const LIST_KEYS = [
  [["j", "k", "↑", "↓"], "move in the list"], [["PgUp", "PgDn", "Home", "End"], "move farther"], [["Enter"], "open the slide"], [["/"], "search"], [["?"], "this help"],
];
export const SLIDE_KEYS = [
  [["←", "→", "↑", "↓"], "move"], [["+", "-"], "zoom"], [["1", "2", "3", "4", "5"], "2.5×, 5×, 10×, 20×, 40×"], [["0"], "whole slide"],
  [["H"], "heat map of tiles"], [["O"], "cells"], [["I"], "tissue"], [["F"], "tiles that could not be read"], [["R"], "your regions"],
  [["G"], "cell in the middle of the view"],
  [["T", "S", "X", "C"], "draw invasive tumour, in situ, exclude, control"], [["Space"], "corner in the middle of the view"], [["Enter"], "close the region"],
  [["E"], "edit regions"], [[",", "."], "corner before, after"], [["Shift+←→↑↓"], "move the corner; or the companion, where it has the focus"], [["Delete"], "delete the corner, or the region"],
  [["Ctrl+Z"], "undo"], [["V"], "move the slide"], [["Esc"], "leave: card, drawing, page"], [["Shift+P", "Shift+N"], "slide before, after"], [["?"], "this help"],
];

export function showKeys(rows) {
  return ask("Keys", el("table", { class: "keys-table" }, rows.map(([keys, text]) => el("tr", {}, el("th", { scope: "row" }, keys.map((key) => [el("kbd", { text: key }), " "])), el("td", { text })))),
    { action: "Close", plain: true });
}
