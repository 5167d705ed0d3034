// The token strip: one text.

export default component => mount(component, StripView);
