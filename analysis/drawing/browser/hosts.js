// The two hosts that load a view as a module, each with its own idea of one.

/** Streamlit calls the default export with a component, again and again; a notebook calls it without, for a `render`. */
const hosted = View => component => {
  if (!component) return { render: ({ model, el }) => rendered(View, model, el) };
  const place = component.parentElement, send = answer => component.setStateValue(View.answer, answer);
  if (place._mounted) place._mounted.update({ data: component.data, send });
  else place._mounted = mounted(View, place, { data: component.data, send });
  return () => { place._mounted?.close(); place._mounted = null; };
};

/** Draw a notebook's model, whose `selected` goes both ways. */
function rendered(View, model, el) {
  const send = ([i]) => { model.set("selected", i); model.save_changes(); };
  const view = mounted(View, el, { data: model.get("data"), send });
  const again = () => view.update({ data: model.get("data"), selected: model.get("selected") });
  const chosen = () => view.update({ selected: model.get("selected") });
  chosen();
  model.on("change:data", again);
  model.on("change:selected", chosen);
  return () => { model.off("change:data", again); model.off("change:selected", chosen); view.close(); };
}
