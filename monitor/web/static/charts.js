// Turns the picture of each chart into one that answers a pointer. Where this fails, or does not run, the picture stays.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // The width that is left beside the labels of the axis; legends in as many columns as have room there.
  function fit(spec, width) {
    const inner = Math.max(180, width - 90);
    for (const panel of spec.vconcat) panel.width = inner;
    spec.config.legend = { ...spec.config.legend, columns: Math.max(1, Math.floor(inner / 150)) };
    return spec;
  }

  async function draw(figure) {
    const night = dark.matches;
    const answer = await fetch(figure.dataset.chart + (night ? "&theme=dark" : ""));
    if (!answer.ok) return;
    const told = await answer.json();
    const place = figure.querySelector(".live") || document.createElement("div");
    place.className = "live";
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", figure.querySelector("img").alt);
    figure.prepend(place);
    const { view } = await vegaEmbed(place, fit(told.spec, figure.clientWidth), {
      actions: false, ast: true, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true },
      logLevel: 1,  // errors alone: that a team has no figure yet is none
      formatLocale: told.formatLocale, timeFormatLocale: told.timeFormatLocale,
    });
    place.querySelector("svg").setAttribute("aria-hidden", "true");  // the label above says it, not every mark
    place.classList.toggle("dark", night);
    figure.classList.add("drawn");
    if (figure.dataset.day === undefined) return;
    view.addEventListener("click", (event, item) => {
      const day = item && item.datum && (item.datum.datum || item.datum).day;
      if (!day) return;
      const on = new Date(day).toISOString().slice(0, 10);
      const query = new URLSearchParams(figure.dataset.day);
      query.set("from", on);
      query.set("to", on);
      location.href = `?${query}#posts`;
    });
  }

  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const drawAll = () => figures.forEach((figure) => draw(figure).catch(() => figure.classList.remove("drawn")));
  let waiting, width = innerWidth;
  dark.addEventListener("change", drawAll);
  addEventListener("resize", () => {
    if (innerWidth === width) return;  // a phone's bar that comes and goes
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 250);
  });
  drawAll();
})();
