// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0
//
// Draws the Mermaid diagrams of a page, in the colours of the page. A page without one does not load Mermaid. If
// scripts/site had no Mermaid to put beside this file, a diagram stays text.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const diagrams = [...document.querySelectorAll("pre.diagram")].map((text) => ({ text: text.textContent, place: text }));
  if (diagrams.length === 0) return;

  async function draw() {
    const dark = document.body.getAttribute("data-md-color-scheme") === "slate";
    mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral", fontFamily: "inherit" });
    for (const [number, diagram] of diagrams.entries()) {
      const { svg } = await mermaid.render(`diagram-${number}`, diagram.text);
      const figure = document.createElement("div");
      figure.className = "diagram";
      figure.innerHTML = svg;
      diagram.place.replaceWith(figure);
      diagram.place = figure;
    }
  }

  const script = document.createElement("script");
  script.src = new URL("mermaid.js", document.querySelector('script[src$="diagrams.js"]').src).href;
  script.onload = () => {
    let drawn = draw();
    new MutationObserver(() => {
      drawn = drawn.then(draw);
    }).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  };
  document.head.append(script);
});
