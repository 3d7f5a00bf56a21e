// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0
//
// Draws the Mermaid diagrams of a page. A page without one does not load Mermaid. If scripts/site had no Mermaid to put
// beside this file, a diagram stays text.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const diagrams = document.querySelectorAll("pre.diagram");
  if (diagrams.length === 0) return;
  const base = document.querySelector('script[src$="diagrams.js"]').src;
  const script = document.createElement("script");
  script.src = new URL("mermaid.js", base).href;
  script.onload = async () => {
    const dark = document.body.getAttribute("data-md-color-scheme") === "slate";
    mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral", fontFamily: "inherit" });
    for (const [number, diagram] of diagrams.entries()) {
      const { svg } = await mermaid.render(`diagram-${number}`, diagram.textContent);
      const figure = document.createElement("div");
      figure.className = "diagram";
      figure.innerHTML = svg;
      diagram.replaceWith(figure);
    }
  };
  document.head.append(script);
});
