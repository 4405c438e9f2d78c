// Runs before the page is drawn, so that it is drawn once. `main.js` has the switch.
(() => {
  try {
    const chosen = localStorage.getItem("vsi.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // storage is not to be had: the system's theme it is
  }
})();
