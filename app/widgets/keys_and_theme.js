// Watches the page's theme, and in the projector mode its keys. Draws nothing.

const WAIT = 60; // milliseconds: quick presses are sent as one step

/** Press the button after the one that is chosen, from the last to the first. */
function pressNext(buttons, isChosen) {
  if (buttons.length > 1) buttons[(buttons.findIndex(isChosen) + 1) % buttons.length].click();
}

function press(event, step) {
  const inside = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (inside instanceof Element && inside.closest("input, textarea, select, [role=application], [role=radiogroup], [role=slider], [role=dialog]")) return;
  if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "v")
    pressNext([...document.querySelectorAll(".st-key-heading [role=radio]")], b => b.ariaChecked === "true");
  else if (event.key === "p")
    pressNext([...document.querySelectorAll("[data-testid=stSidebarNavLink]")], a => a.ariaCurrent === "page");
  else return;
  event.preventDefault();
}

export default function (component) {
  const { parentElement: root, setTriggerValue, data } = component;
  const stop = new AbortController();
  // A transition begins whenever the colour behind the variable changes, whatever changed it.
  root.querySelector(".ground").addEventListener(
    "transitionend", () => setTriggerValue("theme", true), { signal: stop.signal });
  let steps = 0, timer = 0;
  const step = by => {
    steps += by;
    clearTimeout(timer);
    timer = setTimeout(() => { setTriggerValue("step", steps); steps = 0; }, WAIT);
  };
  if (data.keys) document.addEventListener("keydown", event => press(event, step), { signal: stop.signal });
  return () => { stop.abort(); clearTimeout(timer); };
}
