"""Write: the model writes, and goes elsewhere from any token. Runs :func:`app.compute.writing.submit_writing`."""

from app.panels.write.bar import write_bar
from app.panels.write.more import open_where_read
from app.widgets.layout import heading

open_where_read()
write_bar()
heading("write")

from app.panels.write.view import write_view  # noqa: E402 - after the heading is on screen

write_view()
