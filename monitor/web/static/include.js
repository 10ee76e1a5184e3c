// Takes into a section what its link leads to, so that the page itself need not wait for it.
"use strict";
for (const section of document.querySelectorAll("[data-include]")) {
  fetch(section.dataset.include).then(async (answer) => {
    const found = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("included");
    if (found) section.querySelector("p").replaceWith(...found.childNodes);
  }).catch(() => {});
}
