"use strict";
// Selecting a step marks it wherever it is shown, opens its details and puts it into the address.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const details = [...document.querySelectorAll(".detail")];
  if (!details.length) return;
  const chainOf = (id) => id.replace(/-s\d+$/, "");
  let current = null;

  function select(id, { scroll = false, address = true } = {}) {
    const detail = document.getElementById(id);
    if (!detail || !detail.classList.contains("detail")) return;
    const chain = document.getElementById(chainOf(id));
    for (const element of chain.querySelectorAll(".on")) element.classList.remove("on");
    detail.classList.add("on");
    const box = detail.parentElement;
    box.scrollTop = 0;
    box.classList.toggle("open", address);
    for (const element of chain.querySelectorAll(`[data-step="${id}"]`)) element.classList.add("on");
    if (scroll) chain.querySelector(`.step[data-step="${id}"]`).scrollIntoView({ block: "nearest" });
    if (address) {
      current = id;
      history.replaceState(null, "", `#${id}`);
    }
  }

  function move(by) {
    const ids = details.map((detail) => detail.id);
    const at = current === null ? (by > 0 ? -1 : 0) : ids.indexOf(current);
    select(ids[Math.min(ids.length - 1, Math.max(0, at + by))], { scroll: true });
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-step]");
    if (!target) return;
    event.preventDefault();
    select(target.dataset.step);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "Escape") for (const box of document.querySelectorAll(".details.open")) box.classList.remove("open");
  });

  window.addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll(".table")) element.open = true;
  });

  // Each chain opens at its weightiest step.
  for (const chain of document.querySelectorAll(".chain")) {
    const steps = [...chain.querySelectorAll(".step")];
    const size = (step) => Number(step.style.getPropertyValue("--size"));
    if (steps.length) select(steps.reduce((a, b) => (size(b) > size(a) ? b : a)).dataset.step, { address: false });
  }
  if (location.hash) select(decodeURIComponent(location.hash.slice(1)), { scroll: true });
})();
