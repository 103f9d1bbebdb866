// What the theme leaves out: names for the arrows in the side bar, and the keyboard for tables that scroll.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll("nav summary, .bd-sidebar summary")) {
    const link = summary.closest("li") && summary.closest("li").querySelector("a");
    if (!summary.textContent.trim()) summary.setAttribute("aria-label", `Pages below ${link ? link.textContent.trim() : "this"}`);
  }
  for (const table of document.querySelectorAll(".bd-article table")) if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
});
